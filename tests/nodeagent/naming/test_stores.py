"""Which store a router's dtab is in."""

from __future__ import annotations

import pathlib

import pytest

from conf.router import HttpRouter
from namer.dtabstore import StoredDtab, StoreError
from nodeagent.naming.stores import dtab_store
from tests.conf.texts import router


def with_interpreter(keys: str) -> HttpRouter:
    return router(f"label: web\ndtab: /svc => /a ; /svc/x => /b\ninterpreter: {keys}")


@pytest.mark.parametrize(
    ("keys", "name", "namespace"),
    [
        pytest.param("{}", "router web of agent.yaml", "web", id="the configuration"),
        pytest.param("{kind: fs, dtabFile: /etc/dtabs/eu.dtab}", "/etc/dtabs/*.dtab", "eu", id="a file"),
        pytest.param("{kind: fs, dtabFile: dtab}", "./*", "dtab", id="a file without a suffix"),
        pytest.param(
            "{kind: io.l5d.consul.interpreter, namespace: eu}",
            "consul localhost:8500 /namerd/dtabs",
            "eu",
            id="Consul",
        ),
        pytest.param(
            "{kind: io.l5d.k8s.configMap, name: dtabs, filename: eu.dtab, host: localhost, port: 8001}",
            "http://localhost:8001 ConfigMap default/dtabs",
            "eu.dtab",
            id="a ConfigMap",
        ),
    ],
)
def test_the_store_and_the_namespace(keys: str, name: str, namespace: str) -> None:
    store, used = dtab_store(with_interpreter(keys), "agent.yaml")

    assert (store.name, used) == (name, namespace)


async def test_what_the_configuration_holds_is_read_and_not_written() -> None:
    store, used = dtab_store(with_interpreter("{}"), "agent.yaml")

    assert await store.list() == ["web"]
    assert await store.get(used) == StoredDtab("/svc => /a ;\n/svc/x => /b ;\n", None)
    assert await store.get("other") is None
    with pytest.raises(
        StoreError, match=r"^router web of agent\.yaml: its dtab is part of the configuration; change it"
    ):
        await store.set(used, "", None)


async def test_the_file_is_the_one_that_the_agent_reads(tmp_path: pathlib.Path) -> None:
    store, used = dtab_store(with_interpreter(f"{{kind: fs, dtabFile: {tmp_path}/eu.dtab}}"), "agent.yaml")

    await store.set(used, "/svc => /c", None)

    assert (tmp_path / "eu.dtab").read_text() == "/svc => /c"
