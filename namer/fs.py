"""The namer `io.l5d.fs`: a directory with one file of endpoints for each name.

`/web` is the file `web` in the root directory, `/eu/web` the file `web` in its directory `eu`. Labels after
the file's are the residual. No file, no name: Neg. An empty file is a name that exists and has no endpoints. A
label that is no plain file name, or a symbolic link that leads out of the root, leads nowhere; links inside it
are followed, as in a mounted ConfigMap.

A file that cannot be read, is too large, or has not one good line among bad ones changes nothing but the error;
the last good endpoints stay. A change of a file is live with the next sweep of FileWatch; hosts named in it are
resolved, again and again, by Hosts. Files are found, read and parsed in worker threads.
"""

from __future__ import annotations

import errno
import math
import os
import pathlib
import stat
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Final

import structlog
import trio

from namer.addr import Addr, AddrBound, AddrFailed, AddrNeg, AddrPending
from namer.cell import Cell
from namer.endpointfile import EndpointFile, TooLargeError, parse_endpoints, summary
from namer.files import FileWatch, Fingerprint, look
from namer.hosts import Hosts, fail_addr
from namer.namer import PENDING, Bound, Failure, NameState, Pending
from namer.nametree import NEG, Leaf
from namer.path import Path
from namer.targets import Targets
from namer.watch import Cells, WatchKey

MAX_FILE_BYTES: Final = 500 * 1024
RETRY: Final = 5.0  # seconds until a file that could not be read is read again, if it does not change before
PAUSE: Final = 0.05  # seconds between two looks at a file and its hosts, which may change one after the other

_NO_FILE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP})
_NO_NAMES: Final = frozenset({b".", b".."})

log = structlog.get_logger(__name__)


class FsNamer:
    """Names by the files below `root`."""

    def __init__(self, prefix: Path, root: pathlib.Path, watches: Cells, files: FileWatch, hosts: Hosts) -> None:
        self._prefix = prefix
        self._root = root
        self._watches = watches
        self._files = files
        self._hosts = hosts

    def lookup(self, path: Path) -> Cell[NameState]:
        """Bound to the file that the first labels lead to, Neg while there is none."""
        if not path or not all(map(_is_file_name, path)):
            return Cell.constant(NEG)
        unknown: NameState = PENDING
        return self._watches.cell(self._key("name", path), unknown, partial(self._feed_name, path))

    def _key(self, what: str, path: Path) -> WatchKey:
        return WatchKey(self._prefix.show(), what, path.show())

    async def _feed_name(self, path: Path, cell: Cell[NameState]) -> None:
        while True:
            place, seen = await self._locate(path, cell)
            if place.labels is None and isinstance(cell.value, Leaf):  # it may be about to be written anew
                await trio.sleep(PAUSE)
                place, seen = await self._locate(path, cell)
            async with self._files.watch(place.path, seen) as change:
                cell.set(self._state(path, place), trio.current_time())
                await trio.sleep(PAUSE)
                await change.wait()

    async def _locate(self, path: Path, cell: Cell[NameState]) -> tuple[Place, Fingerprint]:
        try:
            return await self._files.offload(locate_and_look, self._root, path.labels)
        except OSError as problem:
            if isinstance(cell.value, Pending):
                cell.set(Failure(f"cannot look for {path} in {self._root}: {problem}"), trio.current_time())
            raise  # the watch records it and tries again

    def _state(self, path: Path, place: Place) -> NameState:
        if place.labels is None:
            return NEG
        name = path[: place.labels]
        pending: Addr = AddrPending()
        addr = self._watches.cell(self._key("address", name), pending, partial(self._feed_addr, place.path))
        return Leaf(Bound(self._prefix + name, path[place.labels :], addr))

    async def _feed_addr(self, path: pathlib.Path, cell: Cell[Addr]) -> None:
        async with self._files.watch(path) as change:
            live = _LiveFile(str(path), cell, self._hosts, change.notify)
            try:
                while True:
                    good = await self._read(path, live)
                    await trio.sleep(PAUSE)
                    with trio.move_on_after(math.inf if good else RETRY):
                        await change.wait()
            finally:
                live.close()

    async def _read(self, path: pathlib.Path, live: _LiveFile) -> bool:
        try:
            file = await self._files.offload(read_endpoints, self._root, path)
            if live.would_be_emptied(file):  # it may be about to be written anew
                await trio.sleep(PAUSE)
                file = await self._files.offload(read_endpoints, self._root, path)
        except OSError as problem:
            live.unreadable(f"{path}: {problem.strerror or problem}")
            return False
        except TooLargeError as problem:
            live.unreadable(f"{path}: {problem}")
        else:
            live.read(file)
        return True


@dataclass(frozen=True, slots=True)
class Place:
    """Where the labels of a name lead: `labels` of them to the file `path`.

    When `labels` is None there is no such file, and `path` is where the way ends: unless that changes, there
    is none.
    """

    path: pathlib.Path
    labels: int | None


def locate(root: pathlib.Path, labels: tuple[str, ...]) -> Place:
    """Follow labels from the root to a file. Blocks; raises OSError when it cannot tell."""
    path = root
    for count, label in enumerate(labels, 1):
        path = path / label
        try:
            mode = path.stat().st_mode
        except OSError as problem:
            if problem.errno in _NO_FILE:
                break
            raise
        if not _is_inside(root, path):
            break
        if stat.S_ISREG(mode):
            return Place(path, count)
        if not stat.S_ISDIR(mode):
            break
    return Place(path, None)


def locate_and_look(root: pathlib.Path, labels: tuple[str, ...]) -> tuple[Place, Fingerprint]:
    """The same, with how the file looked before: who sees it so has missed nothing. Blocks; raises OSError."""
    place = locate(root, labels)
    while True:
        seen = look(place.path)
        again = locate(root, labels)
        if again == place:
            return place, seen
        place = again  # it moved in between


def read_endpoints(root: pathlib.Path, path: pathlib.Path) -> EndpointFile | None:
    """What an endpoint file says. Blocks; raises OSError, or TooLargeError.

    None when there is no such file inside the root, or it is no regular file.
    """
    data = read_file(root, path)
    return None if data is None else parse_endpoints(data.decode("utf-8-sig", "replace"), str(path))


def read_file(root: pathlib.Path, path: pathlib.Path) -> bytes | None:
    """The bytes of a file. Blocks; raises OSError, or TooLargeError. None as of `read_endpoints`."""
    if not _is_inside(root, path):
        return None
    try:
        with open(path, "rb", opener=_open_without_blocking) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return None
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as problem:
        if problem.errno in _NO_FILE:
            return None
        raise
    if len(data) > MAX_FILE_BYTES:
        raise TooLargeError(f"larger than {MAX_FILE_BYTES} bytes, so it is not read")
    return data


def _open_without_blocking(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # the open of a pipe would wait for a writer


def _is_inside(root: pathlib.Path, path: pathlib.Path) -> bool:
    return path.resolve().is_relative_to(root.resolve())


def _is_file_name(label: str) -> bool:
    try:
        name = os.fsencode(label)
    except UnicodeEncodeError:
        return False
    return name not in _NO_NAMES and b"/" not in name and b"\0" not in name


class _LiveFile:
    """Keeps an address equal to what a file said last and what its hosts resolve to now."""

    def __init__(self, origin: str, cell: Cell[Addr], hosts: Hosts, changed: Callable[[], None]) -> None:
        """`changed` is called when a host resolves to something else: then read again, which publishes that too."""
        self._origin = origin
        self._cell = cell
        self._targets = Targets(hosts, changed)
        self._file = EndpointFile()
        self._logged = ""

    def read(self, file: EndpointFile | None) -> None:
        """The file was read; None when it is gone. One that is all rubbish is no word about endpoints."""
        if file and file.problems and not file.lines:
            self.unreadable(f"{summary(file.problems, file.more)}; it has no good line, so it is not used")
            return
        if file != self._file:
            self._file = file or EndpointFile()
            self._targets.follow([line.target for line in self._file.lines])
        if file is None:
            self._cell.set(AddrNeg(), trio.current_time())
        else:
            self._publish(self._problem())

    def would_be_emptied(self, file: EndpointFile | None) -> bool:
        """Whether nothing would be left of what there is."""
        return bool(self._file.lines) and not (file and file.lines)

    def unreadable(self, problem: str) -> None:
        """The file could not be read: what it said last still holds, and its hosts are followed."""
        now = trio.current_time()
        addr = self._targets.addr()
        if isinstance(self._cell.value, AddrBound) and isinstance(addr, AddrBound):
            self._cell.replace(addr)
        fail_addr(self._cell, problem, now)
        self._log(problem)

    def close(self) -> None:
        """Stop following the hosts."""
        self._targets.close()

    def _publish(self, problem: str) -> None:
        now = trio.current_time()
        addr = self._targets.addr()
        if isinstance(addr, AddrFailed):
            fail_addr(self._cell, problem or addr.reason, now)
        elif not isinstance(addr, AddrPending):
            self._cell.set(addr, now, flaw=problem or None)
        elif problem:
            self._cell.fail(problem, now)
        self._log(problem)

    def _problem(self) -> str:
        unresolved = zip(self._file.lines, self._targets.unresolved(), strict=True)
        lines = (f"{self._origin}:{line.number}: {problem}" for line, problem in unresolved if problem)
        return summary(chain(self._file.problems, lines), self._file.more)

    def _log(self, problem: str) -> None:
        if problem and problem != self._logged:
            log.warning("endpoint file", file=self._origin, problem=problem)
        self._logged = problem
