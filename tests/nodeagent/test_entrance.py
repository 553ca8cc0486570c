"""Who may connect at all, and who may call what by identity, on real sockets."""

from __future__ import annotations

import json
import os
import ssl
from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs

from tests.nodeagent.proxy.world import Backend, Caller
from tests.nodeagent.running import running
from tests.nodeagent.servertls import Files, World, serving

ME = os.getuid()
DB7 = "spiffe://mesh.example/host/db-7"
STRANGER = "spiffe://mesh.example/host/stranger"


@pytest.fixture
def files(tmp_path: Path) -> Files:
    files = Files.made(tmp_path)
    files.write("stranger")
    return files


async def refused(world: World, context: ssl.SSLContext) -> bool:
    """Whether a connection ends without a word."""
    with trio.fail_after(10):
        try:
            async with await world.call(context) as stream:
                await stream.send_all(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
                return not await stream.receive_some()
        except trio.BrokenResourceError:
            return True


async def counted(world: World, metric: str) -> list[str]:
    page = (await world.running.admin("/metrics")).body.decode()
    return [line.rsplit(" ", 1)[1] for line in page.splitlines() if line.startswith(f"nodeagent_{metric}_total{{")]


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
async def test_the_connection_of_who_is_not_listed_is_refused(files: Files, version: str) -> None:
    async with serving(files.keys(), f", callers: {{identities: ['{DB7}']}}") as world:
        assert (await world.ask(files.client(protocols=(version,)))).startswith(b"HTTP/1.1 200 ")
        with capture_logs() as logs:
            assert await refused(world, files.client("stranger", (version,)))
        assert await counted(world, "server_connections_denied") == ["1.0"]
        assert len(json.loads((await world.running.admin("/requests.json")).body)) == 1, "it never was a request"

    assert len(world.backend.seen) == 1
    (line,) = [line for line in logs if line["event"] == "policy refuses a connection"]
    assert (line["caller"], line["why"]) == (STRANGER, f"identities {DB7}: the caller is {STRANGER}")


async def test_a_port_for_any_protocol_refuses_connections_too(files: Files) -> None:
    server = f", name: web, callers: [{{identities: ['{DB7}']}}]"
    async with serving(files.keys(), server, protocol="tcp") as world:
        assert await refused(world, files.client("stranger"))
        assert world.backend.connections == 0
        assert (await world.ask(files.client())).startswith(b"HTTP/1.1 200 ")


async def test_who_shows_no_certificate_is_not_listed(files: Files) -> None:
    async with serving(files.keys(""), ", callers: {identities: ['spiffe://mesh.example/**']}") as world:
        assert await refused(world, files.client(None))
        assert (await world.ask(files.client("stranger"))).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("callers", "let_in"),
    [
        (f"{{users: ['{ME}']}}", True),
        (f"{{users: ['{ME + 1}']}}", False),
        ("{networks: [127.0.0.0/8]}", True),
        ("[{networks: [10.0.0.0/8]}, {networks: ['::1']}]", False),
        (f"{{users: ['{ME}'], networks: [10.0.0.0/8]}}", False),
    ],
)
async def test_users_and_networks(callers: str, let_in: bool) -> None:
    text = f"- {{protocol: http, servers: [{{port: 0, callers: {callers}}}], dtab: /svc => /$/nil}}"
    async with running(text) as agent, await agent.connect("router http") as stream:
        caller = Caller(stream)
        if let_in:
            await caller.send(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
            assert (await caller.answer()).status == 502
        else:
            with pytest.raises(trio.BrokenResourceError), trio.fail_after(10):
                await stream.receive_some()


BY_IDENTITY = f"""  policy:
    default: deny
    rules: [{{name: databases, who: {{identities: ['{DB7}']}}, what: {{services: [/svc/web]}}, action: allow}}]
"""


@pytest.mark.parametrize(
    "request_line",
    [b"GET / HTTP/1.1\r\nHost: web\r\n\r\n", b"CONNECT web:80 HTTP/1.1\r\nHost: web:80\r\n\r\n"],
    ids=["a request", "a tunnel"],
)
async def test_rules_know_callers_by_their_certificates(files: Files, request_line: bytes) -> None:
    async with serving(files.keys(""), router=BY_IDENTITY) as world:
        for own, status in (("client", b"200"), ("stranger", b"403"), (None, b"403")):
            async with await world.call(files.client(own)) as stream:
                await stream.send_all(request_line)
                assert (await stream.receive_some()).startswith(b"HTTP/1.1 " + status), own


async def test_a_connection_for_a_name_that_its_caller_may_not_call_is_reset(files: Files) -> None:
    backend = Backend()
    async with serving(files.keys(), ", name: web", BY_IDENTITY, protocol="tcp", backend=backend) as world:
        with capture_logs() as logs:
            assert await refused(world, files.client("stranger"))
        assert backend.connections == 0
        assert (await world.ask(files.client())).startswith(b"HTTP/1.1 200 ")
        assert sorted(await counted(world, "policy_decisions")) == ["1.0", "1.0"]
    assert [line["caller"] for line in logs if line["event"] == "policy refuses a request"] == [STRANGER]
