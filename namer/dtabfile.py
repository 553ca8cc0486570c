"""A delegation table that lives in a file and is followed: linkerd 1.x's interpreter `io.l5d.fs`.

A table that does not parse, or a file that cannot be read, changes nothing but the error: the last good table stays.
While there has never been a good one, the state is a Failure that says why. A removed file leaves the last good table,
because a table that is missing for a moment must not unbind every name.
"""

from __future__ import annotations

import pathlib
from functools import partial
from typing import Final, TypeAlias

import structlog
import trio

from namer.cell import Cell
from namer.dtab import Dtab
from namer.files import FileWatch
from namer.grammar import MAX_DTAB_CHARS, NameSyntaxError
from namer.namer import PENDING, Failure, Pending
from namer.watch import Watches, WatchKey

SOURCE: Final = "dtab file"
"""Whose cells these are, in the state of the watches."""
RETRY: Final = 5.0  # seconds until a file that could not be read is read again, if it does not change before

DtabState: TypeAlias = Pending | Failure | Dtab

log = structlog.get_logger(__name__)


def dtab_file(path: str, behind: Dtab, watches: Watches, files: FileWatch) -> Cell[DtabState]:
    """The table of the file at `path` with `behind` after it, live while somebody subscribes.

    What stands later goes first, so `behind` overrides the file.
    """
    unknown: DtabState = PENDING
    key = WatchKey(SOURCE, "dtab", f"{path} ; {behind.show()}" if behind.dentries else path)
    return watches.cell(key, unknown, partial(_feed, pathlib.Path(path), behind, files))


async def _feed(path: pathlib.Path, behind: Dtab, files: FileWatch, cell: Cell[DtabState]) -> None:
    async with files.watch(path) as change:
        while True:
            good = await _read(path, behind, files, cell)
            with trio.move_on_after(float("inf") if good else RETRY):
                await change.wait()


async def _read(path: pathlib.Path, behind: Dtab, files: FileWatch, cell: Cell[DtabState]) -> bool:
    try:
        table = Dtab.parse(await files.offload(_text, path)) + behind
    except NameSyntaxError as error:
        _fail(cell, f"{path}:{error.line}:{error.column}: {error.message}")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror or str(error) if isinstance(error, OSError) else "it is not UTF-8"
        _fail(cell, f"{path}: {reason}")
        return False
    else:
        cell.set(table, trio.current_time())
    return True


def _text(path: pathlib.Path) -> str:
    """Blocks; raises OSError, or UnicodeDecodeError."""
    with path.open("rb") as file:
        return file.read(4 * MAX_DTAB_CHARS + 1).decode("utf-8-sig")


def _fail(cell: Cell[DtabState], problem: str) -> None:
    if problem != cell.error:
        log.error("the dtab file is not usable; what was good before stays", problem=problem)
    now = trio.current_time()
    if not isinstance(cell.value, Dtab):
        cell.set(Failure(problem), now)
    cell.fail(problem, now)
