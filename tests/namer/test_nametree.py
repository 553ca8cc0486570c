import pytest
from hypothesis import given

from namer.grammar import parse_tree
from namer.nametree import (
    EMPTY,
    FAIL,
    NEG,
    Alt,
    Leaf,
    NameTree,
    Union,
    Weighted,
    evaluate,
    map_leaves,
    show,
    show_weight,
    simplify,
)
from namer.path import Path
from tests.namer.strategies import paths, trees


def leaves(*written: str) -> frozenset[Path]:
    return frozenset(Path.parse(each) for each in written)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("~ | $ | /x", leaves()),
        ("! | /ok", None),
        ("/ok & !", leaves("/ok")),
        ("~ | /ok | !", leaves("/ok")),
        ("~", None),
        ("!", None),
        ("$", leaves()),
        ("/a & /b", leaves("/a", "/b")),
        ("/a & ~", leaves("/a")),
        ("/a & $", leaves("/a")),
        ("~ & !", None),
        ("(~ & !) | /b", leaves("/b")),
        ("(/a & !) | /b", leaves("/a")),
        ("(/a | /b) & /c", leaves("/a", "/c")),
    ],
)
def test_what_a_tree_means(text: str, meaning: frozenset[Path] | None) -> None:
    assert evaluate(parse_tree(text)) == meaning


@pytest.mark.parametrize(
    ("text", "simple"),
    [
        ("~ | /a", "/a"),
        ("~ | ~", "~"),
        ("/a | ! | /b", "/a | !"),
        ("! | /a", "!"),
        ("~ | $ | /a", "$ | /a"),
        ("9 * /a & 1 * !", "/a"),
        ("9 * /a & 1 * ~", "/a"),
        ("9 * /a & 1 * $", "9 * /a & 1 * $"),
        ("1 * $ & 2 * ~", "$"),
        ("1 * $ & 2 * $", "$"),
        ("! & !", "~"),
        ("(~ & !) | /b", "/b"),
        ("2 * (~ | /a) & 3 * (! | /b) & /c", "2 * /a & /c"),
    ],
)
def test_simplifying(text: str, simple: str) -> None:
    assert simplify(parse_tree(text)) == parse_tree(simple)


@pytest.mark.parametrize("tree", [Alt(()), Union(())], ids=["alt", "union"])
def test_no_branches_are_nothing(tree: NameTree[Path]) -> None:
    assert simplify(tree) == NEG
    assert evaluate(tree) is None
    assert show(tree) == "~"


@given(trees(paths()))
def test_simplifying_keeps_the_meaning(tree: NameTree[Path]) -> None:
    assert evaluate(simplify(tree)) == evaluate(tree)


@given(trees(paths()))
def test_simplifying_twice_changes_nothing(tree: NameTree[Path]) -> None:
    assert simplify(simplify(tree)) == simplify(tree)


@given(trees(paths()))
def test_mapping_keeps_the_shape(tree: NameTree[Path]) -> None:
    assert map_leaves(lambda path: path, tree) == tree
    assert map_leaves(len, map_leaves(lambda path: path / "x", tree)) == map_leaves(lambda path: len(path) + 1, tree)


@pytest.mark.parametrize(
    ("tree", "written"),
    [
        (Alt((Leaf("/a"), Alt((Leaf("/b"), NEG)))), "/a | (/b | ~)"),
        (Union((Weighted(0.25, Leaf("/a")), Weighted(1, EMPTY), Weighted(3, FAIL))), "0.25 * /a & $ & 3 * !"),
        (Union((Weighted(2, Leaf("/a")),)), "/a"),
    ],
)
def test_showing(tree: NameTree[str], written: str) -> None:
    assert show(tree) == written


@pytest.mark.parametrize(
    ("weight", "written"),
    [
        (9.0, "9"),
        (0.1, "0.1"),
        (1e-7, "0.0000001"),
        (1e9, "1000000000"),
        (0.0, "0"),
        (0.30000000000000004,) * 2,
    ],
)
def test_a_weight_is_written_exactly_and_without_an_exponent(weight: float, written: object) -> None:
    assert show_weight(weight) == str(written)
    assert float(show_weight(weight)) == weight
