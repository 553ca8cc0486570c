"""Where the log goes: to a descriptor, whoever reads it, without ever waiting for that. An edge.

A terminal that was stopped, a pipe that nobody reads, a journal that hangs: each would hold up the process in `write`,
and all requests with it. So a line that is not taken at once is lost, and the next one that is says how many were.
"""

from __future__ import annotations

import logging
import os
import socket
import stat
from collections.abc import Mapping
from contextlib import suppress
from io import UnsupportedOperation
from typing import Final, TextIO

PRIORITIES: Final = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
"""Levels as the journal has them; see sd-daemon(3)."""


class Sink(logging.Handler):
    """Writes each record as a line."""

    def __init__(self, stream: TextIO, environ: Mapping[str, str]) -> None:
        """A journal, as `environ` tells, is given the priority of each line."""
        super().__init__()
        self._target = _target(stream)
        self._journal = _is_journal(stream, environ)
        self._rest = b""
        """Of a line that was taken in part."""
        self._lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write it, or count it as lost."""
        try:
            line = self.format(record) + "\n"
        except Exception:
            self.handleError(record)
            return
        if self._journal:
            line = f"<{priority(record.levelno)}>{line}"
        if not self._put(line.encode("utf-8", "backslashreplace")):
            self._lost += 1
        elif self._lost:
            lost, self._lost = self._lost, 0
            logging.getLogger("nodeagent.log").warning("nobody took the log for a while: %d lines are lost", lost)

    def close(self) -> None:
        """Write no more."""
        self._target.close()
        super().close()

    def _put(self, line: bytes) -> bool:
        if self._rest:
            self._rest = self._rest[self._target.write(self._rest) :]
            if self._rest:
                return False
        taken = self._target.write(line)
        if taken:
            self._rest = line[taken:]
        return taken > 0


def priority(level: int) -> int:
    """Return the priority that syslog(3) and the journal have for a level of the log."""
    return next((number for least, number in PRIORITIES if level >= least), 7)


def _is_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether the service manager has connected `stream` to the journal: systemd.exec(5), $JOURNAL_STREAM."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, UnsupportedOperation):
        return False
    return environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


class _Target:
    """A descriptor that takes as much as it takes at once."""

    def __init__(self, stream: TextIO) -> None:
        self._fd = stream.fileno()
        self._socket: socket.socket | None = None
        self._own = False
        mode = os.fstat(self._fd).st_mode
        if stat.S_ISSOCK(mode):
            self._socket = socket.socket(fileno=os.dup(self._fd))
        elif stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
            # An opening of its own: O_NONBLOCK on this one would hold for all processes that share it, the shell's too.
            with suppress(OSError):
                flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
                self._fd, self._own = os.open(f"/proc/self/fd/{self._fd}", flags), True

    def write(self, data: bytes) -> int:
        """Return how many bytes were taken: none, too, when the other end is gone or the disk is full."""
        try:
            if self._socket is None:
                return os.write(self._fd, data)
            return self._socket.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except OSError:  # whom should one tell that the log does not work
            return 0

    def close(self) -> None:
        """Close what was opened here."""
        if self._socket is not None:
            self._socket.close()
        if self._own:
            os.close(self._fd)
            self._own = False


class _Text:
    """A stream without a descriptor, such as tests read."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, data: bytes) -> int:
        """Take it all."""
        self._stream.write(data.decode())
        return len(data)

    def close(self) -> None:
        """Leave it open: it is somebody else's."""


def _target(stream: TextIO) -> _Target | _Text:
    try:
        return _Target(stream)
    except (OSError, UnsupportedOperation):
        return _Text(stream)
