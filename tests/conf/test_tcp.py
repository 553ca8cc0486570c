"""Routers that pass connections on, and listeners that stand for one name."""

from __future__ import annotations

import textwrap

import pytest

import conf
from conf.router import TcpRouter
from conf.server import TcpServer
from namer.path import Path
from tests.conf.texts import problems

TCP = "routers:\n- protocol: tcp\n  servers: [{port: 1, name: db}]\n"


def test_the_defaults() -> None:
    (router,) = conf.load(TCP, "l5d").routers

    assert isinstance(router, TcpRouter)
    assert (router.kind, router.label, router.dst_prefix.show()) == ("tcp", "tcp", "/svc")
    assert router.servers == (TcpServer(port=1, name=Path(("db",))),)
    assert router.servers[0].server_session.idle_time_ms == 3_600_000


@pytest.mark.parametrize(
    ("written", "name"), [("db", "/db"), ("/db", "/db"), ("users/db", "/users/db"), ("users:5432", "/users:5432")]
)
@pytest.mark.parametrize("protocol", ["tcp", "http"])
def test_a_listener_may_stand_for_a_name(protocol: str, written: str, name: str) -> None:
    config = conf.load(f"routers: [{{protocol: {protocol}, servers: [{{port: 1, name: {written}}}]}}]", "l5d")

    found = config.routers[0].servers[0].name
    assert found is not None
    assert found.show() == name


@pytest.mark.parametrize(
    ("server", "line"),
    [
        pytest.param(
            "{port: 1}",
            "1:37: routers[0].servers[0].name: missing; expected a name such as users or users/db",
            id="no name",
        ),
        pytest.param(
            "{name: db}",
            "1:37: routers[0].servers[0].port: missing; expected the port that stands for the name",
            id="no port",
        ),
        pytest.param(
            "{port: 1, name: /}",
            '1:53: routers[0].servers[0].name: expected a name such as users or users/db, found the text "/"',
            id="no label",
        ),
        pytest.param(
            "{port: 1, name: db, maxCallDepth: 7}",
            "1:57: routers[0].servers[0].maxCallDepth: unknown key here; it belongs to routers[].servers[] under "
            "another kind",
            id="what reads requests",
        ),
    ],
)
def test_what_a_listener_needs(server: str, line: str) -> None:
    assert problems(f"routers: [{{protocol: tcp, servers: [{server}]}}]")[0] == f"l5d:{line}"


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        pytest.param(
            "identifier: {kind: path}",
            "4:3: routers[0].identifier: unknown key here; it belongs to protocol http",
            id="identifier",
        ),
        pytest.param(
            "maxHeadersKB: 8",
            "4:3: routers[0].maxHeadersKB: unknown key here; it belongs to protocol http",
            id="heads",
        ),
        pytest.param(
            "service: {retries: {}}", "4:22: routers[0].service.retries: means nothing for protocol tcp", id="retries"
        ),
        pytest.param(
            "service:\n  kind: static\n  configs: [{prefix: /, responseClassifier: {kind: retryableRead5XX}}]",
            "6:47: routers[0].service.configs[0].responseClassifier: means nothing for protocol tcp",
            id="classifier",
        ),
        pytest.param(
            "client: {hostConnectionPool: {maxSize: 5}}",
            "4:32: routers[0].client.hostConnectionPool: means nothing for protocol tcp",
            id="pool",
        ),
        pytest.param(
            "client: {loadBalancer: {kind: ringHash, header: x}}",
            "4:26: routers[0].client.loadBalancer: ringHash goes by a header or a cookie",
            id="ring",
        ),
    ],
)
def test_what_reads_requests_has_no_place(keys: str, line: str) -> None:
    (problem,) = problems(TCP + textwrap.indent(keys, "  "))

    assert problem.startswith(f"l5d:{line}")


def test_what_concerns_connections_has() -> None:
    keys = """\
  service: {concurrency: {kind: fixed, limit: 5}}
  client: {connectTimeoutMs: 100, failureAccrual: {kind: none}, loadBalancer: {kind: p2c}}
"""
    assert problems(TCP + keys) == []
