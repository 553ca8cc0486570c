"""Backends that are called by their own name, and redirects that come back with it."""

from __future__ import annotations

import pytest

from tests.nodeagent.proxy.world import Backend, World

OWN = "users.service.dc1.consul"


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        pytest.param(f"Location: http://{OWN}/login?next=%2F", "http://web/login?next=%2F", id="a URL"),
        pytest.param(f"location: HTTPS://{OWN.upper()}:8443/", "HTTPS://web:8443/", id="another port, in capitals"),
        pytest.param(f"Location: //{OWN}", "//web", id="without a scheme"),
        pytest.param("Location: /login", "/login", id="without a host"),
        pytest.param(f"Location: http://{OWN}.evil.example/", f"http://{OWN}.evil.example/", id="a longer name"),
        pytest.param(f"Location: http://x.{OWN}/", f"http://x.{OWN}/", id="a name below"),
        pytest.param(f"Location: http://x/?u=http://{OWN}/", f"http://x/?u=http://{OWN}/", id="in a query"),
        pytest.param(f"Refresh: 5; url=http://{OWN}/later", "5; url=http://web/later", id="Refresh"),
        pytest.param(f"X-Other: http://{OWN}/", f"http://{OWN}/", id="another field"),
    ],
)
async def test_where_a_response_sends_the_caller(sent: str, seen: str) -> None:
    backend = Backend([f"HTTP/1.1 302 Found\r\n{sent}\r\nContent-Length: 0\r\n\r\n".encode()])
    world = World(dtab="/svc => /#/pool", authority=OWN)
    async with world.running(backend):
        answer = await world.ask(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")

    assert backend.seen[0].startswith(b"GET / HTTP/1.1\r\nHost: users.service.dc1.consul\r\n")
    assert answer.get(sent.partition(":")[0]) == seen


async def test_without_a_name_of_its_own_host_stays() -> None:
    backend = Backend()
    async with World(dtab="/svc => /#/pool").running(backend) as world:
        await world.ask(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")

    assert b"\r\nHost: web\r\n" in backend.seen[0]
