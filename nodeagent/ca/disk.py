"""Files that nobody else may read, written whole or not at all. An edge: blocks on the disk."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MAX_FILE = 32 * 1024 * 1024


class CaError(Exception):
    """The authority, or who asks it, cannot go on; the message says why and what to do."""


class UnknownIssuerError(CaError):
    """A certificate is none of this authority's."""


def make_private(folder: Path) -> None:
    """Make a directory that only its owner may enter, with those above it. One that is there stays as it is."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise CaError(f"{folder}: cannot be made: {_words(error)}") from None


def create(file: Path, content: bytes, mode: int = 0o600) -> None:
    """Write a file that must not be there yet. Raises CaError; then there is none."""
    temporary = _written(file, content, mode)
    try:
        os.link(temporary, file)  # unlike a rename it replaces nothing
    except FileExistsError:
        raise CaError(f"{file}: is there already, and is not overwritten") from None
    except OSError as error:
        raise CaError(f"{file}: cannot be written: {_words(error)}") from None
    finally:
        temporary.unlink(missing_ok=True)
    _settle(file.parent)


def replace(file: Path, content: bytes, mode: int = 0o600) -> None:
    """Write a file, whether it is there or not; who reads meanwhile gets the old one or the new one, whole."""
    temporary = _written(file, content, mode)
    try:
        temporary.replace(file)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise CaError(f"{file}: cannot be written: {_words(error)}") from None
    _settle(file.parent)


def append(file: Path, line: bytes) -> None:
    """Add one line to a file, and return when it is on the disk."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, line + b"\n")  # one write, so that lines of several processes do not mix
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise CaError(f"{file}: cannot be written: {_words(error)}") from None


def read(file: Path) -> bytes:
    """The content of a file. Raises CaError."""
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_FILE + 1)
    except OSError as error:
        raise CaError(f"{file}: cannot be read: {_words(error)}") from None
    if len(content) > MAX_FILE:
        raise CaError(f"{file}: over {MAX_FILE} bytes")
    return content


def read_secret(file: Path) -> bytes:
    """The content of a file with a key or a passphrase, which only its owner may read. Raises CaError."""
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
    except OSError as error:
        raise CaError(f"{file}: cannot be read: {_words(error)}") from None
    if mode & 0o077:
        raise CaError(f"{file}: others may read or change it (mode {mode:04o}); chmod 600 {file}")
    return read(file)


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Be the only process that is inside, of those that lock this file. Waits for the others."""
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise CaError(f"{file}: cannot be written: {_words(error)}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _written(file: Path, content: bytes, mode: int) -> Path:
    """A file beside `file` with this content, on the disk."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(content)
            opened.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise CaError(f"{file}: cannot be written: {_words(error)}") from None
    return temporary


def _settle(folder: Path) -> None:
    """See to it that the names in a directory outlive a loss of power."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _words(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
