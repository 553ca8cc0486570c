"""A table in a file: followed, and never lost by a bad or missing one."""

from __future__ import annotations

import pathlib
import random
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from namer import dtabcell
from namer.cell import Cell
from namer.dtab import Dtab
from namer.dtabcell import DtabState, parse_table
from namer.dtabfile import dtab_file
from namer.files import FileWatch
from namer.namer import Failure
from namer.watch import Watches

GOOD = "/svc => /#/io.l5d.fs ; # a comment\n"


@asynccontextmanager
async def following(path: pathlib.Path, behind: Dtab = Dtab.EMPTY) -> AsyncIterator[Cell[DtabState]]:
    watches, files = Watches(random.Random(1)), FileWatch(interval=0.02)
    async with trio.open_nursery() as nursery:
        await nursery.start(files.run)
        await nursery.start(watches.run)
        cell = dtab_file(str(path), behind, watches, files)
        cell.subscribe(_ignore)
        yield cell
        nursery.cancel_scope.cancel()


def _ignore() -> None: ...


async def until(condition: object) -> None:
    assert callable(condition)
    with trio.fail_after(5):
        while not condition():
            await trio.sleep(0.01)


async def test_a_table_is_read_and_followed(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "dtab"
    path.write_text(GOOD)
    async with following(path) as cell:
        await until(lambda: cell.value == Dtab.parse(GOOD))
        fresh = tmp_path / "fresh"
        fresh.write_text("/svc => /b")
        fresh.replace(path)  # as editors and configuration tools do it
        await until(lambda: cell.value == Dtab.parse("/svc => /b"))


async def test_the_routers_own_table_stands_behind_the_files(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "dtab"
    path.write_text(GOOD)
    async with following(path, Dtab.parse("/svc/x => /y")) as cell:
        await until(lambda: cell.value == Dtab.parse(GOOD) + Dtab.parse("/svc/x => /y"))


async def test_a_bad_table_keeps_the_old_one_and_says_where_it_is_wrong(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "dtab"
    path.write_text(GOOD)
    async with following(path) as cell:
        await until(lambda: isinstance(cell.value, Dtab))
        path.write_text("/svc => /b ;\n/svc => /c d")
        await until(lambda: cell.error is not None)
        error, kept = cell.error, cell.value
        path.write_text("/svc => /e")
        await until(lambda: cell.value == Dtab.parse("/svc => /e"))

    assert str(error).startswith(f"{path}:2:")
    assert kept == Dtab.parse(GOOD)
    assert cell.error is None


async def test_a_removed_file_leaves_the_last_good_table(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "dtab"
    path.write_text(GOOD)
    async with following(path) as cell:
        await until(lambda: isinstance(cell.value, Dtab))
        path.unlink()
        await until(lambda: cell.error is not None)

        assert cell.value == Dtab.parse(GOOD)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(None, "No such file", id="missing"),
        pytest.param(b"/svc => ", ":1:", id="no table"),
        pytest.param(b"\xff\xfe", "UTF-8", id="not UTF-8"),
    ],
)
async def test_without_a_good_table_the_reason_is_told_until_there_is_one(
    tmp_path: pathlib.Path, content: bytes | None, says: str
) -> None:
    path = tmp_path / "dtab"
    if content is not None:
        path.write_bytes(content)
    async with following(path) as cell:
        await until(lambda: isinstance(cell.value, Failure))
        failure = cell.value
        path.write_text(GOOD)
        await until(lambda: cell.value == Dtab.parse(GOOD))

    assert isinstance(failure, Failure)
    assert says in failure.reason
    assert str(path) in failure.reason


async def test_nothing_is_read_before_somebody_asks(tmp_path: pathlib.Path, autojump_clock: MockClock) -> None:
    watches, files = Watches(random.Random(1)), FileWatch()
    async with trio.open_nursery() as nursery:
        await nursery.start(files.run)
        await nursery.start(watches.run)
        cell = dtab_file(str(tmp_path / "none"), Dtab.EMPTY, watches, files)
        await trio.sleep(60)
        nursery.cancel_scope.cancel()

    assert (cell.updated_at, cell.error) == (None, None)


async def test_a_long_table_is_read_while_others_go_on(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[str] = []

    def parse(text: str, behind: Dtab, before: Dtab | None) -> Dtab:
        threads.append(threading.current_thread().name)
        return parse_table(text, behind, before)

    monkeypatch.setattr(dtabcell, "parse_table", parse)
    path = tmp_path / "dtab"
    path.write_text(GOOD)
    async with following(path) as cell:
        await until(lambda: cell.value == Dtab.parse(GOOD))

    assert threads != []
    assert threading.current_thread().name not in threads
