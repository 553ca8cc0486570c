"""From agent to agent: TLS with both sides verified where an agent is, and plain only where that is allowed.

Both routers are in one agent here: `out` has the callers, `in` is where other agents call. What a wire carries is seen
by what stands in front of the agent, and tests/deploy/test_mesh.py has two hosts.
"""

from __future__ import annotations

import json
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs

from tests.nodeagent.proxy.tlsends import CUT
from tests.nodeagent.proxy.world import OK, Answer, Backend, Caller, free_port
from tests.nodeagent.running import Running, running
from tests.nodeagent.servertls import Files, now
from tests.tls.authorities import Fleet, pem

GET = b"GET / HTTP/1.1\r\nHost: users\r\n\r\n"
AGENT = "spiffe://mesh.example/host/web-1"
CALLER = "spiffe://mesh.example/host/db-7"


@dataclass
class Mesh:
    """What runs: the agent, and a service on two ports. `incoming` is where agents call."""

    running: Running
    services: tuple[Backend, Backend]
    incoming: int
    disco: Path

    async def ask(self, request: bytes = GET) -> Answer:
        return await self.running.ask("router out", request)

    def tell(self, *endpoints: str) -> None:
        """Have discovery say these."""
        (self.disco / "users").write_text("".join(f"{each}\n" for each in endpoints))

    def endpoint(self, number: int = 0, more: str | None = None) -> str:
        """The line of one of the services, with the agent and its name unless `more` says otherwise."""
        more = f"node=web-1 agent={self.incoming}" if more is None else more
        return f"127.0.0.1 {self.services[number].port} {more}"

    async def record(self) -> dict[str, object]:
        """The last attempt of the outgoing router, as its record tells it."""
        records = json.loads((await self.running.admin("/requests.json")).body)
        attempt = next(each for each in records if each["router"] == "out")["attempts"][-1]
        assert isinstance(attempt, dict)
        return attempt

    async def transports(self) -> dict[str, float]:
        """What the metric says of connections."""
        page = (await self.running.admin("/metrics")).body.decode()
        lines = [line for line in page.splitlines() if line.startswith("nodeagent_client_transports_total{")]
        return {line.split('transport="')[1].split('"')[0]: float(line.rsplit(" ", 1)[1]) for line in lines}

    async def shown(self) -> list[str | None]:
        """How each endpoint was reached last, as the page of the clients has it."""
        state = json.loads((await self.running.admin("/client_state.json")).body)
        nodes = state["/#/io.l5d.fs/users"]["routers"]["out"]["endpoints"]
        return [each.get("transport") for each in nodes]


@asynccontextmanager
async def mesh(
    files: Files,
    tls: str = "agents: strict",
    identity: str = "spiffe://mesh.example/host/{node}",
    out: str = "",
    client: str = "",
) -> AsyncIterator[Mesh]:
    """An agent that calls itself as if it were two, with `tls` for its calls. `out` and `client` are more keys."""
    disco = files.folder / "disco"
    disco.mkdir()
    services, incoming = (Backend([OK]), Backend([OK])), free_port()
    async with trio.open_nursery() as nursery:
        for each in services:
            await nursery.start(each.run)
        folder = files.folder / "client"
        own = f"clientAuth: {{certPath: {folder}/cert.pem, keyPath: {folder}/key.pem}}"
        routers = f"""
- protocol: http
  label: out
  dtab: /svc => /#/io.l5d.fs
  client: {{tls: {{{tls}, identity: "{identity}", trustCertsBundle: {folder}/bundle.pem, {own}}}{client}}}
  servers: [{{port: 0}}]
{out}
- protocol: http
  label: in
  dtab: /svc/users => /$/inet/127.0.0.1/{services[0].port}
  servers: [{{port: {incoming}, tls: {files.keys()}}}]
"""
        async with running(routers, namers=f"[{{kind: io.l5d.fs, rootDir: {disco}}}]") as agent:
            yield Mesh(agent, services, incoming, disco)
        nursery.cancel_scope.cancel()


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files.made(tmp_path)


async def test_a_request_goes_through_the_agent_and_the_service_sees_what_was_asked(files: Files) -> None:
    async with mesh(files) as world:
        world.tell(world.endpoint())
        assert (await world.ask(b"GET /a%2Fb?c HTTP/1.1\r\nHost: users\r\nX-Mine: 1\r\n\r\n")).status == 200
        attempt, transports, shown = await world.record(), await world.transports(), await world.shown()
        explained = (await world.running.admin("/explain.json?path=/svc/users")).body.decode()

    (seen,) = world.services[0].seen
    assert seen.startswith(b"GET /a%2Fb?c HTTP/1.1\r\nHost: users\r\n")
    assert b"X-Mine: 1\r\n" in seen
    assert f"l5d-client-id: {CALLER}\r\n".encode() in seen
    where = f"127.0.0.1:{world.incoming}"
    assert attempt["transport"] == {
        "kind": "mtls", "address": where, "version": "TLSv1.3", "identity": AGENT, "why": None
    }  # fmt: skip
    assert transports == {"mtls": 1.0}
    assert shown == [f"mtls (TLSv1.3) with {AGENT} at {where}"]
    assert f'"agents":{{"127.0.0.1:{world.services[0].port}":"{where}"}}' in explained.replace(" ", "")


@pytest.mark.parametrize("mode", ["strict", "opportunistic, plainIfRefused: true"])
@pytest.mark.parametrize(
    ("identity", "node", "reason"),
    [
        (
            "spiffe://mesh.example/host/{node}",
            "node=web-2",
            f"it is of {AGENT}, not of spiffe://mesh.example/host/web-2",
        ),
        ("spiffe://other.example/host/{node}", "", f"it is of {AGENT}, not of spiffe://other.example/host/*"),
        ("spiffe://mesh.example/svc/{node}", "node=web-1", "not of spiffe://mesh.example/svc/web-1"),
    ],
    ids=["another host", "another domain", "no host"],
)
async def test_whoever_else_is_there_gets_nothing(
    files: Files, mode: str, identity: str, node: str, reason: str
) -> None:
    async with mesh(files, f"agents: {mode}", identity) as world:
        world.tell(world.endpoint(more=f"{node} agent={world.incoming}"))
        answer = await world.ask()

    assert answer.status == 502
    assert "error=tls_certificate_error" in (answer.get("proxy-status") or "")
    assert reason in answer.body.decode()
    assert [each.seen for each in world.services] == [[], []]


async def test_the_log_tells_of_each_endpoint_once(files: Files) -> None:
    with capture_logs() as logs:
        async with mesh(files, "agents: opportunistic") as world:
            world.tell(world.endpoint(), world.endpoint(1, ""))
            for _ in range(20):
                await world.ask(b"GET / HTTP/1.1\r\nHost: users\r\nConnection: close\r\n\r\n")

    about = {"router": "out", "client": "/#/io.l5d.fs/users"}
    secured, plain = (f"127.0.0.1:{each.port}" for each in world.services)
    told = sorted((each for each in logs if "called" in each["event"]), key=lambda each: str(each["log_level"]))
    assert told == [
        {
            "event": "an endpoint is called by TLS",
            "log_level": "info",
            "transport": "mtls",
            "at": f"127.0.0.1:{world.incoming}",
            "identity": AGENT,
            "version": "TLSv1.3",
            "endpoint": secured,
            **about,
        },
        {
            "event": "an endpoint is called in plain",
            "log_level": "warning",
            "why": "no agent is known on its host",
            "endpoint": plain,
            **about,
        },
    ]


async def test_where_the_node_is_not_told_any_host_of_the_domain_will_do(files: Files) -> None:
    async with mesh(files) as world:
        world.tell(world.endpoint(more=f"agent={world.incoming}"))
        assert (await world.ask()).status == 200


async def test_a_certificate_of_another_authority_is_no_reason_to_be_plain(files: Files) -> None:
    (files.folder / "client" / "bundle.pem").write_bytes(pem(Fleet.made(now()).root.certificate))
    async with mesh(files, "agents: opportunistic, plainIfRefused: true") as world:
        world.tell(world.endpoint())
        answer = await world.ask()

    assert (answer.status, world.services[0].seen) == (502, [])
    assert b"the certificate is refused: its issuer is" in answer.body


@pytest.mark.parametrize(
    "request_",
    [
        b"POST / HTTP/1.1\r\nHost: users\r\nContent-Length: 2\r\n\r\nab",
        b"CONNECT users:80 HTTP/1.1\r\nHost: users:80\r\n\r\n",
    ],
)
async def test_that_the_other_agent_refuses_our_certificate_is_said(files: Files, request_: bytes) -> None:
    trusted = (files.folder / "client" / "bundle.pem").read_bytes()
    Fleet.made(now()).write(files.folder / "client", "db-7", now())
    (files.folder / "client" / "bundle.pem").write_bytes(trusted)
    async with mesh(files) as world:
        world.tell(world.endpoint())
        answer = await world.ask(request_)

    assert "error=tls_certificate_error" in (answer.get("proxy-status") or "")
    assert answer.get("l5d-retryable") == "true", "nothing of it was looked at"
    assert b"our certificate is refused: its issuer is not trusted there" in answer.body


@pytest.mark.parametrize(
    ("says", "reason"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"no TLS: the endpoint does not speak TLS"),
        (b"", b"no TLS: connection reset by peer"),
    ],
)
async def test_a_handshake_that_fails_is_no_reason_to_be_plain(files: Files, says: bytes, reason: bytes) -> None:
    async def talk(stream: trio.SocketStream) -> None:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, CUT)
        async with stream:
            await stream.receive_some()
            await stream.send_all(says)
            if says:
                await stream.receive_some()

    async with trio.open_nursery() as nursery, mesh(files, "agents: opportunistic, plainIfRefused: true") as world:
        (listener,) = await nursery.start(partial(trio.serve_tcp, host="127.0.0.1"), talk, 0)
        world.tell(world.endpoint(more=f"agent={listener.socket.getsockname()[1]}"))
        answer = await world.ask()
        nursery.cancel_scope.cancel()

    assert (answer.status, world.services[0].seen) == (502, [])
    assert reason in answer.body


async def test_strict_uses_no_endpoint_without_an_agent(files: Files) -> None:
    async with mesh(files) as world:
        world.tell(world.endpoint(), world.endpoint(1, ""))
        assert {(await world.ask()).status for _ in range(8)} == {200}
        explained = (await world.running.admin("/explain.json?path=/svc/users")).body.decode()

        world.tell(world.endpoint(1, ""))
        with trio.fail_after(5):
            while (answer := await world.ask()).status == 200:
                await trio.sleep(0.05)

    assert "no agent is known on its host, and client.tls.agents is strict" in explained
    assert answer.status == 503
    assert "no agent is known on its host" in answer.body.decode()
    assert world.services[1].seen == []


async def test_opportunistic_balances_endpoints_with_and_without_an_agent_together(files: Files) -> None:
    async with mesh(files, "agents: opportunistic") as world:
        world.tell(world.endpoint(), world.endpoint(1, ""))
        assert {(await world.ask()).status for _ in range(30)} == {200}
        transports, shown = await world.transports(), await world.shown()

    assert all(each.seen for each in world.services)
    assert transports.keys() == {"mtls", "plain"}
    assert shown[1] == "plain: no agent is known on its host"
    assert not any(b"l5d-client-id" in seen for seen in world.services[1].seen)


async def test_an_agent_that_comes_is_used_from_the_next_request_on(files: Files) -> None:
    async with mesh(files, "agents: opportunistic") as world:
        world.tell(world.endpoint(more=""))
        await world.ask()
        assert ((await world.record())["transport"] or {})["kind"] == "plain"  # type: ignore[index]
        world.tell(world.endpoint())
        with trio.fail_after(5):
            while (await world.shown())[0].startswith("plain"):  # type: ignore[union-attr]
                await world.ask()
                await trio.sleep(0.05)


@pytest.mark.parametrize(("more", "status"), [(", plainIfRefused: true", 200), ("", 502)])
async def test_a_refusal_is_a_reason_to_be_plain_only_if_configured(files: Files, more: str, status: int) -> None:
    async with mesh(files, f"agents: opportunistic{more}") as world:
        nobody = free_port()
        world.tell(world.endpoint(more=f"agent={nobody}"))
        answer = await world.ask()
        attempt = await world.record()

    assert answer.status == status
    if status == 200:
        why = f"nobody listens where its agent should be, 127.0.0.1:{nobody}"
        address = f"127.0.0.1:{world.services[0].port}"
        plain = {"kind": "plain", "address": address, "version": None, "identity": None, "why": why}
        assert attempt["transport"] == plain
    else:
        assert f"dial 127.0.0.1:{nobody}: connection refused" in answer.body.decode()
        assert world.services[0].seen == []


async def test_tunnels_go_through_agents_too(files: Files) -> None:
    async with mesh(files) as world:
        world.tell(world.endpoint())
        async with await world.running.connect("router out") as stream:
            caller = Caller(stream)
            await caller.send(b"CONNECT users:80 HTTP/1.1\r\nHost: users:80\r\n\r\n")
            assert (await caller.answer("CONNECT")).status == 200
            await caller.send(b"GET /in HTTP/1.1\r\nHost: anything\r\n\r\n")
            assert (await caller.answer()).body == b"ok"
        assert await world.transports() == {"mtls": 1.0}

    assert world.services[0].seen == [b"GET /in HTTP/1.1\r\nHost: anything\r\n\r\n"]


async def test_a_tunnel_that_the_other_agent_does_not_open_says_why(files: Files) -> None:
    async with mesh(files) as world:
        (world.disco / "orders").write_text(world.endpoint() + "\n")
        answer = await world.running.ask("router out", b"CONNECT orders:80 HTTP/1.1\r\nHost: orders:80\r\n\r\n")

    assert answer.status == 502
    assert "the agent answers 502 to CONNECT: bind /svc/orders:80" in answer.body.decode()


@pytest.mark.parametrize(
    ("keep", "moved"), [("", True), (", keepEndpoints: true", False)], ids=["in its place", "beside it"]
)
async def test_the_agent_may_be_known_by_its_port_alone(files: Files, keep: str, moved: bool) -> None:
    incoming = free_port()
    out = f"  interpreter: {{transformers: [{{kind: io.l5d.port, port: {incoming}{keep}}}]}}"
    async with mesh(files, out=out) as world:
        # The transformer says another port than that of the agent, which is then not found.
        world.tell(world.endpoint(0, "node=web-1"), world.endpoint(1, "node=web-1"))
        answer = await world.ask()
        shown = json.loads((await world.running.admin("/explain.json?path=/svc/users")).body)["bound"][0]

    services = [f"127.0.0.1:{each.port}" for each in world.services]
    agent = f"127.0.0.1:{incoming}"
    assert f"dial {agent}: connection refused" in answer.body.decode()
    assert shown["endpoints"] == ([agent] if moved else services)
    assert shown["agents"] == dict.fromkeys([agent] if moved else services, agent)
    assert Counter(len(each.seen) for each in world.services) == {0: 2}


async def test_health_checks_go_through_agents_too(files: Files) -> None:
    check = ", healthCheck: {kind: http, path: /health, host: users, intervalMs: 100}"
    async with mesh(files, client=check) as world:
        world.tell(world.endpoint())
        await world.ask()
        with trio.fail_after(5):
            while not any(seen.startswith(b"GET /health ") for seen in world.services[0].seen):
                await trio.sleep(0.02)

    assert all(b"l5d-client-id" in seen for seen in world.services[0].seen)


async def test_any_protocol_goes_from_a_tcp_router_to_that_of_the_other_agent(files: Files) -> None:
    incoming, service, client = free_port(), Backend([OK]), files.folder / "client"
    tls = (
        f'{{agents: strict, identity: "spiffe://mesh.example/host/{{node}}", trustCertsBundle: {client}/bundle.pem, '
        f"clientAuth: {{certPath: {client}/cert.pem, keyPath: {client}/key.pem}}}}"
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(service.run)
        routers = f"""
- protocol: tcp
  label: out
  dtab: /svc => /$/inet/127.0.0.1/{service.port}
  interpreter: {{transformers: [{{kind: io.l5d.port, port: {incoming}}}]}}
  client: {{tls: {tls}}}
  servers: [{{port: 0, name: db}}]
- protocol: tcp
  label: in
  dtab: /svc => /$/inet/127.0.0.1/{service.port}
  servers: [{{port: {incoming}, name: db, tls: {files.keys()}}}]
"""
        async with running(routers) as agent:
            assert (await agent.ask("router out", GET)).body == b"ok"
            with trio.fail_after(5):
                while not (told := json.loads((await agent.admin("/requests.json?filter=router=out")).body)):
                    await trio.sleep(0.02)
        nursery.cancel_scope.cancel()

    assert service.seen == [GET]
    assert told[0]["attempts"][0]["transport"]["identity"] == AGENT
