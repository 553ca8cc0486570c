"""Which regular expressions are taken: those that end soon, whatever they are matched against."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conf.regex import check_regex


@pytest.mark.parametrize(
    "text",
    [
        ".*", "^/admin/shutdown$", "/admin/.*[.]json", "(/a|/b)/.*", "(?:/[a-z]+)?", "(/a){2}", "(ab)+", r"\(a+\)+",
        "[(a+)]+", "[]*)]+", "[^]*)]+",
        r"[\]*]+", "a|b*", "(?i)/a*", "(?P<x>a)+", r"\d+\w*", "",
    ],
)  # fmt: skip
def test_taken(text: str) -> None:
    assert check_regex(text) == text


@pytest.mark.parametrize(
    "text",
    ["(a+)+$", "(a*)*", "(.*a){1,}", "(a|aa)+$", "(?:a|a)*", "((a)+)+", "(x(a*)y)*", "(?P<x>[a-z]+)*", r"(\d+)+",
    "((a|b)c)+", "(a+)+?"],
)  # fmt: skip
def test_refused(text: str) -> None:
    with pytest.raises(ValueError, match="can match in many ways"):
        check_regex(text)


@given(st.text("ab()[]|*+?{},1\\.^$", max_size=12))
def test_whatever_is_taken_is_an_expression(text: str) -> None:
    try:
        check_regex(text)
    except ValueError:
        return
    re.compile(text)
