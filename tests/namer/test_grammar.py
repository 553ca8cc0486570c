from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namer import grammar
from namer.dtab import ANY, Dtab, Prefix
from namer.grammar import NameSyntaxError, parse_dtab, parse_label, parse_path, parse_prefix, parse_tree
from namer.nametree import EMPTY, FAIL, NEG, Alt, Leaf, NameTree, Union, Weighted, show
from namer.path import Path
from tests.namer.strategies import dtabs, paths, prefixes, trees

A, B, C = (Leaf(Path((label,))) for label in "abc")


def union(*branches: tuple[float, NameTree[Path]]) -> Union[Path]:
    return Union(tuple(Weighted(weight, tree) for weight, tree in branches))


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        pytest.param("/a", A, id="a path"),
        pytest.param("/", Leaf(Path()), id="the empty path"),
        pytest.param("!", FAIL, id="fail"),
        pytest.param("~", NEG, id="neg"),
        pytest.param("$", EMPTY, id="empty"),
        pytest.param("/$", Leaf(Path(("$",))), id="a label that looks like empty"),
        pytest.param("/a | /b | ~", Alt((A, B, NEG)), id="alternatives"),
        pytest.param("/a & /b", union((1, A), (1, B)), id="a union without weights"),
        pytest.param("9 * /a & 0.5*/b & .5 * $", union((9, A), (0.5, B), (0.5, EMPTY)), id="weights"),
        pytest.param("/a | /b & /c", Alt((A, union((1, B), (1, C)))), id="& before |"),
        pytest.param("(/a | /b) & /c", union((1, Alt((A, B))), (1, C)), id="parentheses"),
        pytest.param("((/a))", A, id="parentheses that change nothing"),
        pytest.param("7 * /a", A, id="a lone weight is dropped"),
        pytest.param(" # which\n /a # or\n|\t/b ", Alt((A, B)), id="comments and space"),
        pytest.param("/a# | /b#", Alt((Leaf(Path(("a#",))), Leaf(Path(("b#",))))), id="# inside a label"),
    ],
)
def test_trees(text: str, tree: NameTree[Path]) -> None:
    assert parse_tree(text) == tree


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        pytest.param("/svc=>/foo/", 1, 12, "expected a label after '/', found the end", id="a slash at the end"),
        pytest.param("/svc=>/a//b", 1, 10, "expected a label after '/', found '/'", id="an empty label"),
        pytest.param("/svc=>/a b", 1, 10, "expected ';', '|', '&' or the end", id="two trees"),
        pytest.param("/svc=>1.2.3*/a", 1, 7, "a weight such as 9 or 0.5, found '1.2.3'", id="two dots"),
        pytest.param("/svc=>.*/a", 1, 7, "a weight such as 9 or 0.5, found '.'", id="only a dot"),
        pytest.param("/svc=>1e3*/a", 1, 8, "expected '*', found 'e'", id="an exponent"),
        pytest.param("/svc=>-1*/a", 1, 7, "expected a path, '(', '!', '~' or '$'", id="a negative weight"),
        pytest.param("/a=>1000000001*/a", 1, 5, "a weight of at most 1000000000", id="a huge weight"),
        pytest.param("/foo/*bar=>!", 1, 5, "'*' only as a whole label", id="a star before a label"),
        pytest.param("/foo/bar*=>!", 1, 9, "'*' only as a whole label", id="a star behind a label"),
        pytest.param("/foo => /bar/*", 1, 13, "'*' only as a whole label", id="a star in a tree"),
        pytest.param("/a => /b ;\n/c = /d", 2, 4, "expected '=>', found '='", id="on the second line"),
        pytest.param("/a => (/b | /c", 1, 15, "expected ')', found the end", id="an open parenthesis"),
        pytest.param("/a => /b)", 1, 9, "found ')'", id="a parenthesis too many"),
        pytest.param("/a => /b;;", 1, 10, "begins with '/', found ';'", id="an entry that is not there"),
        pytest.param("/a", 1, 3, "expected '=>', found the end", id="a prefix alone"),
        pytest.param("a => /b", 1, 1, "begins with '/', found 'a'", id="no slash"),
        pytest.param("/a => ", 1, 7, "expected a path", id="no tree"),
        pytest.param(r"/a => /\x4g", 1, 8, r"an escape \xHH with two hex digits", id="a bad escape"),
        pytest.param("/a => /é", 1, 8, "found 'é'", id="a letter that must be escaped"),
    ],
)
def test_an_error_says_where_and_what(text: str, line: int, column: int, message: str) -> None:
    with pytest.raises(NameSyntaxError) as caught:
        parse_dtab(text)

    assert (caught.value.line, caught.value.column) == (line, column)
    assert message in caught.value.message
    assert str(caught.value) == f"line {line}, column {column}: {caught.value.message}"
    assert caught.value.text == text


@pytest.mark.parametrize("text", ["", " ", "# nothing\n", "\n# nothing"])
def test_an_empty_table(text: str) -> None:
    assert parse_dtab(text) == Dtab.EMPTY


def test_a_table_may_end_in_a_semicolon_and_hold_comments() -> None:
    table = parse_dtab("/svc => /a # note\n;\n# all\n/*/x => ! ;")

    assert table.show() == "/svc => /a ; /*/x => !"


def test_a_prefix_may_hold_wildcards() -> None:
    assert parse_prefix("/http/*/web") == Prefix(("http", ANY, "web"))
    assert parse_prefix(r"/\x2a") == Prefix(("*",)), "an escaped star is a label"


@pytest.mark.parametrize("text", ["", "svc", "/svc /web", "/svc/", "/*", "/a|/b", "/a;"])
def test_what_is_no_path(text: str) -> None:
    with pytest.raises(NameSyntaxError):
        parse_path(text)


def test_space_may_stand_around_a_path() -> None:
    assert parse_path(" /svc/web\n") == Path(("svc", "web"))


def test_a_label_alone() -> None:
    assert parse_label(r"a\x20b") == "a b"
    for text in ("", "a/b", "*", "a b", "a ", "a #b"):
        with pytest.raises(NameSyntaxError, match="expected one label"):
            parse_label(text)


@given(paths())
def test_paths_are_read_back(path: Path) -> None:
    assert parse_path(path.show()) == path


@given(prefixes())
def test_prefixes_are_read_back(prefix: Prefix) -> None:
    assert parse_prefix(prefix.show()) == prefix


@given(trees(paths()))
def test_trees_are_read_back(tree: NameTree[Path]) -> None:
    assert parse_tree(show(tree)) == tree


@given(dtabs())
def test_tables_are_read_back(dtab: Dtab) -> None:
    assert parse_dtab(dtab.show()) == dtab


def refusal(parse: Callable[[str], object], text: str) -> NameSyntaxError | None:
    try:
        parse(text)
    except NameSyntaxError as error:
        return error
    return None


@given(st.one_of(st.text(max_size=40), st.text(alphabet="/ab=>|&$~!*()#;. \n\\x1", max_size=40)))
def test_any_text_is_read_or_refused_in_one_way(text: str) -> None:
    for parse in (parse_path, parse_tree, parse_prefix, parse_dtab, parse_label):
        error = refusal(parse, text)
        if error is not None:
            assert 1 <= error.line <= text.count("\n") + 1
            assert 1 <= error.column <= len(text) + 1


@pytest.mark.parametrize(
    ("parse", "text", "limit"),
    [
        pytest.param(parse_path, "/" + "a" * grammar.MAX_PATH_CHARS, "at most 32768 are read", id="path"),
        pytest.param(parse_tree, "/" + "a" * grammar.MAX_PATH_CHARS, "at most 32768 characters", id="path in tree"),
        pytest.param(parse_dtab, " " * (grammar.MAX_DTAB_CHARS + 1), "at most 16777216 are read", id="dtab"),
        pytest.param(parse_tree, "(" * 51 + "/a" + ")" * 51, "at most 50 parentheses", id="nesting"),
    ],
)
def test_what_comes_from_outside_is_bounded(parse: Callable[[str], object], text: str, limit: str) -> None:
    with pytest.raises(NameSyntaxError, match=limit):
        parse(text)


def test_the_deepest_tree_there_may_be() -> None:
    text = "/a"
    for _ in range(grammar.MAX_NESTING):
        text = f"(/b | /c & {text})"

    assert parse_tree(show(parse_tree(text))) == parse_tree(text)
