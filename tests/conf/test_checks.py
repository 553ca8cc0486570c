"""The key `healthCheck` of `client`."""

from __future__ import annotations

import pytest

from balancer.checks import CheckSchedule
from conf import resolve
from conf.checks import AnyHealthCheck, HttpCheck, NoCheck, TcpCheck, statuses
from namer.path import Path
from nodeagent.proxy import checks
from tests.conf.texts import router, router_problems


def of(client: str, path: str = "/#/io.l5d.fs/users") -> AnyHealthCheck:
    """What holds for a concrete name."""
    return resolve(router(f"client: {client}").client, Path.parse(path)).health_check


@pytest.mark.parametrize(
    ("keys", "check"),
    [
        pytest.param("kind: http", HttpCheck(), id="http"),
        pytest.param(
            "kind: http, path: '/health?full=1', method: HEAD, host: 'users.example:80', expect: 200-204, "
            "intervalMs: 1000, timeoutMs: 500, rise: 1, fall: 2, port: 8081",
            HttpCheck(
                path="/health?full=1",
                method="HEAD",
                host="users.example:80",
                expect="200-204",
                interval_ms=1000,
                timeout_ms=500,
                rise=1,
                fall=2,
                port=8081,
            ),
            id="http, all keys",
        ),
        pytest.param("kind: tcp, intervalMs: 100", TcpCheck(interval_ms=100), id="tcp"),
        pytest.param("kind: none", NoCheck(), id="none"),
    ],
)
def test_kinds(keys: str, check: AnyHealthCheck) -> None:
    assert of(f"{{healthCheck: {{{keys}}}}}") == check


def test_it_is_off_by_default() -> None:
    assert of("{}") == NoCheck()


def test_the_defaults_are_those_of_the_proxy() -> None:
    tcp, http = TcpCheck(), HttpCheck()

    assert CheckSchedule() == CheckSchedule(tcp.interval_ms / 1000, tcp.rise, tcp.fall)
    assert checks.CheckParams() == checks.CheckParams(timeout=tcp.timeout / 1000, port=tcp.port)
    assert checks.HttpCheck() == checks.HttpCheck(http.path, http.method, http.host, statuses(http.expect))


@pytest.mark.parametrize(
    ("check", "timeout"),
    [
        pytest.param(TcpCheck(), 2000, id="as documented"),
        pytest.param(TcpCheck(interval_ms=1500), 1500, id="never longer than the interval"),
        pytest.param(TcpCheck(interval_ms=9000, timeout_ms=8000), 8000, id="as given"),
    ],
)
def test_the_time_for_one_check(check: TcpCheck, timeout: int) -> None:
    assert check.timeout == timeout


LAYERS = """
  kind: io.l5d.static
  configs:
  - prefix: /#/io.l5d.fs
    healthCheck: {kind: http, path: /health, rise: 9}
  - prefix: /#/io.l5d.fs/db
    healthCheck: {kind: tcp}
  - prefix: /#/io.l5d.fs/cron
    healthCheck: {kind: none}
"""


@pytest.mark.parametrize(
    ("path", "check"),
    [
        pytest.param("/#/io.l5d.fs/users", HttpCheck(path="/health", rise=9), id="of the prefix"),
        pytest.param("/#/io.l5d.fs/db", TcpCheck(), id="the later one holds, whole"),
        pytest.param("/#/io.l5d.fs/cron", NoCheck(), id="turned off"),
        pytest.param("/$/inet/a/1", NoCheck(), id="no prefix matches"),
    ],
)
def test_prefixes(path: str, check: AnyHealthCheck) -> None:
    assert of(LAYERS, path) == check


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        pytest.param("", "4:25: .kind: missing; expected one of http, tcp, none", id="no kind"),
        pytest.param("kind: grpc", '4:32: .kind: unknown kind "grpc"; known are http, tcp, none', id="no such kind"),
        pytest.param(
            "kind: tcp, intervalMs: 1000, timeoutMs: 1001",
            "4:66: .timeoutMs: 1001 is more than intervalMs, 1000",
            id="longer than the interval",
        ),
        pytest.param(
            "kind: tcp, timeoutMs: 5001", "4:48: .timeoutMs: 5001 is more than intervalMs, 5000", id="default"
        ),
        pytest.param(
            "kind: tcp, intervalMs: 99",
            "4:49: .intervalMs: 99 is out of range; expected a whole number from 100 to 2147483647",
            id="too often",
        ),
        pytest.param(
            "kind: tcp, rise: 0", "4:43: .rise: 0 is out of range; expected a whole number from 1 to 100", id="rise"
        ),
        pytest.param(
            "kind: tcp, port: 0", "4:43: .port: 0 is out of range; expected a whole number from 1 to 65535", id="port"
        ),
        pytest.param(
            "kind: tcp, path: /",
            "4:37: .path: unknown key here; it belongs to kind http",
            id="other kind",
        ),
        pytest.param(
            'kind: http, path: "/a b"',
            '4:44: .path: expected a path, and maybe a query, such as /health, found the text "/a b"',
            id="path",
        ),
        pytest.param(
            'kind: http, path: "/\\r\\nX: y"',
            '4:44: .path: expected a path, and maybe a query, such as /health, found the text "/\\r\\nX: y"',
            id="path with a header in it",
        ),
        pytest.param(
            'kind: http, host: "a\\r\\nX: y"',
            '4:44: .host: expected a host name, and maybe a port, found the text "a\\r\\nX: y"',
            id="host with a header in it",
        ),
        pytest.param(
            "kind: http, method: POST",
            '4:46: .method: expected one of GET, HEAD, OPTIONS, found the text "POST"',
            id="method",
        ),
        pytest.param(
            "kind: http, expect: 399-200",
            '4:46: .expect: expected a status or a range of them, such as 200-399, found the text "399-200": '
            "399 is above 200",
            id="range",
        ),
        pytest.param(
            "kind: http, expect: 200",
            "4:46: .expect: expected a status or a range of them, such as 200-399, found the number 200; put it in "
            "quotes if it is text",
            id="number",
        ),
        pytest.param(
            "kind: http, expect: 100-399",
            '4:46: .expect: expected a status or a range of them, such as 200-399, found the text "100-399"',
            id="no final status",
        ),
    ],
)
def test_what_is_wrong(keys: str, line: str) -> None:
    (problem,) = router_problems(f"client: {{healthCheck: {{{keys}}}}}")

    assert problem.replace("routers[0].client.healthCheck", "") == f"l5d:{line}"


def test_one_status() -> None:
    assert statuses("204") == (204, 204)
