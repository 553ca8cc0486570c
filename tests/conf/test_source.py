"""Text -> nodes with positions, by both parsers of PyYAML; and the bounds."""

from __future__ import annotations

import pytest
import yaml

from conf import source
from conf.errors import ConfigErrors
from conf.source import Items, Mapping, Node, Scalar, parse


@pytest.fixture(params=["CSafeLoader", "SafeLoader"], autouse=True)
def _loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "_LOADER", getattr(yaml, request.param))


def outline(node: Node) -> object:
    """A tree as plain data: scalars as "text@line:column"."""
    match node:
        case Scalar():
            return f"{node.text}@{node.position.line}:{node.position.column}"
        case Items():
            return [outline(item) for item in node.items]
        case Mapping():
            return [(outline(key), outline(value)) for key, value in node.entries]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("a: 1\nb:\n- x\n", [("a@1:1", "1@1:4"), ("b@2:1", ["x@3:3"])], id="block"),
        pytest.param('{"a": {"b": [1]}}', [("a@1:2", [("b@1:8", ["1@1:14"])])], id="json"),
        pytest.param("a: 1\r\nb: 2\r\n", [("a@1:1", "1@1:4"), ("b@2:1", "2@2:4")], id="dos lines"),
        pytest.param("\ufeffa: 1", [("a@1:1", "1@1:4")], id="a byte order mark"),
        pytest.param("é: ü # c\n日: x", [("é@1:1", "ü@1:4"), ("日@2:1", "x@2:4")], id="columns are characters"),
        pytest.param("a: &x 1\nb: *x", [("a@1:1", "1@1:4"), ("b@2:1", "1@1:4")], id="an alias is its anchor"),
        pytest.param("a: 1\na: 2", [("a@1:1", "1@1:4"), ("a@2:1", "2@2:4")], id="doubles are kept"),
        pytest.param("a: |\n  x\n  y\n", [("a@1:1", "x\ny\n@1:4")], id="a block of text"),
    ],
)
def test_nodes_know_where_they_stand(text: str, expected: object) -> None:
    assert outline(parse(text, "l5d").root) == expected


BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{below}'] * 10)}]\n" for below, name in zip("abcde", "bcdef", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", '1:1: empty; expected at least the key "routers"', id="nothing"),
        pytest.param("# only a comment\n", '1:1: empty; expected at least the key "routers"', id="a comment"),
        pytest.param("a: 1\n--- \nb: 1\n", "2:1: a second document begins; expected only one", id="two documents"),
        pytest.param("a: *x", "1:4: the alias *x has no anchor &x before it", id="an unknown alias"),
        pytest.param("a: &x [1, *x]", "1:11: the alias *x stands inside what it names", id="an endless alias"),
        pytest.param("a: !!int 5", "1:4: the tag tag:yaml.org,2002:int is not understood; leave it out", id="a tag"),
        pytest.param("a: !x {b: 1}", "1:4: the tag !x is not understood; leave it out", id="a tag of a mapping"),
        pytest.param("[" * 100, "1:41: more than 40 levels of nesting", id="too deep"),
        pytest.param(
            "[" + "x," * 200_000, "1:400000: more than 200000 values; expected a configuration", id="too many"
        ),
        pytest.param(BOMB, "5:4: more than 200000 values; expected a configuration", id="a bomb of aliases"),
        pytest.param("a: \x01", "1:4: the character U+0001 may not stand in YAML", id="a control character"),
        pytest.param("a: \ufeff", "1:4: the character U+FEFF may not stand in YAML", id="a byte order mark inside"),
        pytest.param("a:\n  é\udc80", "2:4: the character U+DC80 may not stand in YAML", id="half a character"),
        pytest.param(
            f'"{"x" * 8 * 1024 * 1024}"', "1:1: 8388610 bytes; a configuration may have at most 8388608", id="size"
        ),
    ],
)
def test_what_is_no_configuration_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigErrors) as raised:
        parse(text, "l5d")

    assert str(raised.value) == f"l5d:{message}"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        pytest.param("a: b: c", "1:5", id="a colon too many"),
        pytest.param("a: [1, 2\nb: 3\n", "2:2", id="an open bracket"),
        pytest.param("a: 1\n\tb: 2", "2:1", id="a tab"),
        pytest.param('a: "x', "1:6", id="an open quote"),
        pytest.param("%YAML 9.9\n---\na: 1", "1:1", id="a later YAML"),
    ],
)
def test_a_syntax_error_has_a_place_and_is_one_line(text: str, place: str) -> None:
    with pytest.raises(ConfigErrors) as raised:
        parse(text, "l5d")

    assert str(raised.value).startswith(f"l5d:{place}: not valid YAML: ")
    assert "\n" not in str(raised.value)
