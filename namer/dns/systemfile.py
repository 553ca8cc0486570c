"""A small file of the host that is looked at before it is used, and read again when it changed.

Looking costs one `stat`, as in the C library's resolver, so nobody needs to watch the file. These are local files,
mostly of a few lines; one of 100,000 lines, as is written against advertisements, takes a quarter of a second to read.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable
from typing import Final, Generic, TypeAlias, TypeVar

import structlog

MAX_BYTES: Final = 8 << 20

T = TypeVar("T")
_Fingerprint: TypeAlias = tuple[int, ...] | None

log = structlog.get_logger(__name__)


class SystemFile(Generic[T]):
    """What a file says now. One that is not there is an empty one."""

    def __init__(self, path: pathlib.Path, parse: Callable[[str], T]) -> None:
        self._path = path
        self._parse = parse
        self._seen: _Fingerprint = None
        self._value = parse("")

    def look(self) -> T:
        """What it says; what it said last when it cannot be read, or is too large."""
        seen = self._fingerprint()
        if seen != self._seen:
            self._seen = seen
            self._value = self._parse("") if seen is None else self._read()
        return self._value

    def _fingerprint(self) -> _Fingerprint:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        except OSError:
            return self._seen
        return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)

    def _read(self) -> T:
        try:
            with open(self._path, "rb", opener=_open_without_blocking) as file:
                data = file.read(MAX_BYTES + 1) or b""
        except OSError as problem:
            log.warning("file not read", file=str(self._path), error=problem.strerror)
            return self._value
        if len(data) > MAX_BYTES:
            log.warning("file not read", file=str(self._path), error=f"larger than {MAX_BYTES} bytes")
            return self._value
        return self._parse(data.decode("utf-8", "replace"))


def _open_without_blocking(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # the open of a pipe would wait for a writer
