"""What a request is named without a listener, and how a route is compared with what is expected of it."""

from __future__ import annotations

import pytest

import conf
from conf.routes import Route, parse_request
from namer.addr import AddrBound, AddrPending, Endpoint
from namer.dtab import Dentry, Dtab
from namer.nametree import Leaf
from namer.path import Path
from namer.steps import Step
from nodeagent.explanation import BoundName, Doubt, Explanation, Freshness
from nodeagent.policies import identifier
from nodeagent.proxy.errors import BadRequest
from nodeagent.routes import MAX_STEPS, mismatches, names_of_request, rules_of

ROUTER = "routers: [{{protocol: http, dstPrefix: /svc, identifier: {identifier}, servers: [{{port: 1}}]}}]"
WEB, API = Path.parse("/#/fs/web"), Path.parse("/#/fs/api")


def named(request: str, headers: dict[str, str] | None = None, by: str = "[]") -> tuple[list[str], str]:
    config = conf.load(ROUTER.format(identifier=by if by != "[]" else "{kind: io.l5d.header.token}"), "a.yaml").routers[
        0
    ]
    names, local = names_of_request(parse_request(request), headers or {}, identifier(config), config.dst_prefix)
    return [name.show() for name in names], local.show()


@pytest.mark.parametrize(
    ("request_", "headers", "by", "names"),
    [
        pytest.param("GET http://Users:80/x", {}, "[]", ["/svc/users"], id="by host"),
        pytest.param("GET /x", {"Host": "users"}, "[]", ["/svc/users"], id="by the Host header"),
        pytest.param("users", {"host": "other"}, "[]", ["/svc/users"], id="the URL's host replaces the header"),
        pytest.param("CONNECT users:8443", {}, "[]", ["/svc/users:8443", "/svc/users"], id="a tunnel"),
        pytest.param("/svc/x/y", {}, "[]", ["/svc/x/y"], id="a name"),
        pytest.param("http://any/a/b", {}, "{kind: io.l5d.path, segments: 2}", ["/svc/a/b"], id="by path"),
        pytest.param("PUT users", {}, "{kind: io.l5d.methodAndHost}", ["/svc/1.1/PUT/users"], id="by method"),
        pytest.param("any", {"X-Name": "/a/b"}, "{kind: io.l5d.header, header: x-name}", ["/svc/a/b"], id="by header"),
    ],
)
def test_the_name_is_the_one_that_the_router_gives(
    request_: str, headers: dict[str, str], by: str, names: list[str]
) -> None:
    assert named(request_, headers, by) == (names, "")


def test_the_dentries_of_the_caller_come_along() -> None:
    assert named("users", {"L5d-Dtab": "/svc => /#/x"}) == (["/svc/users"], "/svc => /#/x")


@pytest.mark.parametrize(
    ("request_", "headers", "why"),
    [
        pytest.param("GET /x", {}, "no Host", id="no name"),
        pytest.param("users", {"l5d-dtab": "/svc =>"}, "l5d-dtab", id="bad dtab"),
        pytest.param("http://us_ers:0/", {}, "port", id="bad host"),
    ],
)
def test_what_the_router_would_refuse(request_: str, headers: dict[str, str], why: str) -> None:
    with pytest.raises(BadRequest, match=why):
        named(request_, headers)


def bound(id_: Path, weight: float, *ports: int) -> BoundName:
    return BoundName(id_, Path(), weight, AddrBound(tuple(Endpoint("127.0.0.1", port) for port in ports)))


SPLIT = Explanation(
    Path.parse("/svc/web"),
    "bound",
    (bound(WEB, 0.5, 81, 82), bound(API, 0.333, 83), bound(WEB, 0.167, 81)),
    None,
    (),
)
NOWHERE = Explanation(Path.parse("/svc/web"), "error", (), "no answer", ())


@pytest.mark.parametrize(
    ("route", "found", "says"),
    [
        pytest.param(Route(request="", name=Path.parse("/svc/web")), SPLIT, [], id="name"),
        pytest.param(Route(request="", name=Path.parse("/svc/x")), SPLIT, ["name: /svc/x; /svc/web"], id="other name"),
        pytest.param(Route(request="", outcome="bound"), SPLIT, [], id="outcome"),
        pytest.param(
            Route(request="", outcome="neg"),
            NOWHERE,
            ["outcome: neg; error (no answer)"],
            id="other outcome",
        ),
        pytest.param(Route(request="", bound={API: None, WEB: None}), SPLIT, [], id="bound"),
        pytest.param(Route(request="", bound={WEB: 0.667, API: 1 / 3}), SPLIT, [], id="shares, in few digits"),
        pytest.param(
            Route(request="", bound={WEB: 0.6, API: None}),
            SPLIT,
            ["bound: /#/fs/web 0.6, /#/fs/api; /#/fs/web 0.667, /#/fs/api 0.333"],
            id="other shares",
        ),
        pytest.param(
            Route(request="", bound={WEB: None}),
            NOWHERE,
            ["bound: /#/fs/web; error (no answer)"],
            id="not bound",
        ),
        pytest.param(
            Route(request="", endpoints=("127.0.0.1:83", "127.0.0.1:82", "127.0.0.1:81")), SPLIT, [], id="endpoints"
        ),
        pytest.param(
            Route(request="", endpoints=()),
            SPLIT,
            ["endpoints: none; 127.0.0.1:81, 127.0.0.1:82, 127.0.0.1:83"],
            id="other endpoints",
        ),
        pytest.param(
            Route(request="", outcome="neg", endpoints=("127.0.0.1:1",)),
            NOWHERE,
            ["outcome: neg; error (no answer)", "endpoints: 127.0.0.1:1; none"],
            id="all that is wrong",
        ),
    ],
)
def test_what_is_not_as_expected(route: Route, found: Explanation, says: list[str]) -> None:
    assert [f"{each.key}: {each.expected}; {each.found}" for each in mismatches(route, found)] == says


def test_what_is_not_known_is_not_as_expected_even_if_it_looks_so() -> None:
    doubts = (Doubt(WEB, "pending", Freshness()), Doubt(API, "neg", Freshness(error="refused")))
    found = Explanation(Path(), "bound", (BoundName(WEB, Path(), 1.0, AddrPending()),), None, (), doubts=doubts)

    wrong = mismatches(Route(request="", outcome="bound", bound={WEB: None}, endpoints=()), found)

    assert [each.found for each in wrong] == [
        "bound; not known yet: /#/fs/web",
        "/#/fs/web; not known yet: /#/fs/web",
        "none; not known yet: /#/fs/web",
    ]
    assert not list(mismatches(Route(request="", name=Path()), found))


def test_the_rules_are_told_in_order_and_not_without_end() -> None:
    dentry = Dtab.parse("/svc => /#/fs").dentries[0]
    assert isinstance(dentry, Dentry)
    step = Step(Path.parse("/svc/web"), dentry, Leaf(Path.parse("/#/fs")), Path(("web",)), "neg")

    assert list(rules_of(NOWHERE)) == []
    found = Explanation(Path(), "neg", (), None, (step,) * (MAX_STEPS + 2))
    assert list(rules_of(found)) == ["/svc/web by /svc => /#/fs to /#/fs/web: neg"] * MAX_STEPS + ["and 2 more"]
