"""A table from outside: the last good one holds, and a bad one is told."""

from __future__ import annotations

import pytest

from namer.cell import Cell
from namer.dtab import Dtab
from namer.dtabcell import DtabState, dtab_document, parse_table
from namer.namer import PENDING, Failure

GOOD = Dtab.parse("/svc => /a")


@pytest.fixture
def cell() -> Cell[DtabState]:
    return Cell(PENDING)


def test_a_table_holds_with_the_own_behind_it(cell: Cell[DtabState]) -> None:
    dtab_document(Dtab.parse("/svc/x => /y")).arrived(cell, "/svc => /a", "kv a", 1.0)

    assert (cell.value, cell.error) == (GOOD + Dtab.parse("/svc/x => /y"), None)


def test_a_bad_table_says_where_and_changes_nothing(cell: Cell[DtabState]) -> None:
    dtab_document().arrived(cell, "/svc => /a", "kv a", 1.0)
    dtab_document().arrived(cell, "/svc => /a ;\n/b => c", "kv a", 2.0)

    assert cell.value == GOOD
    assert str(cell.error).startswith("kv a:2:7: ")


def test_without_a_good_table_the_problem_is_the_state(cell: Cell[DtabState]) -> None:
    dtab_document().unusable(cell, "kv a: gone", 1.0, retry_at=3.0)

    assert (cell.value, cell.error, cell.retry_at) == (Failure("kv a: gone"), "kv a: gone", 3.0)


def test_the_log_says_that_something_stays_only_where_something_does(
    cell: Cell[DtabState], capsys: pytest.CaptureFixture[str]
) -> None:
    dtab_document().unusable(cell, "kv a: gone", 1.0)
    dtab_document().arrived(cell, "/svc => /a", "kv a", 2.0)
    dtab_document().unusable(cell, "kv a: gone", 3.0)

    lines = capsys.readouterr().out.splitlines()
    assert ["what was good before stays" in line for line in lines] == [False, True]


def test_a_table_is_parsed_with_the_own_behind_it_and_what_it_shares_with_the_one_before() -> None:
    table = parse_table("/svc => /a ; /x => /z", Dtab.parse("/svc/x => /y"), GOOD)

    assert table == Dtab.parse("/svc => /a ; /x => /z ; /svc/x => /y")
    assert table.dentries[0] is GOOD.dentries[0]
    assert parse_table("/svc => /a", Dtab.EMPTY, None) == GOOD
