"""Dtabs in a ConfigMap: followed by the interpreter, read and written by the command line."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from namer.dtab import Dtab
from namer.dtabstore import StoreConflict, StoredDtab, StoreError
from namer.k8s.configmap import ConfigMapDtabStore, ConfigMapPlace, config_map_dtab
from namer.namer import PENDING, Failure
from tests.namer.k8s.apiserver import ApiServer
from tests.namer.k8s.world import Cluster, cluster, ignore

PLACE = ConfigMapPlace("mesh", "dtabs")


def put(server: ApiServer, **data: str) -> None:
    server.put("configmaps", "mesh", "dtabs", data=data)


def store(world: Cluster) -> ConfigMapDtabStore:
    return ConfigMapDtabStore(world.api, PLACE)


class TestFollowed:
    async def test_a_table_is_live_and_the_routers_own_goes_before_it(self, autojump_clock: MockClock) -> None:
        async with cluster(autojump_clock) as world:
            put(world.server, main="/svc => /a")
            cell = config_map_dtab(world.api, PLACE, "main", Dtab.parse("/x => /y"), world.live.watches, world.rng)
            seen = [cell.value]
            cell.subscribe(ignore)
            await trio.sleep(1)
            seen.append(cell.value)
            put(world.server, main="/svc => /b", other="/z => /z")
            await trio.sleep(1)

            tables = [Dtab.parse(f"/svc => {name} ; /x => /y") for name in ("/a", "/b")]
            assert [*seen, cell.value] == [PENDING, *tables]

    @pytest.mark.parametrize(
        ("after", "error"),
        [
            pytest.param({"main": "/svc => => /b"}, "ConfigMap mesh/dtabs main:1:9: ", id="a bad table"),
            pytest.param({"other": ""}, "ConfigMap mesh/dtabs: it has no key main", id="no such key"),
            pytest.param(None, "ConfigMap mesh/dtabs: there is no such ConfigMap", id="no ConfigMap"),
        ],
    )
    async def test_without_a_good_table_the_last_one_stays(
        self, autojump_clock: MockClock, after: dict[str, str] | None, error: str
    ) -> None:
        async with cluster(autojump_clock) as world:
            put(world.server, main="/svc => /a")
            cell = config_map_dtab(world.api, PLACE, "main", Dtab.EMPTY, world.live.watches, world.rng)
            cell.subscribe(ignore)
            await trio.sleep(1)
            if after is None:
                world.server.delete("configmaps", "mesh", "dtabs")
            else:
                put(world.server, **after)
            await trio.sleep(1)
            assert cell.value == Dtab.parse("/svc => /a")
            assert (cell.error or "").startswith(error)

            put(world.server, main="/svc => /b")
            await trio.sleep(1)
            assert (cell.value, cell.error) == (Dtab.parse("/svc => /b"), None)

    async def test_a_right_that_is_missing_is_a_failure_that_names_it(self, autojump_clock: MockClock) -> None:
        async with cluster(autojump_clock) as world:
            world.server.forbidden = {"configmaps"}
            cell = config_map_dtab(world.api, PLACE, "main", Dtab.EMPTY, world.live.watches, world.rng)
            cell.subscribe(ignore)
            await trio.sleep(1)

            assert isinstance(cell.value, Failure)
            assert "allow the account to list and watch configmaps in the namespace mesh" in cell.value.reason


class TestStore:
    async def test_keys_are_namespaces(self, autojump_clock: MockClock) -> None:
        async with cluster(autojump_clock) as world:
            assert (await store(world).list(), await store(world).get("main")) == ([], None)
            put(world.server, main="/a => /b", canary="/c => /d")

            assert await store(world).list() == ["canary", "main"]
            assert await store(world).get("main") == StoredDtab("/a => /b", "2")
            assert await store(world).get("none") is None

    async def test_the_first_dtab_makes_the_config_map_and_the_second_a_key(self, autojump_clock: MockClock) -> None:
        async with cluster(autojump_clock) as world:
            await store(world).set("main", "/a => /b", None)
            await store(world).set("canary", "/c => /d", None)

            assert await store(world).list() == ["canary", "main"]

    async def test_a_dtab_is_replaced_and_the_others_stay(self, autojump_clock: MockClock) -> None:
        async with cluster(autojump_clock) as world:
            put(world.server, main="/a => /b", canary="/c => /d")
            seen = await store(world).get("main")
            assert seen is not None
            await store(world).set("main", "/a => /z", seen.version)

            replaced, other = await store(world).get("main"), await store(world).get("canary")
            assert replaced is not None
            assert other is not None
            assert (replaced.text, other.text) == ("/a => /z", "/c => /d")

    async def test_nobody_undoes_what_he_has_not_seen(self, autojump_clock: MockClock) -> None:
        async with cluster(autojump_clock) as world:
            put(world.server, main="/a => /b")
            seen = await store(world).get("main")
            assert seen is not None
            put(world.server, main="/a => /c")
            for version in (seen.version, None):
                with pytest.raises(StoreConflict):
                    await store(world).set("main", "/a => /z", version)
            world.server.delete("configmaps", "mesh", "dtabs")
            with pytest.raises(StoreConflict):
                await store(world).set("main", "/a => /z", seen.version)

    async def test_what_is_no_key_is_refused_here(self, autojump_clock: MockClock) -> None:
        async with cluster(autojump_clock) as world:
            with pytest.raises(StoreError, match="'a/b' is no key"):
                await store(world).set("a/b", "", None)

    async def test_rights_that_are_missing_are_named(self, autojump_clock: MockClock) -> None:
        async with cluster(autojump_clock) as world:
            world.server.forbidden = {"configmaps"}
            with pytest.raises(StoreError, match="allow the account to get configmaps in the namespace mesh"):
                await store(world).list()
            with pytest.raises(StoreError, match="allow the account to create and patch configmaps"):
                await store(world).set("main", "", "7")
