"""What the admin pages answer is what the command understands."""

from __future__ import annotations

import json

import msgspec
import pytest

from namer.binding import Namers
from namer.delegation import delegate
from namer.dtab import Dtab
from namer.namer import ConstantNamer
from namer.nametree import EMPTY, FAIL
from namer.path import Path
from nodeagent.cli.explain_documents import DELEGATION, EXPLANATION, Node, state_of

NAMERS = Namers([], {"nil": ConstantNamer(EMPTY), "fail": ConstantNamer(FAIL)})


def drawn(dtab: str) -> Node:
    """The tree of /a as it comes over the wire."""
    tree = delegate(Path.parse("/a"), Dtab.parse(dtab), NAMERS).tree
    return DELEGATION.decode(json.dumps(tree.to_json()))


@pytest.mark.parametrize(
    ("dtab", "state"),
    [
        pytest.param("", "neg", id="nothing"),
        pytest.param("/a => ~", "neg", id="Neg"),
        pytest.param("/a => !", "fail", id="Fail"),
        pytest.param("/a => $", "empty", id="Empty"),
        pytest.param("/a => /b ; /b => /$/nil", "empty", id="delegated"),
        pytest.param("/a => /$/unheard-of", "error", id="a failure"),
        pytest.param("/a => ~ | $ | !", "empty", id="the first alternative that is not Neg"),
        pytest.param("/a => ~ | ! | $", "fail", id="even if that is Fail"),
        pytest.param("/a => ! & ~", "neg", id="a union of what is left out"),
        pytest.param("/a => ! & 3 * $", "empty", id="a union with an Empty branch"),
        pytest.param("/a => /$/unheard-of & ~", "error", id="a union with a failed branch"),
    ],
)
def test_what_a_tree_comes_to(dtab: str, state: str) -> None:
    assert state_of(drawn(dtab)) == state


@pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b'{"name": 1}', b"\xff", b'{"name":"/a","outcome":"bound"}'])
def test_anything_else_is_refused(answer: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        EXPLANATION.decode(answer)
