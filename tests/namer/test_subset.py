"""Subsets: how they are written, and who is in them."""

from __future__ import annotations

import pytest

from namer.subset import MAX_TERMS, Meta, Subset, split

V2: Meta = (("tag", "v2"), ("tag", "Canary"), ("tag", "rack=7"), ("zone", "a"))


@pytest.mark.parametrize(
    ("label", "name", "subset"),
    [
        pytest.param("users", "users", None, id="all of it"),
        pytest.param("users;v=2", "users", Subset(("v=2",)), id="one term"),
        pytest.param("users;V=2;zone=A", "users", Subset(("v=2", "zone=a")), id="several, in any case"),
        pytest.param("users;;", "users", None, id="no terms"),
        pytest.param(";v=2", "", Subset(("v=2",)), id="of nothing"),
        pytest.param("users" + ";a" * (MAX_TERMS + 1), "users" + ";a" * (MAX_TERMS + 1), None, id="too many"),
    ],
)
def test_a_label_is_a_name_and_a_subset(label: str, name: str, subset: Subset | None) -> None:
    assert split(label) == (name, subset)


@pytest.mark.parametrize(
    ("terms", "is_in"),
    [
        pytest.param("zone=a", True, id="metadata"),
        pytest.param("zone=b", False, id="other metadata"),
        pytest.param("v=2", True, id="a tag that ends in the value"),
        pytest.param("v=3", False, id="another tag"),
        pytest.param("rack=7", True, id="a tag with the term"),
        pytest.param("canary", True, id="a bare tag, in any case"),
        pytest.param("zone", False, id="a bare word is a tag, no key"),
        pytest.param("v=2;zone=a", True, id="all must hold"),
        pytest.param("v=2;zone=b", False, id="one does not"),
        pytest.param("tag=v2", True, id="the key of tags"),
    ],
)
def test_who_is_in_a_subset(terms: str, is_in: bool) -> None:
    subset = split(f"users;{terms}")[1]

    assert subset is not None
    assert subset.matches(V2) is is_in


@pytest.mark.parametrize(
    ("others", "told"),
    [
        (0, "no instance of users has v=2 and zone=a"),
        (1, "no instance of users has v=2 and zone=a; 1 other has not"),
        (3, "no instance of users has v=2 and zone=a; 3 others have not"),
    ],
)
def test_what_is_said_when_nobody_is(others: int, told: str) -> None:
    assert Subset(("v=2", "zone=a")).nobody("users", others) == told
