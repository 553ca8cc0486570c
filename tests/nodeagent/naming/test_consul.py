"""Consul from configuration: what is asked, and how a section that cannot work says so."""

from __future__ import annotations

import pathlib
import random
from typing import Any

import pytest
import trio

import conf
from conf.consul import ConsulNamer
from conf.interpreters import ConsulInterpreter
from namer.consul.catalog import STATUSES
from namer.hosts import Hosts
from namer.namer import Failure
from namer.path import Path
from namer.watch import Watches
from nodeagent.naming.consul import consul_namer, consul_store
from nodeagent.naming.naming import Naming
from tls.contexts import Contexts

PREFIX = Path.parse("/#/c")


def made(**keys: Any) -> Any:
    watches = Watches(random.Random(1))
    config = ConsulNamer(prefix=PREFIX, **keys)
    return consul_namer(PREFIX, config, watches, Hosts(watches), Contexts(), random.Random(1))


@pytest.mark.parametrize(
    ("keys", "statuses"),
    [
        pytest.param({}, {"passing", "warning"}, id="not said: as Consul's DNS"),
        pytest.param({"use_health_check": False}, set(STATUSES), id="no checks"),
        pytest.param({"use_health_check": True}, {"passing"}, id="passing"),
        pytest.param({"use_health_check": True, "health_statuses": ("critical",)}, {"critical"}, id="as listed"),
        pytest.param({"use_health_check": True, "health_statuses": ("any",)}, set(STATUSES), id="any"),
    ],
)
def test_statuses(keys: dict[str, Any], statuses: set[str]) -> None:
    assert made(**keys)._params.rules.statuses == statuses


async def test_a_file_of_tls_that_is_missing_is_a_failure_that_names_it(tmp_path: pathlib.Path) -> None:
    text = f"""
namers: [{{kind: consul, tls: {{commonName: c, trustCertsBundle: {tmp_path}/none.pem}}}}]
routers: [{{protocol: http, servers: [{{port: 0}}]}}]
"""
    config = conf.load(text, "test")
    naming = Naming(config.namers, random.Random(1), config.dns)
    async with trio.open_nursery() as nursery:
        await nursery.start(naming.run)
        ((_, cell),) = naming.namers_of(config.routers[0]).lookup(Path.parse("/#/consul/dc1/web"))
        cell.subscribe(lambda: None)
        with trio.fail_after(5):
            while not isinstance(cell.value, Failure):
                await cell.wait_changed(cell.version)
        nursery.cancel_scope.cancel()

    assert "none.pem: cannot be read" in cell.value.reason


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        ({}, "consul localhost:8500 /namerd/dtabs"),
        ({"host": "c", "port": 1, "path_prefix": Path(("x",))}, "consul c:1 /x"),
    ],
)
def test_the_store_of_an_interpreter(keys: dict[str, Any], name: str) -> None:
    assert consul_store(ConsulInterpreter(**keys), Contexts(), random.Random(1)).name == name
