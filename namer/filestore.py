"""Dtabs in the files of one directory, a namespace each: the store behind the interpreter `io.l5d.fs`.

A dtab is replaced by renaming a new file over it, so that an agent reads the old one or the new one. Writers of this
kind take turns by a lock on the directory; an editor that does not is noticed as long as it was done before.
The version of a dtab is a digest of its text.
"""

from __future__ import annotations

import builtins
import fcntl
import hashlib
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar, TypeVarTuple

import trio

from namer.dtabstore import StoreConflict, StoredDtab, StoreError
from namer.grammar import MAX_DTAB_CHARS

MODE: Final = 0o644
"""Of a file that is new: a dtab is no secret, and the agent may run as somebody else."""

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")


class FileDtabStore:
    """The files of a directory with one suffix; their names without it are the namespaces."""

    def __init__(self, directory: pathlib.Path, suffix: str) -> None:
        self._directory = directory
        self._suffix = suffix
        self.name = f"{directory}/*{suffix}"

    async def list(self) -> list[str]:
        """As DtabStore."""
        return await self._run(self._list)

    async def get(self, namespace: str) -> StoredDtab | None:
        """As DtabStore."""
        return await self._run(_read, self._path(namespace))

    async def set(self, namespace: str, text: str, version: str | None) -> None:
        """As DtabStore."""
        await self._run(_replace, self._path(namespace), text, version)

    async def _run(self, function: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        try:
            return await trio.to_thread.run_sync(function, *arguments, abandon_on_cancel=True)
        except OSError as error:
            raise StoreError(f"{error.filename or self._directory}: {error.strerror or error}") from None

    def _path(self, namespace: str) -> pathlib.Path:
        name = namespace + self._suffix
        if not namespace or name.startswith(".") or "/" in name or "\0" in name:
            raise StoreError(f"{namespace!r} is no namespace of {self.name}: expected a file name without a dot first")
        return self._directory / name

    def _list(self) -> builtins.list[str]:
        files = (each for each in self._directory.iterdir() if each.suffix == self._suffix and each.is_file())
        return sorted(each.name.removesuffix(self._suffix) for each in files if not each.name.startswith("."))


def _read(path: pathlib.Path) -> StoredDtab | None:
    try:
        with path.open("rb") as file:
            data = file.read(4 * MAX_DTAB_CHARS + 1)
    except FileNotFoundError:
        return None
    try:
        return StoredDtab(data.decode("utf-8-sig"), hashlib.sha256(data).hexdigest()[:12])
    except UnicodeDecodeError:
        raise StoreError(f"{path}: it is not UTF-8") from None


def _replace(path: pathlib.Path, text: str, version: str | None) -> None:
    path = path.resolve()  # a link stays one
    with _locked(path.parent):
        found = _read(path)
        if version != (found and found.version):
            raise StoreConflict(f"{path} has been changed by somebody else since it was read")
        mode = MODE if found is None else path.stat().st_mode
        _write(path, text, mode)


@contextmanager
def _locked(directory: pathlib.Path) -> Iterator[None]:
    """Keep other writers out of a directory; what is written in the block is on the disk after it."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(path: pathlib.Path, text: str, mode: int) -> None:
    descriptor, written = tempfile.mkstemp(prefix=".", suffix=".new", dir=path.parent)
    fresh = pathlib.Path(written)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode & 0o7777)
            file.write(text.encode())
            file.flush()
            os.fsync(descriptor)
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
