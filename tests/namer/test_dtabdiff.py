"""How dtabs differ."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namer.dtab import Dtab
from namer.dtabdiff import DtabDiff, diff


def shown(changes: DtabDiff) -> list[str]:
    removed = [f"- {each.position} {each.dentry.prefix}" for each in changes.removed]
    added = [f"+ {each.position} {each.dentry.prefix}" for each in changes.added]
    return removed + added + [f"~ {each.before} {each.after} {each.dentry.prefix}" for each in changes.moved]


def table(letters: str) -> Dtab:
    return Dtab.parse(" ; ".join(f"/{letter} => /to/{letter}" for letter in letters))


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        pytest.param("abc", "abc", [], id="nothing"),
        pytest.param("", "ab", ["+ 1 /a", "+ 2 /b"], id="all new"),
        pytest.param("ab", "", ["- 1 /a", "- 2 /b"], id="all gone"),
        pytest.param("abc", "abxc", ["+ 3 /x"], id="one more, and those behind it do not move"),
        pytest.param("abc", "ac", ["- 2 /b"], id="one less"),
        pytest.param("abcd", "dabc", ["~ 4 1 /d"], id="one that is put first is the one that moves"),
        pytest.param("abcd", "bcda", ["~ 1 4 /a"], id="one that is put last"),
        pytest.param("aab", "ab", ["- 2 /a"], id="one of two alike gone"),
        pytest.param("ab", "aba", ["+ 3 /a"], id="one alike more"),
        pytest.param("abc", "cxa", ["- 2 /b", "+ 2 /x", "~ 3 1 /c"], id="everything at once"),
    ],
)
def test_changes(old: str, new: str, changes: list[str]) -> None:
    assert shown(diff(table(old), table(new))) == changes


def test_comments_and_spacing_are_no_difference() -> None:
    assert not diff(Dtab.parse("/a=>/b;/c=>/d"), Dtab.parse("# first\n/a  =>  /b ;\n/c => /d ;"))


letters = st.text("abcd", max_size=8)


@given(letters, letters)
def test_the_changes_make_the_new_table_of_the_old(old: str, new: str) -> None:
    before, after = table(old), table(new)
    changes = diff(before, after)

    left = [
        each
        for place, each in enumerate(before.dentries, 1)
        if place not in {x.position for x in changes.removed} | {x.before for x in changes.moved}
    ]
    placed = {x.position: x.dentry for x in changes.added} | {x.after: x.dentry for x in changes.moved}
    still = iter(left)
    assert [placed.get(place) or next(still) for place in range(1, len(after) + 1)] == list(after.dentries)
    assert next(still, None) is None
