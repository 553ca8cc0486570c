"""Scalars -> values."""

from __future__ import annotations

import pytest

from conf.scalars import MismatchError, found, is_null, read_number, read_text, read_truth, takes
from conf.schema import Many, Number, Text, Truth
from conf.source import Mapping, Node, parse

WHOLE = Number(0, 65535, whole=True)
RATIO = Number(0.0, 1.0, whole=False)


def node(text: str) -> Node:
    root = parse(f"a: {text}", "l5d").root
    assert isinstance(root, Mapping)
    return root.entries[0][1]


def read(scalar: Node, shape: Truth | Number | Text) -> object:
    match shape:
        case Truth():
            return read_truth(scalar)
        case Number():
            return read_number(scalar, shape)
        case Text():
            return read_text(scalar, shape)


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("4140", 4140), ("+1", 1), ("10_000", 10_000)])
def test_whole_numbers(text: str, value: int) -> None:
    assert read_number(node(text), WHOLE) == value


@pytest.mark.parametrize(("text", "value"), [("0.5", 0.5), (".5", 0.5), ("1", 1.0), ("1.", 1.0), ("5e-1", 0.5)])
def test_numbers(text: str, value: float) -> None:
    read = read_number(node(text), RATIO)

    assert (read, type(read)) == (value, float)


@pytest.mark.parametrize("text", ["true", "True", "TRUE"])
def test_truth(text: str) -> None:
    assert read_truth(node(text)) is True
    assert read_truth(node(text.replace("true", "false").replace("True", "False").replace("TRUE", "FALSE"))) is False


@pytest.mark.parametrize(
    ("text", "shape", "message"),
    [
        pytest.param("no", Truth(), 'expected true or false, found the text "no"', id="yaml 1.1"),
        pytest.param("'true'", Truth(), 'expected true or false, found the text "true"', id="quoted truth"),
        pytest.param("0", Truth(), "expected true or false, found the number 0", id="zero"),
        pytest.param("x", WHOLE, 'expected a whole number from 0 to 65535, found the text "x"', id="text"),
        pytest.param(
            "'80'",
            WHOLE,
            'expected a whole number from 0 to 65535, found the text "80"; take away the quotes',
            id="quoted",
        ),
        pytest.param("1.5", WHOLE, "expected a whole number from 0 to 65535, found the number 1.5", id="fraction"),
        pytest.param("0777", WHOLE, "expected a whole number from 0 to 65535, found the number 0777", id="octal?"),
        pytest.param("0x10", WHOLE, 'expected a whole number from 0 to 65535, found the text "0x10"', id="hexadecimal"),
        pytest.param("true", WHOLE, "expected a whole number from 0 to 65535, found true", id="truth"),
        pytest.param("~", WHOLE, "expected a whole number from 0 to 65535, found nothing", id="nothing"),
        pytest.param("[1]", WHOLE, "expected a whole number from 0 to 65535, found a list", id="list"),
        pytest.param("{b: 1}", WHOLE, "expected a whole number from 0 to 65535, found a mapping", id="mapping"),
        pytest.param("70000", WHOLE, "70000 is out of range; expected a whole number from 0 to 65535", id="high"),
        pytest.param("-1", WHOLE, "-1 is out of range; expected a whole number from 0 to 65535", id="low"),
        pytest.param("1e400", RATIO, "1e400 is out of range; expected a number from 0 to 1", id="infinite"),
        pytest.param(".nan", RATIO, 'expected a number from 0 to 1, found the text ".nan"', id="not a number"),
        pytest.param(
            "9" * 5000, WHOLE, f'expected a whole number from 0 to 65535, found the text "{"9" * 57}..."', id="long"
        ),
        pytest.param(
            "5", Text(), "expected text, found the number 5; put it in quotes if it is text", id="number as text"
        ),
        pytest.param("true", Text(), "expected text, found true; put it in quotes if it is text", id="truth as text"),
        pytest.param("[]", Text(), "expected text, found a list", id="list as text"),
        pytest.param("''", Text(shortest=1), "expected text, found an empty text", id="empty"),
        pytest.param("abc", Text(longest=2), "expected at most 2 characters, found 3", id="too long"),
    ],
)
def test_what_was_expected_and_what_was_found(text: str, shape: Truth | Number | Text, message: str) -> None:
    with pytest.raises(MismatchError) as raised:
        read(node(text), shape)

    assert str(raised.value) == message


@pytest.mark.parametrize(("text", "read"), [("no", "no"), ("1.2.3.4", "1.2.3.4"), ("'5'", "5"), ("''", "")])
def test_texts(text: str, read: str) -> None:
    assert read_text(node(text)) == read


@pytest.mark.parametrize(("text", "null"), [("", True), ("~", True), ("null", True), ("''", False), ("[]", False)])
def test_a_key_without_a_value(text: str, null: bool) -> None:
    assert is_null(node(text)) is null


def test_words() -> None:
    assert takes(Many(Truth())) == "a list"
    assert found(node("abc")) == 'the text "abc"'
