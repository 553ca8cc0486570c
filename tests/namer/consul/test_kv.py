"""Dtabs in Consul's store: followed, and changed by compare and set."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from namer.cell import Cell
from namer.consul.kv import ConsulDtabStore, Place, consul_dtab
from namer.dtab import Dtab
from namer.dtabcell import DtabState
from namer.dtabstore import StoreConflict, StoredDtab, StoreError
from namer.namer import Failure
from tests.namer.consul.fake import FakeConsul, has_no_leader, raw, refuses
from tests.namer.fakes import running

KEY = "namerd/dtabs/default"


@asynccontextmanager
async def following(fake: FakeConsul, behind: Dtab = Dtab.EMPTY) -> AsyncIterator[Cell[DtabState]]:
    async with running() as live:
        cell = consul_dtab(fake.consul(), Place(), "default", behind, live.watches)
        cell.subscribe(lambda: None)
        yield cell


async def test_a_table_is_read_and_followed_with_the_own_behind(autojump_clock: MockClock) -> None:
    fake, own = FakeConsul(), Dtab.parse("/svc/x => /y")
    fake.put(KEY, "/svc => /a")
    async with following(fake, own) as cell:
        await trio.sleep(5)
        assert cell.value == Dtab.parse("/svc => /a") + own
        fake.put(KEY, "/svc => /b")
        await trio.sleep(1)
        assert cell.value == Dtab.parse("/svc => /b") + own


async def test_a_bad_table_and_a_removed_one_keep_the_last_good_one(autojump_clock: MockClock) -> None:
    fake = FakeConsul()
    fake.put(KEY, "/svc => /a")
    async with following(fake) as cell:
        await trio.sleep(1)
        fake.put(KEY, "/svc => ")
        await trio.sleep(1)
        assert (cell.value, str(cell.error)[:48]) == (
            Dtab.parse("/svc => /a"),
            "consul localhost:8500 namerd/dtabs/default:1:9: ",
        )
        del fake.values[KEY]
        fake.change()
        await trio.sleep(1)
        assert (cell.value, cell.error) == (
            Dtab.parse("/svc => /a"),
            "consul localhost:8500 namerd/dtabs/default: there is no such key",
        )
        fake.put(KEY, "")
        await trio.sleep(1)
        assert (cell.value, cell.error) == (Dtab.EMPTY, None)


async def test_an_outage_keeps_the_last_good_one(autojump_clock: MockClock) -> None:
    fake = FakeConsul()
    fake.put(KEY, "/svc => /a")
    async with following(fake) as cell:
        await trio.sleep(1)
        fake.goes_wrong(has_no_leader)
        await trio.sleep(60)
        assert cell.value == Dtab.parse("/svc => /a")
        assert "No cluster leader" in str(cell.error)


async def test_a_key_that_was_never_there_is_a_failure_until_it_is(autojump_clock: MockClock) -> None:
    fake = FakeConsul()
    async with following(fake) as cell:
        await trio.sleep(1)
        before = cell.value
        fake.put(KEY, "/svc => /a")
        await trio.sleep(1)
        after = cell.value

    assert before == Failure("consul localhost:8500 namerd/dtabs/default: there is no such key")
    assert after == Dtab.parse("/svc => /a")


async def test_a_store_reads_and_changes(autojump_clock: MockClock) -> None:
    fake = FakeConsul()
    store = ConsulDtabStore(fake.consul(), Place())
    assert store.name == "consul localhost:8500 /namerd/dtabs"
    assert (await store.list(), await store.get("default")) == ([], None)

    await store.set("default", "/svc => /a", None)
    await store.set("other", "/svc => /é", None)
    first = await store.get("default")
    assert first == StoredDtab("/svc => /a", "2")
    await store.set("default", "/svc => /b", first.version)

    assert await store.list() == ["default", "other"]
    assert await store.get("other") == StoredDtab("/svc => /é", "3")
    for version in (first.version, None):
        with pytest.raises(StoreConflict, match="default has been changed by somebody else"):
            await store.set("default", "/svc => /c", version)


async def test_a_store_that_does_not_answer_says_so(autojump_clock: MockClock) -> None:
    fake = FakeConsul()
    store = ConsulDtabStore(fake.consul(), Place())
    fake.goes_wrong(refuses)
    with pytest.raises(StoreError, match="cannot connect"):
        await store.list()
    with pytest.raises(StoreError, match="cannot connect"):
        await store.set("default", "", None)
    fake.goes_wrong(lambda: raw(b"<html>"))
    for ask in (store.list, lambda: store.get("default"), lambda: store.set("default", "", None)):
        with pytest.raises(StoreError, match="not the JSON"):
            await ask()
