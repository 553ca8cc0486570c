"""A delegation table that lives in a file and is followed: linkerd 1.x's interpreter `io.l5d.fs`.

It is read and parsed in a worker thread: a table may be long, and requests go on meanwhile. What holds when the file is
bad or gone: see namer/dtabcell.py.
"""

from __future__ import annotations

import pathlib
from functools import partial
from typing import Final

import trio

from namer.cell import Cell
from namer.dtab import Dtab
from namer.dtabcell import DtabState, dtab_unusable, parse_table, place_of
from namer.files import FileWatch
from namer.grammar import MAX_DTAB_CHARS, NameSyntaxError
from namer.namer import PENDING
from namer.watch import Watches, WatchKey

SOURCE: Final = "dtab file"
"""Whose cells these are, in the state of the watches."""
RETRY: Final = 5.0  # seconds until a file that could not be read is read again, if it does not change before


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
        table = await files.offload(_table, path, behind, cell.value)
    except NameSyntaxError as error:
        dtab_unusable(cell, place_of(error, str(path)), trio.current_time())
        return True
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror or str(error) if isinstance(error, OSError) else "it is not UTF-8"
        now = trio.current_time()
        dtab_unusable(cell, f"{path}: {reason}", now, now + RETRY)
        return False
    cell.set(table, trio.current_time())
    return True


def _table(path: pathlib.Path, behind: Dtab, before: DtabState) -> Dtab:
    """Blocks; raises OSError, UnicodeDecodeError, or NameSyntaxError."""
    with path.open("rb") as file:
        text = file.read(4 * MAX_DTAB_CHARS + 1).decode("utf-8-sig")
    return parse_table(text, behind, before)
