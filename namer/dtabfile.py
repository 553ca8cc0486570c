"""A document that lives in a file and is followed: of the interpreter `io.l5d.fs` of linkerd 1.x the table.

It is read and understood in a worker thread: it may be long, and requests go on meanwhile. What holds when the file is
bad or gone: see namer/document.py.
"""

from __future__ import annotations

import pathlib
from functools import partial
from typing import Final, TypeVar

import trio

from namer.cell import Cell
from namer.document import Document, Followed, UnusableError, known
from namer.dtab import Dtab
from namer.dtabcell import DtabState, dtab_document
from namer.files import FileWatch
from namer.namer import PENDING
from namer.watch import Watches

SOURCE: Final = "dtab file"
"""Whose the cells of tables are, in the state of the watches."""
RETRY: Final = 5.0  # seconds until a file that could not be read is read again, if it does not change before

T = TypeVar("T")


def dtab_file(path: str, behind: Dtab, watches: Watches, files: FileWatch) -> Cell[DtabState]:
    """The table of the file at `path` with `behind` after it, live while somebody subscribes.

    What stands later goes first, so `behind` overrides the file.
    """
    return document_file(path, dtab_document(behind), SOURCE, watches, files)


def document_file(
    path: str, document: Document[T], source: str, watches: Watches, files: FileWatch
) -> Cell[Followed[T]]:
    """What the file at `path` means, live while somebody subscribes. `source` says whose it is."""
    unknown: Followed[T] = PENDING
    return watches.cell(document.key(source, path), unknown, partial(_feed, pathlib.Path(path), document, files))


async def _feed(path: pathlib.Path, document: Document[T], files: FileWatch, cell: Cell[Followed[T]]) -> None:
    async with files.watch(path) as change:
        while True:
            good = await _read(path, document, files, cell)
            with trio.move_on_after(float("inf") if good else RETRY):
                await change.wait()


async def _read(path: pathlib.Path, document: Document[T], files: FileWatch, cell: Cell[Followed[T]]) -> bool:
    try:
        value = await files.offload(_understood, path, document, known(cell.value))
    except UnusableError as error:
        document.unusable(cell, str(error), trio.current_time())
        return True
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror or str(error) if isinstance(error, OSError) else "it is not UTF-8"
        now = trio.current_time()
        document.unusable(cell, f"{path}: {reason}", now, now + RETRY)
        return False
    cell.set(value, trio.current_time())
    return True


def _understood(path: pathlib.Path, document: Document[T], before: T | None) -> T:
    """Blocks; raises OSError, UnicodeDecodeError, or UnusableError."""
    with path.open("rb") as file:
        text = file.read(document.max_bytes + 1).decode("utf-8-sig")
    return document.read(text, str(path), before)
