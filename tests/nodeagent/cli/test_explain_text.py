"""An explanation reads from top to bottom: what was tried, and where the traffic goes."""

from __future__ import annotations

from textwrap import dedent

import pytest
from msgspec import structs

from nodeagent.cli.explain_documents import (
    Alternatives,
    BoundLeaf,
    Branch,
    Delegate,
    Dentry,
    Doubt,
    Empty,
    Explanation,
    Fail,
    Failed,
    Leaf,
    LeafAddress,
    LeafName,
    Neg,
    Node,
    NodeState,
    RefusedEndpoint,
    Step,
    Union,
)
from nodeagent.cli.explain_text import render

WEB = "/#/fs/web"


def bound(
    id: str = WEB,  # noqa: A002
    *endpoints: str,
    residual: str = "/",
    weight: float = 1.0,
    addr: str = "bound",
    error: str | None = None,
    age: float | None = None,
    stale: float = 0.0,
    next_attempt: float | None = None,
    state: tuple[NodeState, ...] = (),
) -> BoundLeaf:
    return BoundLeaf(
        id=id,
        residual=residual,
        weight=weight,
        addr=addr,
        endpoints=endpoints,
        version=2,
        age=age,
        stale=stale,
        error=error,
        next_attempt=next_attempt,
        state=state,
    )


def explanation(
    *leaves: BoundLeaf,
    outcome: str = "bound",
    error: str | None = None,
    steps: tuple[Step, ...] = (),
    left: tuple[BoundLeaf, ...] = (),
    doubts: tuple[Doubt, ...] = (),
) -> Explanation:
    return Explanation("/svc/web", outcome, leaves, error, steps, left, doubts)


def leaf(path: str = WEB, id: str | None = None, residual: str = "/", addr: str = "bound") -> Leaf:  # noqa: A002
    return Leaf(path=path, dentry=Dentry("/svc", "/#/fs"), bound=LeafName(id or path, residual, LeafAddress(addr)))


def root(*alternatives: Node) -> Alternatives:
    return Alternatives(path="/svc/web", alt=alternatives)


@pytest.mark.parametrize(
    ("told", "tree", "text"),
    [
        pytest.param(
            explanation(bound(WEB, "127.0.0.1:81", "127.0.0.1:82")),
            Delegate(path="/svc/web", delegate=leaf()),
            """
            /svc/web: bound
            /svc/web
            └─ /#/fs/web   /svc => /#/fs   bound
                  127.0.0.1:81
                  127.0.0.1:82
            """,
            id="one way",
        ),
        pytest.param(
            explanation(bound()),
            root(Neg(path="/#/fs/next"), leaf(), leaf("/#/fs/last")),
            """
            /svc/web: bound
            /svc/web
            ├─ /#/fs/next                   left, nothing by that name
            ├─ /#/fs/web    /svc => /#/fs   taken, bound
            │     no endpoints; a request gets 503
            └─ /#/fs/last   /svc => /#/fs   not tried
            """,
            id="what comes before the one that is taken was left, what comes after not tried",
        ),
        pytest.param(
            explanation(bound(WEB, "127.0.0.1:81")),
            root(leaf("/#/fs/dead"), leaf("/#/dns/gone", addr="neg"), Failed(path="/$/x", message="down"), leaf()),
            """
            /svc/web: bound
            /svc/web
            ├─ /#/fs/dead    /svc => /#/fs   passed over, no usable endpoint
            ├─ /#/dns/gone   /svc => /#/fs   passed over, no such host or service
            ├─ /$/x                          passed over, error: down
            └─ /#/fs/web     /svc => /#/fs   taken, bound
                  127.0.0.1:81
            """,
            id="what cannot take traffic is passed over",
        ),
        pytest.param(
            explanation(
                bound(WEB, "127.0.0.1:81"),
                left=(
                    bound("/#/fs/dead", "127.0.0.1:82", state=(NodeState("127.0.0.1:82", "dead", 0, 0, 0, "refused"),)),
                    bound("/#/dns/old", addr="failed", error="stale: last confirmed 131 s ago"),
                    bound("/#/fs/none"),
                ),
            ),
            root(leaf("/#/fs/dead"), leaf("/#/dns/old", addr="failed"), leaf("/#/fs/none"), leaf()),
            """
            /svc/web: bound
            /svc/web
            ├─ /#/fs/dead   /svc => /#/fs   passed over, no usable endpoint
            │     127.0.0.1:82   dead (refused), 0 in flight, load 0, 0 ejections
            ├─ /#/dns/old   /svc => /#/fs   passed over, its addresses cannot be found
            │     stale: last confirmed 131 s ago
            ├─ /#/fs/none   /svc => /#/fs   passed over, no endpoints
            └─ /#/fs/web    /svc => /#/fs   taken, bound
                  127.0.0.1:81
            """,
            id="why it was passed over is told",
        ),
        pytest.param(
            explanation(bound(WEB, "127.0.0.1:81"), left=(bound("/#/fs/spare"),)),
            root(leaf(), leaf("/#/fs/spare"), leaf("/#/fs/last")),
            """
            /svc/web: bound
            /svc/web
            ├─ /#/fs/web     /svc => /#/fs   taken, bound
            │     127.0.0.1:81
            ├─ /#/fs/spare   /svc => /#/fs   passed over, no endpoints
            └─ /#/fs/last    /svc => /#/fs   not tried
            """,
            id="when nothing is usable the first is taken, and the others were tried",
        ),
        pytest.param(
            explanation(bound("/#/fs/a", "127.0.0.1:81")),
            Union(path="/svc/web", union=(Branch(3, leaf("/#/fs/a")), Branch(1, leaf("/#/fs/b")))),
            """
            /svc/web: bound
            /svc/web
            ├─ /#/fs/a   /svc => /#/fs   weight 3, bound
            │     127.0.0.1:81
            └─ /#/fs/b   /svc => /#/fs   left, no usable endpoint
            """,
            id="a union gives its share away",
        ),
        pytest.param(
            explanation(outcome="fail"),
            root(Fail(path="/!"), Delegate(path="/x", delegate=leaf())),
            """
            /svc/web: fail: the dtab refuses this name; a request gets 502
            /svc/web
            ├─ /!                             ends here, refused
            └─ /x                             not tried
               └─ /#/fs/web   /svc => /#/fs
            """,
            id="a refusal ends it",
        ),
        pytest.param(
            explanation(outcome="error", error="no such namer"),
            root(Failed(path="/$/x", message="no such namer"), Empty(path="/y")),
            """
            /svc/web: error: no such namer
            /svc/web
            ├─ /$/x       ends here, error: no such namer
            └─ /y         not tried
            """,
            id="so does an error",
        ),
        pytest.param(
            explanation(bound("/#/fs/a", "127.0.0.1:81", weight=0.75), bound("/#/fs/b", "127.0.0.1:82", weight=0.25)),
            Union(
                path="/svc/web",
                union=(Branch(3, leaf("/#/fs/a")), Branch(1, leaf("/#/fs/b")), Branch(6, Neg(path="/c"))),
            ),
            """
            /svc/web: bound
            /svc/web
            ├─ /#/fs/a   /svc => /#/fs   weight 3, bound, 0.75 of the traffic
            │     127.0.0.1:81
            ├─ /#/fs/b   /svc => /#/fs   weight 1, bound, 0.25 of the traffic
            │     127.0.0.1:82
            └─ /c                        left, nothing by that name
            """,
            id="a union splits",
        ),
        pytest.param(
            explanation(bound("/$/inet/h/80", "10.0.0.1:80", residual="/rest")),
            Delegate(path="/svc/web", delegate=leaf("/$/inet/h/80/rest", "/$/inet/h/80", "/rest")),
            """
            /svc/web: bound
            /svc/web
            └─ /$/inet/h/80/rest   /svc => /#/fs   bound
                  as /$/inet/h/80, with /rest left over
                  10.0.0.1:80
            """,
            id="a residual is left over",
        ),
        pytest.param(
            explanation(
                bound(
                    WEB,
                    "127.0.0.1:81",
                    "127.0.0.1:82",
                    error="line 2: no port",
                    state=(
                        NodeState("127.0.0.1:81", "dead", 0.25, 3, 2, priority=1, zone="eu-1a"),
                        NodeState("127.0.0.1:82", "alive", 0, 0, 1, "failures", kept=True, error="answered 500"),
                    ),
                )
            ),
            leaf(),
            """
            /svc/web: bound
            /#/fs/web      bound
               127.0.0.1:81   dead, 3 in flight, load 0.25, 2 ejections, 2nd priority, zone eu-1a
               127.0.0.1:82   kept (failures), 0 in flight, load 0, 1 ejections: answered 500
               the answer; but line 2: no port
            """,
            id="a running agent knows more",
        ),
        pytest.param(
            explanation(bound(WEB, "127.0.0.1:81"), steps=(Step("/svc/web", "/svc => /#/fs", WEB),)),
            None,
            """
            /svc/web: bound
            /svc/web    /svc => /#/fs   /#/fs/web
            /#/fs/web                   bound
               127.0.0.1:81
            """,
            id="without a tree, the steps",
        ),
        pytest.param(
            explanation(
                outcome="neg",
                left=(bound("/#/dns/gone", addr="neg", age=3.2, stale=1, error="no"),),
                doubts=(
                    Doubt("/#/consul/a", "neg", 12.4, 10.0, "refused"),
                    Doubt("/#/consul/b", "neg", None, 0.0, "refused"),
                    Doubt("/#/consul/c", "neg", 2.0, 0.0, "3 endpoints of other versions"),
                ),
            ),
            root(
                Neg(path="/#/consul/a"),
                Neg(path="/#/consul/b"),
                Neg(path="/#/consul/c"),
                leaf("/#/dns/gone", addr="neg"),
            ),
            """
            /svc/web: neg: nothing is known by this name; a request gets 502
            /svc/web
            ├─ /#/consul/a                   left, nothing by that name (as of 12 s ago; its source fails: refused)
            ├─ /#/consul/b                   left, nothing by that name (its source fails: refused)
            ├─ /#/consul/c                   left, nothing by that name (as of 2 s ago; 3 endpoints of other versions)
            └─ /#/dns/gone   /svc => /#/fs   passed over, no such host or service (as of 3 s ago; its source fails: no)
            """,
            id="a name that a failing source denied",
        ),
        pytest.param(
            explanation(
                bound(WEB, "127.0.0.1:81"),
                steps=(Step("/svc/web", "/svc => /#/fs", WEB),),
                doubts=(
                    Doubt("/#/consul/a", "pending", None, 0.0, "refused"),
                    Doubt("/#/consul/b", "neg", 5.0, 5.0, "refused"),
                ),
            ),
            None,
            """
            /svc/web: bound
            not known yet: /#/consul/a (its source fails: refused)
            /svc/web      /svc => /#/fs   /#/fs/web
            /#/consul/b                   nothing by that name (as of 5 s ago; its source fails: refused)
            /#/fs/web                     bound
               127.0.0.1:81
            """,
            id="what is not known comes first",
        ),
        pytest.param(
            explanation(outcome="neg"),
            Neg(path="/svc/web"),
            """
            /svc/web: neg: nothing is known by this name; a request gets 502
            /svc/web      nothing by that name
            """,
            id="nothing at all",
        ),
    ],
)
def test_rendering(told: Explanation, tree: Node | None, text: str) -> None:
    assert render(told, tree) == dedent(text).strip()


@pytest.mark.parametrize(
    ("of", "says"),
    [
        pytest.param(bound(addr="neg"), "no such host or service; a request gets 502", id="neg"),
        pytest.param(bound(addr="pending"), "its addresses are not known yet", id="pending"),
        pytest.param(bound(addr="failed", error="timed out"), "its addresses cannot be found: timed out", id="failed"),
        pytest.param(bound(), "no endpoints; a request gets 503", id="bound to none"),
    ],
)
def test_a_bound_name_may_have_no_addresses(of: BoundLeaf, says: str) -> None:
    assert render(explanation(of), leaf()).splitlines()[-1].strip() == says


@pytest.mark.parametrize(
    ("of", "says"),
    [
        pytest.param(bound(WEB, "a:1", age=1.4), "the answer, version 2, 1 s old", id="fresh"),
        pytest.param(
            bound(WEB, "a:1", age=1.4, error="line 2: no port"),
            "the answer, version 2, 1 s old; but line 2: no port",
            id="a flaw of the answer",
        ),
        pytest.param(
            bound(WEB, "a:1", age=60, stale=47.2, error="refused", next_attempt=1.3),
            "the last good answer, version 2; failing for 47 s, now: refused; next attempt in 1 s",
            id="its source fails",
        ),
        pytest.param(
            bound(WEB, age=60, stale=47.2, error="refused"),
            "the last good answer, version 2; failing for 47 s, now: refused",
            id="without endpoints, and it is not known when it is asked again",
        ),
    ],
)
def test_how_fresh_the_addresses_are(of: BoundLeaf, says: str) -> None:
    assert render(explanation(of), leaf()).splitlines()[-1].strip() == says


def test_a_table_that_is_only_the_last_good_one_is_told_first() -> None:
    told = Explanation("/svc/web", "neg", (), None, (), dtab_error="dtab:1:8: expected a path", dtab_age=12.3)

    assert render(told, None).splitlines() == [
        "dtab: the last good one, 12 s old; since then: dtab:1:8: expected a path",
        "/svc/web: neg: nothing is known by this name; a request gets 502",
    ]


def test_why_a_name_that_was_passed_over_has_no_endpoints_stands_below_it() -> None:
    why = "none of the 2 instances of users may serve: 2 critical"
    told = render(
        explanation(bound(), left=(bound("/#/consul/users", error=why),)), root(leaf("/#/consul/users"), leaf())
    )

    passed_over, reason = told.splitlines()[2:4]
    assert passed_over.endswith("passed over, no endpoints")
    assert reason == f"│     {why}"


@pytest.mark.parametrize(("rank", "shown"), [(1, "2nd"), (2, "3rd"), (3, "4th"), (10, "11th"), (20, "21st")])
def test_a_rank_is_not_taken_for_the_number_of_the_record(rank: int, shown: str) -> None:
    state = NodeState("a:1", "alive", 0, 0, 0, priority=rank)

    assert render(explanation(bound(WEB, "a:1", state=(state,))), leaf()).endswith(f", {shown} priority")


def test_addresses_that_are_refused_stand_with_the_others_and_say_why() -> None:
    refused = (RefusedEndpoint("127.0.0.1:80", "127.0.0.0/8 is loopback"),)
    node = Leaf(path=WEB, bound=LeafName(WEB, "/", LeafAddress("bound")))
    some, none = (structs.replace(bound(WEB, *endpoints), refused=refused) for endpoints in (["10.0.0.1:80"], []))

    assert render(explanation(some), node).splitlines()[1:] == [
        "/#/fs/web      bound",
        "   10.0.0.1:80",
        "   127.0.0.1:80   refused: 127.0.0.0/8 is loopback",
    ]
    assert render(explanation(left=(none,), outcome="neg"), node).splitlines()[1:] == [
        "/#/fs/web      its addresses are refused",
        "   127.0.0.1:80   refused: 127.0.0.0/8 is loopback",
    ]
    assert render(explanation(none), node).splitlines()[1] == "/#/fs/web      bound, and its addresses are refused"


def test_a_long_name_does_not_widen_the_column_for_all() -> None:
    shown = render(explanation(bound()), root(Neg(path="/" + "x" * 100), leaf()))

    assert f"{'└─ /#/fs/web':50}   /svc => /#/fs   taken, bound" in shown.splitlines()
