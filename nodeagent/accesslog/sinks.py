"""Where an access log goes. An edge: all of it blocks, for as long as a pipe is full or a disk is dead.

So it is called in a thread, by one writer at a time. A sink opens what it writes to when there is something to write,
and opens it anew after an error: whoever repairs a disk need not start the agent again.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final, Protocol

JOURNAL: Final = "/run/systemd/journal/socket"
"""Where the journal listens (systemd-journald.service(8))."""

MODE: Final = 0o640
"""Of a file that is made: URLs are nobody's business but the operators'."""

PIPE_BUF: Final = select.PIPE_BUF
"""Bytes that a pipe takes at once, so that the lines of several writers do not mix (pipe(7))."""


class Sink(Protocol):
    """Takes records, each whole: lines with their ends, or entries of the journal."""

    def write(self, records: Sequence[bytes]) -> tuple[int, str | None]:
        """Write them all; return how many were written, and what was wrong if that is not all of them."""
        ...

    def reopen(self) -> None:
        """Have the next record go to what stands under the name by then."""
        ...


class FileSink:
    """Lines at the end of a file, a pipe or a terminal.

    Several processes may write to one file: what is written at once is whole lines, and goes to the end.
    """

    def __init__(self, path: str | None) -> None:
        """None is standard output."""
        self._path = path
        self._fd: int | None = None
        self._most = 0
        self._torn = False
        self._written = 0  # lines, whole, of those under way

    def write(self, records: Sequence[bytes]) -> tuple[int, str | None]:
        """As `Sink.write`."""
        self._written = 0
        try:
            fd = self._opened()
            for lines in batches(records, self._most):
                self._write(fd, b"".join(lines))
        except OSError as error:
            self.reopen()
            return self._written, f"{self._path or 'stdout'}: {_why(error)}"
        return self._written, None

    def reopen(self) -> None:
        """As `Sink.reopen`. Standard output stays what it is."""
        fd, self._fd = self._fd, None
        if fd is not None and self._path is not None:
            with suppress(OSError):  # what NFS could not write is known by now
                os.close(fd)

    def _opened(self) -> int:
        if self._fd is None:
            fd = 1 if self._path is None else _open(self._path)
            self._most = PIPE_BUF if stat.S_ISFIFO(os.fstat(fd).st_mode) else 0
            self._fd = fd
        return self._fd

    def _write(self, fd: int, lines: bytes) -> None:
        """Write to the end. When that fails within a line, the next one begins on a line of its own."""
        end_of_torn = b"\n" if self._torn else b""
        data = memoryview(end_of_torn + lines)
        done = 0
        try:
            while done < len(data):
                try:
                    done += os.write(fd, data[done:])
                except BlockingIOError:  # a terminal or pipe that somebody else has set so
                    select.select([], [fd], [])
        finally:
            if done:
                self._torn = data[done - 1] != ord("\n")
                self._written += lines[: done - len(end_of_torn)].count(b"\n")


class JournalSink:
    """Entries of the journal of this host, each a datagram: https://systemd.io/JOURNAL_NATIVE_PROTOCOL/."""

    def __init__(self, path: str = JOURNAL) -> None:
        self._path = path
        self._socket: socket.socket | None = None

    def write(self, records: Sequence[bytes]) -> tuple[int, str | None]:
        """As `Sink.write`."""
        written, why = 0, None
        try:
            sock = self._opened()
            for record in records:
                try:
                    sock.send(record)
                    written += 1
                except OSError as error:
                    if error.errno != errno.EMSGSIZE:
                        raise
                    why = f"an entry of {len(record)} bytes is too long for the journal"
        except OSError as error:
            self.reopen()
            why = f"no journal: {self._path}: {_why(error)}"
        return written, why

    def reopen(self) -> None:
        """As `Sink.reopen`."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def _opened(self) -> socket.socket:
        if self._socket is None:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                sock.connect(self._path)
            except OSError:
                sock.close()
                raise
            self._socket = sock
        return self._socket


def open_sink(target: str) -> Sink:
    """Return what writes to a target of the configuration: `stdout`, `journald` or a file. Nothing is opened yet."""
    if target == "journald":
        return JournalSink()
    return FileSink(None if target == "stdout" else target)


def batches(records: Sequence[bytes], most: int) -> Iterator[Sequence[bytes]]:
    """Yield the records in groups of at most so many bytes, and at least one record; 0 is no limit."""
    if not most:
        if records:
            yield records
        return
    group: list[bytes] = []
    size = 0
    for record in records:
        if group and size + len(record) > most:
            yield group
            group, size = [], 0
        group.append(record)
        size += len(record)
    if group:
        yield group


def _open(path: str) -> int:
    # A pipe that nobody reads is an error instead of a wait; later, writing may wait.
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY, MODE)
    os.set_blocking(fd, True)
    return fd


def _why(error: OSError) -> str:
    if error.errno == errno.ENXIO:
        return "nobody reads this pipe"
    return (error.strerror or str(error)).lower()
