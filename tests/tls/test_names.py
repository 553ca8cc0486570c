"""Certificates by the name that is asked for."""

from __future__ import annotations

import pytest

from tls.names import by_name

KNOWN = {"users.example": 1, "*.users.example": 2, "*.example": 3}


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("users.example", 1),
        ("USERS.Example.", 1),
        ("a.users.example", 2),
        ("a.b.users.example", None),
        ("dogs.example", 3),
        ("example", None),
        ("", None),
        (".example", 3),
        ("*.example", 3),
        ("other.test", None),
    ],
)
def test_the_exact_name_is_before_a_wildcard_which_is_for_one_label(asked: str, found: int | None) -> None:
    assert by_name(KNOWN, asked) == found
