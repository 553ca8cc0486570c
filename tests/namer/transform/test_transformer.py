"""Transformers around namers: what they change, what they leave alone, and that the result is live."""

import pytest

from namer.addr import AddrBound, Endpoint
from namer.binding import bind, shares
from namer.cell import Cell
from namer.dtab import Dtab
from namer.namer import PENDING, Bound, ConstantNamer, Failure, NameState, Pending
from namer.nametree import EMPTY, FAIL, NEG, Alt, Leaf, NameTree, Union, Weighted
from namer.path import Path
from namer.transform.addresses import port
from namer.transform.names import Const
from namer.transform.transformer import Transformer, transform, transformed, transformed_namers
from tests.namer.fakes import FakeNamer

WEB = Path.parse("/#/fake/web")
MARK = Path.parse("/mark")


def bound(id_: str, residual: str = "/") -> NameTree[Bound]:
    return Leaf(Bound(Path.parse(id_), Path.parse(residual), Cell.constant(AddrBound(()))))


WAS, IS = bound("/#/fake/web", "/x"), bound("/%/mark/#/fake/web", "/x")
PATH: NameTree[Path | Bound] = Leaf(WEB)


@pytest.mark.parametrize(
    ("state", "becomes"),
    [
        pytest.param(WAS, IS, id="a bound name"),
        pytest.param(Alt((WAS, NEG)), Alt((IS, NEG)), id="alternatives"),
        pytest.param(Union((Weighted(2.0, WAS),)), Union((Weighted(2.0, IS),)), id="weights"),
        pytest.param(NEG, NEG, id="no such name"),
        pytest.param(EMPTY, EMPTY, id="nobody there"),
        pytest.param(FAIL, FAIL, id="fail"),
        pytest.param(PATH, PATH, id="a name still to be bound"),
        pytest.param(Alt((WAS, PATH)), Alt((WAS, PATH)), id="one of two still to be bound"),
        pytest.param(Union((Weighted(1.0, PATH),)), Union((Weighted(1.0, PATH),)), id="a branch still to be bound"),
        pytest.param(PENDING, PENDING, id="not known yet"),
        pytest.param(Failure("down"), Failure("down"), id="an error"),
    ],
)
def test_what_becomes_of_an_answer(state: NameState, becomes: NameState) -> None:
    assert transform(port(MARK, 4141), state) == becomes


def test_several_apply_in_their_order() -> None:
    namer = transformed(FakeNamer("/#/fake", "web"), [port(Path(("one",)), 1), port(Path(("two",)), 2)])

    assert namer.lookup(Path(("web",))).value == bound("/%/two/%/one/#/fake/web")


def test_without_any_a_namer_is_itself() -> None:
    namer = ConstantNamer(NEG)

    assert transformed(namer, []) is namer


def test_an_answer_is_followed() -> None:
    fake = FakeNamer("/#/fake")
    source = fake.cell("web")
    cell = transformed(fake, [port(MARK, 4141)]).lookup(Path(("web",)))
    cell.subscribe(lambda: None)
    seen = [cell.value]

    source.set(bound("/#/fake/web"), 1.0)
    seen.append(cell.value)
    source.fail("gone", 2.0)

    assert seen == [PENDING, bound("/%/mark/#/fake/web")]
    assert cell.error == "gone"


def router(transformer: Transformer) -> list[tuple[str, list[str]]]:
    """The ids and endpoints that names of a router with this transformer are bound to."""
    fake = FakeNamer("/#/fake", "web")
    fake.serve("web", Endpoint("10.0.0.1", 80))
    dtab = Dtab.parse("/svc => /#/fake; /svc/fixed => /$/inet/127.0.0.1/80; /svc/none => $")
    builtin = {"inet": FakeNamer("/$/inet", "127.0.0.1/80")}
    namers = transformed_namers([(Path(("#", "fake")), fake)], builtin, [transformer])
    found = []
    for name in ("/svc/web", "/svc/fixed", "/svc/unknown", "/svc/none"):
        state = bind(Path.parse(name), dtab, namers).state
        assert not isinstance(state, (Pending, Failure))
        found.append((name, [share.bound.id.show() for share in shares(state)]))
    return found


def test_all_names_of_a_router_go_through_its_transformers() -> None:
    assert router(port(MARK, 4141)) == [
        ("/svc/web", ["/%/mark/#/fake/web"]),
        ("/svc/fixed", ["/%/mark/$/inet/127.0.0.1/80"]),
        ("/svc/unknown", []),
        ("/svc/none", []),
    ]


def test_const_binds_whatever_no_dentry_rewrites_or_forbids() -> None:
    const = Const(MARK, Path.parse("/$/inet/h/1"), {"inet": FakeNamer("/$/inet", "h/1")})
    there = ["/%/mark/$/inet/h/1"]

    assert router(const) == [("/svc/web", there), ("/svc/fixed", there), ("/svc/unknown", there), ("/svc/none", [])]
