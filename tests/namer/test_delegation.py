import json
import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings

from namer.addr import Addr, AddrBound, AddrFailed, AddrNeg, AddrPending, Endpoint
from namer.binding import Namers
from namer.builtin import builtin_namers
from namer.cell import Cell
from namer.delegation import Delegation, delegate
from namer.dtab import Dtab
from namer.hosts import Hosts
from namer.namer import Failure
from namer.path import Path
from namer.watch import Watches
from tests.namer.fakes import FakeNamer
from tests.namer.strategies import dtabs, few_labels, paths

BUILTIN = builtin_namers(Hosts(Watches(random.Random(7))))
FS = "/#/io.l5d.fs"


def drawn(dtab: str, name: str, *namers: FakeNamer) -> Delegation:
    configured = Namers([(each.prefix, each) for each in namers], BUILTIN)
    return delegate(Path.parse(name), Dtab.parse(dtab), configured)


def leaf(path: str, dentry: tuple[str, str], id_: str, residual: str = "/", addrs: Sequence[object] = ()) -> object:
    addr = {"type": "bound", "addrs": list(addrs), "meta": {}}
    return node("leaf", path, *dentry, bound={"addr": addr, "id": id_, "path": residual})


def node(kind: str, path: str, prefix: str, dst: str, **rest: object) -> object:
    return {"type": kind, "path": path, "dentry": {"prefix": prefix, "dst": dst}, **rest}


def test_a_name_that_is_bound() -> None:
    fs = FakeNamer(FS)
    fs.serve("web", Endpoint("10.0.0.1", 80), Endpoint("10.0.0.2", 80, 0.5, (("zone", "a"),)))

    tree = drawn("/svc => /#/io.l5d.fs", "/svc/web/x", fs).tree.to_json()

    addrs = [
        {"ip": "10.0.0.1", "port": 80, "meta": {}},
        {"ip": "10.0.0.2", "port": 80, "meta": {"zone": "a", "endpoint_addr_weight": 0.5}},
    ]
    rule = ("/svc", FS)
    assert tree == {
        "type": "delegate",
        "path": "/svc/web/x",
        "delegate": leaf(f"{FS}/web/x", rule, f"{FS}/web", "/x", addrs),
    }


def test_the_example_of_linkerd() -> None:
    """The table of linkerd 1.x's own DelegateApiHandlerTest, and the tree it expects there."""
    table = """
        /beh => /#/error ;
        /bah/humbug => /$/inet/127.0.0.1/8080 ;
        /foo => /bah | /beh | /$/fail ;
        /foo => /bar ;
        /boo => /foo ;
        /meh => /heh ;
    """
    error = FakeNamer("/#/error")
    error.cell("humbug").set(Failure("error naming /#/error/humbug"), now=0.0)

    tree = drawn(table, "/boo/humbug", error).tree.to_json()

    three = "/bah | /beh | /$/fail"
    local = [{"ip": "127.0.0.1", "port": 8080, "meta": {}}]
    inet, exception = "/$/inet/127.0.0.1/8080", {"message": "error naming /#/error/humbug"}
    assert tree == {
        "type": "delegate",
        "path": "/boo/humbug",
        "delegate": node(
            *("alt", "/foo/humbug", "/boo", "/foo"),
            alt=[
                node("neg", "/bar/humbug", "/foo", "/bar"),
                node(
                    "delegate",
                    "/bah/humbug",
                    "/foo",
                    three,
                    delegate=leaf(inet, ("/bah/humbug", inet), inet, addrs=local),
                ),
                node(
                    *("delegate", "/beh/humbug", "/foo", three),
                    delegate=node("exception", "/#/error/humbug", "/beh", "/#/error", **exception),
                ),
                node("fail", "/$/fail/humbug", "/foo", three),
            ],
        ),
    }


def test_all_kinds_of_nodes() -> None:
    fs = FakeNamer(FS, "a", "b")
    table = f"/svc => 3 * {FS}/a & 1 * ({FS}/b | ~ | $) & ! & /$/nil/x"

    dst = f"3 * {FS}/a & ({FS}/b | ~ | $) & ! & /$/nil/x"
    assert drawn(table, "/svc", fs).tree.to_json() == {
        "type": "union",
        "path": "/svc",
        "union": [
            {"weight": 3.0, "tree": leaf(f"{FS}/a", ("/svc", dst), f"{FS}/a")},
            {
                "weight": 1.0,
                "tree": node(
                    *("alt", "/svc", "/svc", dst),
                    alt=[
                        leaf(f"{FS}/b", ("/svc", dst), f"{FS}/b"),
                        node("neg", "~", "/svc", dst),
                        node("empty", "/svc", "/svc", dst),
                    ],
                ),
            },
            {"weight": 1.0, "tree": node("fail", "!", "/svc", dst)},
            {"weight": 1.0, "tree": node("empty", "/$/nil/x", "/svc", dst)},
        ],
    }


@pytest.mark.parametrize(
    ("table", "name", "tree"),
    [
        pytest.param("", "/", {"type": "neg", "path": "/"}, id="the empty name"),
        pytest.param("", "/svc", {"type": "neg", "path": "/svc"}, id="nothing"),
        pytest.param("", "/$/fail/x", {"type": "fail", "path": "/$/fail/x"}, id="fail"),
        pytest.param("", "/$/nil", {"type": "empty", "path": "/$/nil"}, id="empty"),
        pytest.param("/svc => ~", "/svc", {"type": "neg", "path": "/svc"}, id="a lone ~ is for the namers"),
        pytest.param(
            "/svc => !",
            "/svc",
            {"type": "delegate", "path": "/svc", "delegate": node("fail", "!", "/svc", "!")},
            id="a rule that fails",
        ),
        pytest.param(
            "/svc => $",
            "/svc",
            {"type": "delegate", "path": "/svc", "delegate": node("empty", "/svc", "/svc", "$")},
            id="a rule that is empty",
        ),
        pytest.param(
            "/svc => /a | /b",
            "/svc",
            {
                "type": "alt",
                "path": "/svc",
                "alt": [node("neg", "/a", "/svc", "/a | /b"), node("neg", "/b", "/svc", "/a | /b")],
            },
            id="alternatives of one rule",
        ),
        pytest.param(
            "/svc => /$/io.buoyant.http.anyMethod",
            "/svc/GET/x",
            {
                "type": "delegate",
                "path": "/svc/GET/x",
                "delegate": node("neg", "/x", "/svc", "/$/io.buoyant.http.anyMethod"),
            },
            id="a namer that rewrites",
        ),
    ],
)
def test_small_trees(table: str, name: str, tree: object) -> None:
    assert drawn(table, name).tree.to_json() == tree


@pytest.mark.parametrize(
    ("addr", "shown", "pending"),
    [
        (AddrPending(), {"type": "pending"}, True),
        (AddrNeg(), {"type": "neg"}, False),
        (AddrFailed("down"), {"type": "failed", "cause": "down"}, False),
        (AddrBound(()), {"type": "bound", "addrs": [], "meta": {}}, False),
    ],
)
def test_the_address_of_a_leaf(addr: Addr, shown: object, pending: bool) -> None:
    fs = FakeNamer("/#/x")
    fs.addrs[Path.parse("/web")] = Cell(addr)

    delegation = drawn("/svc => /#/x", "/svc/web", fs)

    assert delegation.tree.to_json() == {
        "type": "delegate",
        "path": "/svc/web",
        "delegate": node("leaf", "/#/x/web", "/svc", "/#/x", bound={"addr": shown, "id": "/#/x/web", "path": "/"}),
    }
    assert delegation.pending is pending
    assert fs.addrs[Path.parse("/web")] in delegation.cells


def test_what_is_not_known_yet() -> None:
    namer = FakeNamer("/#/x")
    cell = namer.cell("web")

    delegation = drawn("/svc => /$/nil | /#/x/web", "/svc", namer)

    assert delegation.pending, "every alternative is drawn, also behind one that holds"
    assert cell in delegation.cells
    assert delegation.tree.to_json()["alt"][1]["message"] == "not known yet"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("/a => /a & /a", "more than 10000 steps"),
        ("/a => /b ; /b => /a", "the dtab goes in a circle"),
        ("/a => /$/none", "there is no namer /$/none"),
    ],
)
def test_what_cannot_be_followed(table: str, message: str) -> None:
    tree = json.dumps(drawn(table, "/a").tree.to_json())

    assert '"type": "exception"' in tree
    assert message in tree


@settings(max_examples=30)  # some of the trees are as large as they may be
@given(dtabs(few_labels), paths(few_labels))
def test_every_tree_can_be_drawn_and_written(dtab: Dtab, path: Path) -> None:
    json.dumps(delegate(path, dtab, Namers([], BUILTIN)).tree.to_json())
