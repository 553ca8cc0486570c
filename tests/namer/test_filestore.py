"""Dtabs in files: what is particular to files."""

from __future__ import annotations

import fcntl
import os
import pathlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
import trio

from namer.dtabstore import DtabStore, StoreConflict, StoreError
from namer.filestore import FileDtabStore
from tests.namer.contract_dtabstore import DtabStoreContract


class TestFilesKeepTheContract(DtabStoreContract):
    @pytest.fixture(autouse=True)
    def _directory(self, tmp_path: pathlib.Path) -> None:
        self.directory = tmp_path

    def store(self) -> AbstractAsyncContextManager[DtabStore]:
        return opened(self.directory)


@asynccontextmanager
async def opened(directory: pathlib.Path) -> AsyncIterator[DtabStore]:
    yield FileDtabStore(directory, ".dtab")


async def test_only_files_with_the_suffix_are_namespaces(tmp_path: pathlib.Path) -> None:
    for name in ("web.dtab", "web.yaml", "README", ".hidden.dtab"):
        (tmp_path / name).write_text("")
    (tmp_path / "old.dtab").mkdir()

    assert await FileDtabStore(tmp_path, ".dtab").list() == ["web"]
    assert await FileDtabStore(tmp_path, "").list() == ["README"]


async def test_a_file_keeps_its_mode_and_leaves_nothing_beside_it(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "web.dtab"
    store = FileDtabStore(tmp_path, ".dtab")
    await store.set("web", "/svc => /a", None)
    assert file.stat().st_mode & 0o777 == 0o644
    file.chmod(0o640)
    found = await store.get("web")
    assert found is not None

    await store.set("web", "/svc => /b", found.version)

    assert file.stat().st_mode & 0o777 == 0o640
    assert [each.name for each in tmp_path.iterdir()] == ["web.dtab"]


async def test_a_link_stays_a_link(tmp_path: pathlib.Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "web.dtab").write_text("/svc => /a")
    (tmp_path / "web.dtab").symlink_to("real/web.dtab")
    store = FileDtabStore(tmp_path, ".dtab")
    found = await store.get("web")
    assert found is not None

    await store.set("web", "/svc => /b", found.version)

    assert (tmp_path / "web.dtab").is_symlink()
    assert (tmp_path / "real" / "web.dtab").read_text() == "/svc => /b"


async def test_what_an_editor_changed_is_not_lost(tmp_path: pathlib.Path) -> None:
    (tmp_path / "web.dtab").write_text("/svc => /a")
    store = FileDtabStore(tmp_path, ".dtab")
    found = await store.get("web")
    assert found is not None
    (tmp_path / "web.dtab").write_text("/svc => /edited")

    with pytest.raises(StoreConflict, match=r"web\.dtab has been changed by somebody else since it was read"):
        await store.set("web", "/svc => /b", found.version)


async def test_errors_name_the_file(tmp_path: pathlib.Path) -> None:
    with pytest.raises(StoreError, match=r"nowhere: No such file or directory"):
        await FileDtabStore(tmp_path / "nowhere", ".dtab").list()
    with pytest.raises(StoreError, match=r"nowhere: No such file or directory"):
        await FileDtabStore(tmp_path / "nowhere", ".dtab").set("web", "", None)
    (tmp_path / "web.dtab").write_bytes(b"\xff")
    with pytest.raises(StoreError, match=r"web\.dtab: it is not UTF-8"):
        await FileDtabStore(tmp_path, ".dtab").get("web")


async def test_who_waits_for_a_lock_may_give_up(tmp_path: pathlib.Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with trio.move_on_after(0.05) as scope:
            await FileDtabStore(tmp_path, ".dtab").set("web", "", None)
        assert scope.cancelled_caught
        assert list(tmp_path.iterdir()) == []
    finally:
        os.close(descriptor)
