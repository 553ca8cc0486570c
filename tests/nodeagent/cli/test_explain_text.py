"""An explanation reads from top to bottom: what was tried, and where the traffic goes."""

from __future__ import annotations

from textwrap import dedent

import pytest

from nodeagent.cli.explain_documents import (
    Alternatives,
    BoundLeaf,
    Branch,
    Delegate,
    Dentry,
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
    state: tuple[NodeState, ...] = (),
) -> BoundLeaf:
    return BoundLeaf(id=id, residual=residual, weight=weight, addr=addr, endpoints=endpoints, error=error, state=state)


def explanation(
    *leaves: BoundLeaf, outcome: str = "bound", error: str | None = None, steps: tuple[Step, ...] = ()
) -> Explanation:
    return Explanation("/svc/web", outcome, leaves, error, steps)


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
                    error="line 2: no port",
                    state=(NodeState("127.0.0.1:81", "dead", 0.25, 3, 2),),
                )
            ),
            leaf(),
            """
            /svc/web: bound
            /#/fs/web      bound
               127.0.0.1:81   dead, 3 in flight, load 0.25, 2 ejections
               the last good answer; since then: line 2: no port
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


def test_a_long_name_does_not_widen_the_column_for_all() -> None:
    shown = render(explanation(bound()), root(Neg(path="/" + "x" * 100), leaf()))

    assert f"{'└─ /#/fs/web':50}   /svc => /#/fs   taken, bound" in shown.splitlines()
