"""What every store of dtabs promises, wherever it keeps them.

A test module opens its empty store in a subclass of DtabStoreContract.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

import pytest
import trio

from namer.dtabstore import DtabStore, StoreConflict, StoredDtab, StoreError

TEXT = "# the users\n/svc => /#/io.l5d.fs ;\n\n/svc/été => /srv | /other  # last\n"


async def stored(store: DtabStore, namespace: str) -> StoredDtab:
    found = await store.get(namespace)
    assert found is not None
    return found


class DtabStoreContract:
    """Subclass as `Test...` and open the store."""

    def store(self) -> AbstractAsyncContextManager[DtabStore]:
        """A store without a dtab, which lasts as long as the block."""
        raise NotImplementedError

    async def test_an_empty_store(self) -> None:
        async with self.store() as store:
            assert await store.list() == []
            assert await store.get("default") is None
            assert store.name

    async def test_a_text_comes_back_as_it_was(self) -> None:
        async with self.store() as store:
            await store.set("default", TEXT, None)

            found = await stored(store, "default")
            assert found.text == TEXT
            assert found.version is not None

    async def test_namespaces_are_listed_in_order(self) -> None:
        async with self.store() as store:
            for namespace in ("web", "default", "eu-1"):
                await store.set(namespace, "/svc => /a", None)

            assert await store.list() == ["default", "eu-1", "web"]

    async def test_namespaces_do_not_touch_each_other(self) -> None:
        async with self.store() as store:
            await store.set("one", "/svc => /one", None)
            await store.set("two", "/svc => /two", None)

            assert (await stored(store, "one")).text == "/svc => /one"
            assert (await stored(store, "two")).text == "/svc => /two"

    async def test_who_has_seen_the_last_version_replaces_it(self) -> None:
        async with self.store() as store:
            await store.set("default", "/svc => /one", None)
            first = await stored(store, "default")

            await store.set("default", "/svc => /two", first.version)

            second = await stored(store, "default")
            assert second.text == "/svc => /two"
            assert second.version != first.version

    async def test_who_has_not_is_told_and_changes_nothing(self) -> None:
        async with self.store() as store:
            await store.set("default", "/svc => /one", None)
            first = await stored(store, "default")
            await store.set("default", "/svc => /two", first.version)

            for seen in (first.version, None):
                with pytest.raises(StoreConflict):
                    await store.set("default", "/svc => /three", seen)

            assert (await stored(store, "default")).text == "/svc => /two"

    async def test_of_several_at_once_one_wins(self) -> None:
        async with self.store() as store:
            await store.set("default", "/svc => /old", None)
            seen = (await stored(store, "default")).version
            won = []

            async def write(text: str) -> None:
                try:
                    await store.set("default", text, seen)
                except StoreConflict:
                    return
                won.append(text)

            async with trio.open_nursery() as nursery:
                for number in range(5):
                    nursery.start_soon(write, f"/svc => /{number}")

            assert [(await stored(store, "default")).text] == won

    async def test_an_empty_dtab_is_a_dtab(self) -> None:
        async with self.store() as store:
            await store.set("default", "", None)

            assert (await stored(store, "default")).text == ""
            assert await store.list() == ["default"]

    @pytest.mark.parametrize("namespace", ["", "..", "a/b", "a\0b"])
    async def test_what_is_no_namespace_is_never_written(self, namespace: str) -> None:
        async with self.store() as store:
            with pytest.raises(StoreError):
                await store.set(namespace, "/svc => /a", None)
