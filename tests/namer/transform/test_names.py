"""Transformers of names."""

import random

import pytest

from namer.addr import AddrBound, Endpoint
from namer.builtin import builtin_namers
from namer.cell import Cell
from namer.hosts import Hosts
from namer.namer import Bound
from namer.nametree import EMPTY, NEG, Leaf, NameTree
from namer.path import Path
from namer.transform.names import Const, Replace
from namer.watch import Watches

WEB = Bound(Path.parse("/#/io.l5d.fs/web"), Path(), Cell.constant(AddrBound(())))
BUILTIN = builtin_namers(Hosts(Watches(random.Random(1))))
PATH = Path.parse("/$/inet/127.0.0.1/80/rest")


def shown(tree: NameTree[Bound]) -> tuple[str, str, object]:
    assert isinstance(tree, Leaf)
    return tree.value.id.show(), tree.value.residual.show(), tree.value.addr.value


def test_replace_puts_its_path_for_what_is_bound() -> None:
    replace = Replace(Path(("io.l5d.replace",)), PATH, BUILTIN)

    assert shown(replace.bound(WEB)) == (
        "/%/io.l5d.replace/$/inet/127.0.0.1/80/rest",
        "/rest",
        AddrBound((Endpoint("127.0.0.1", 80),)),
    )
    assert replace.unbound(NEG) == NEG


def test_const_puts_its_path_for_everything() -> None:
    const = Const(Path(("io.l5d.const",)), PATH, BUILTIN)

    assert shown(const.bound(WEB))[0] == "/%/io.l5d.const/$/inet/127.0.0.1/80/rest"
    assert const.unbound(NEG) == const.bound(WEB)


def test_a_path_that_nobody_serves() -> None:
    assert Replace(Path(("r",)), Path.parse("/$/nil"), BUILTIN).bound(WEB) == EMPTY


def test_a_path_of_no_namer_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^/\$/inett/h/1 cannot be bound: there is no namer /\$/inett; there are "):
        Replace(Path(("r",)), Path.parse("/$/inett/h/1"), BUILTIN)


def test_a_path_that_is_no_name_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^/\$/inet is no name; expected one such as /\$/inet/127\.0\.0\.1/4141$"):
        Const(Path(("c",)), Path.parse("/$/inet"), BUILTIN)
