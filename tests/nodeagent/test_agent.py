"""The whole agent in this process: from a configuration text to answers, and to its end."""

from __future__ import annotations

import json
import pathlib
import re
import ssl
from contextlib import suppress
from typing import Any, cast

import pytest
import trio
import trustme

import conf
from namer.dtab import Dtab
from namer.path import Path
from nodeagent.agent import Agent
from nodeagent.listen import ListenError, address, listen
from nodeagent.priming import primed_names
from tests.nodeagent.proxy.world import OK, Answer, Backend
from tests.nodeagent.running import Running, running

GET = b"GET / HTTP/1.1\r\nHost: web\r\n\r\n"


def router(dtab: str, more: str = "") -> str:
    return f"- protocol: http\n  label: out\n  dtab: {dtab}\n  servers: [{{port: 0}}]\n{more}"


async def until_ready(run: Running) -> None:
    with trio.fail_after(10):
        while run.agent.readiness() is not None:
            await trio.sleep(0.01)


async def test_a_file_a_name_an_answer(tmp_path: pathlib.Path) -> None:
    async with trio.open_nursery() as nursery:
        backend = Backend()
        await nursery.start(backend.run)
        (tmp_path / "web").write_text(f"127.0.0.1 {backend.port}\n")
        async with running(router("/svc => /#/io.l5d.fs"), f"[{{kind: io.l5d.fs, rootDir: {tmp_path}}}]") as run:
            answer = await run.ask("router out", GET)
            metrics = await run.admin("/metrics")
            explained = json.loads((await run.admin("/explain.json?path=/svc/web")).body)
            ready, live, ping = [await run.admin(page) for page in ("/ready", "/live", "/admin/ping")]
        nursery.cancel_scope.cancel()

    assert (answer.status, answer.body) == (200, b"ok")
    counted = b'nodeagent_service_requests_total{classification="success",router="out",service="/svc/web"} 1.0'
    assert counted in metrics.body
    assert explained["bound"][0]["endpoints"] == [f"127.0.0.1:{backend.port}"]
    assert (ready.status, live.status, ping.body.strip()) == (200, 200, b"pong")
    (seen,) = backend.seen
    for field in (
        b"Via: 1.1 nodeagent",
        b"l5d-reqid: ",
        b"l5d-ctx-trace: ",
        b"traceparent: 00-",
        b"l5d-dst-service: /",
    ):
        assert b"\r\n" + field in seen


async def test_an_answer_bears_the_id_by_which_it_can_be_asked_about(tmp_path: pathlib.Path) -> None:
    reply = OK.replace(b"Content", b"l5d-reqid: 00000000000000ff\r\nContent")  # of an agent further on; of one trace
    async with trio.open_nursery() as nursery:
        one, two = Backend([reply]), Backend([reply])
        await nursery.start(one.run)
        await nursery.start(two.run)
        (tmp_path / "web").write_text(f"127.0.0.1 {one.port}\n127.0.0.1 {two.port}\n")
        async with running(router("/svc => /#/io.l5d.fs"), f"[{{kind: io.l5d.fs, rootDir: {tmp_path}}}]") as run:
            answer = await run.ask("router out", GET)
            missing = await run.ask("router out", GET.replace(b"web", b"nowhere"))
            async with await run.connect("router out") as stream:
                await stream.send_all(b"CONNECT web:80 HTTP/1.1\r\nHost: web:80\r\n\r\n")
                tunnel = await stream.receive_some()
            id_, other = answer.get("l5d-reqid"), missing.get("l5d-reqid")
            record = json.loads((await run.admin(f"/requests/{id_}.json")).body)
            failed = json.loads((await run.admin(f"/requests/{other}.json")).body)
        nursery.cancel_scope.cancel()

    assert answer.head.count(b"l5d-reqid") == 1
    assert re.search(rb"\r\nl5d-reqid: [0-9a-f]{16}\r\n", tunnel)
    assert (record["id"], record["name"], record["rule"]) == (id_, "/svc/web", "/svc => /#/io.l5d.fs")
    assert {each["endpoint"] for each in record["candidates"]} == {f"127.0.0.1:{each.port}" for each in (one, two)}
    assert record["choice"] == next(f"127.0.0.1:{each.port}" for each in (one, two) if each.seen)
    assert (failed["status"], failed["blame"], failed["attempts"]) == (502, "naming", [])
    assert failed["steps"] == [
        {"path": "/svc/nowhere", "dentry": "/svc => /#/io.l5d.fs", "to": "/#/io.l5d.fs/nowhere", "result": "neg"}
    ]


@pytest.mark.parametrize(("zone", "served"), [("a", {b"ok"}), ("b", {b"nu"}), ("", {b"ok", b"nu"})])
async def test_the_environment_may_tell_the_zone_of_the_host(
    zone: str, served: set[bytes], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NODE_ZONE", zone)
    preferring = router("/svc => /#/io.l5d.fs", "  client: {zonePreference: {}}\n")
    async with trio.open_nursery() as nursery:
        one, two = Backend(), Backend([OK.replace(b"ok", b"nu")])
        await nursery.start(one.run)
        await nursery.start(two.run)
        (tmp_path / "web").write_text(f"127.0.0.1 {one.port} zone=a\n127.0.0.1 {two.port} zone=b\n")
        async with running(preferring, f"[{{kind: io.l5d.fs, rootDir: {tmp_path}}}]") as run:
            bodies = {(await run.ask("router out", GET)).body for _ in range(20)}
        nursery.cancel_scope.cancel()

    assert bodies == served


async def test_a_new_endpoint_is_used_within_a_second_and_a_bad_line_harms_nobody(tmp_path: pathlib.Path) -> None:
    async with trio.open_nursery() as nursery:
        old, new = Backend(), Backend([OK.replace(b"ok", b"nu")])
        await nursery.start(old.run)
        await nursery.start(new.run)
        (tmp_path / "web").write_text(f"127.0.0.1 {old.port}\nnot an endpoint\n")
        async with running(router("/svc => /#/io.l5d.fs"), f"[{{kind: io.l5d.fs, rootDir: {tmp_path}}}]") as run:
            first = await run.ask("router out", GET)
            state = await run.admin("/namer_state.json")
            (tmp_path / "web").write_text(f"127.0.0.1 {new.port}\n")
            with trio.fail_after(1.5):
                while (await run.ask("router out", GET)).body != b"nu":
                    await trio.sleep(0.05)
        nursery.cancel_scope.cancel()

    assert first.body == b"ok"
    assert b"web:2" in state.body


@pytest.mark.parametrize(
    ("trace", "sent", "seen"),
    [
        pytest.param("", b"x-b3-traceid: %(t)s\r\nx-b3-spanid: 0000000000000001\r\n", b"x-b3-traceid: %(t)s", id="B3"),
        pytest.param(
            "", b"traceparent: 00-0000000000000000%(t)s-0000000000000001-01\r\n",
            b"traceparent: 00-0000000000000000%(t)s-", id="W3C",
        ),
        pytest.param("  tracePropagator: {kind: io.l5d.zipkin}\n", b"", b"x-b3-traceid: ", id="B3 begun here"),
    ],
)  # fmt: skip
async def test_a_trace_goes_on(trace: str, sent: bytes, seen: bytes) -> None:
    values = {b"t": b"00000000000000ab"}
    async with trio.open_nursery() as nursery:
        backend = Backend()
        await nursery.start(backend.run)
        async with running(router(f"/svc => /$/inet/127.0.0.1/{backend.port}", trace)) as run:
            await run.ask("router out", GET[:-2] + (sent % values if sent else sent) + b"\r\n")
        nursery.cancel_scope.cancel()

    assert (seen % values if b"%" in seen else seen) in backend.seen[0]


async def test_readiness_waits_for_the_names_that_the_dtab_spells_out(tmp_path: pathlib.Path) -> None:
    (tmp_path / "web").write_text("127.0.0.1 1\n")
    dtab = "/svc/web => /#/io.l5d.fs/web ; /svc/other => /#/io.l5d.fs/none"
    async with running(router(dtab), f"[{{kind: io.l5d.fs, rootDir: {tmp_path}}}]") as run:
        await until_ready(run)
        names = json.loads((await run.admin("/bound-names.json")).body)
        run.agent.shutdown()
        await trio.testing.wait_all_tasks_blocked()
        assert run.agent.readiness() == "shutting down"

    assert "web" in json.dumps(names)


def test_the_names_that_a_dtab_spells_out() -> None:
    dtab = Dtab.parse("/svc => /#/x ; /svc/a => /b ; /svc/*/c => /d ; /other/e => /f ; /svc/a => /g ; /svc/h/i => /j")

    assert [name.show() for name in primed_names(dtab, Path.parse("/svc"))] == ["/svc/a", "/svc/h/i"]


async def test_a_table_in_a_file_is_followed(tmp_path: pathlib.Path) -> None:
    table = tmp_path / "table.dtab"
    table.write_text("/svc => /$/io.buoyant.http.status/201 ;\n")
    interpreter = f"  interpreter: {{kind: io.l5d.fs, dtabFile: {table}}}\n"
    async with running(router("", interpreter)) as run:
        await until_ready(run)
        explained = json.loads((await run.admin("/explain.json?path=/svc/web")).body)
        first = await run.ask("router out", GET)
        table.write_text("/svc => /$/io.buoyant.http.status/202 ;\n")
        with trio.fail_after(1.5):
            while (changed := await run.ask("router out", GET)).status == 201:
                await trio.sleep(0.05)
        table.write_text("/svc => no table")
        with trio.fail_after(1.5):
            while b"table.dtab:1:9" not in (await run.admin("/namer_state.json")).body:
                await trio.sleep(0.05)
        kept = await run.ask("router out", GET)

    assert explained["outcome"] == "bound"
    assert (first.status, changed.status, kept.status) == (201, 202, 202)


async def test_it_ends_when_what_is_under_way_is_answered() -> None:
    asked, go = trio.Event(), trio.Event()

    async def wait(stream: trio.SocketStream, request: bytes) -> bool:
        asked.set()
        await go.wait()
        await stream.send_all(OK)
        return True

    answers: list[Answer] = []
    async with trio.open_nursery() as nursery:
        backend = Backend([wait])
        await nursery.start(backend.run)
        config = conf.load(
            f"admin: {{port: 0}}\nrouters:\n{router(f'/svc => /$/inet/127.0.0.1/{backend.port}')}", "test"
        )
        agent = Agent(config)
        async with trio.open_nursery() as life:
            run = Running(agent, await life.start(agent.run))

            async def client() -> None:
                answers.append(await run.ask("router out", GET))

            life.start_soon(client)
            await asked.wait()
            stopped = await run.admin("/admin/shutdown", "POST")
            live = await run.admin("/live")
            ready = await run.admin("/ready")
            go.set()
        nursery.cancel_scope.cancel()

    assert (stopped.status, live.status, ready.status) == (200, 200, 503)
    assert (answers[0].status, answers[0].get("connection")) == (200, "close")


async def test_what_takes_too_long_is_cut_at_the_end_of_the_grace_time() -> None:
    asked = trio.Event()

    async def never(stream: trio.SocketStream, request: bytes) -> None:
        asked.set()
        await stream.receive_some()

    async with trio.open_nursery() as nursery:
        backend = Backend([never])
        await nursery.start(backend.run)
        text = router(f"/svc => /$/inet/127.0.0.1/{backend.port}")
        agent = Agent(conf.load(f"admin: {{port: 0, shutdownGraceMs: 200}}\nrouters:\n{text}", "test"))
        async with trio.open_nursery() as life:
            run = Running(agent, await life.start(agent.run))
            stream = await run.connect("router out")
            await stream.send_all(GET)
            await asked.wait()
            agent.shutdown()
            with trio.fail_after(5):
                assert await stream.receive_some() == b""
            await stream.aclose()
        nursery.cancel_scope.cancel()


async def test_a_taken_port_stops_the_start_and_gives_back_the_others() -> None:
    with listen("x", "127.0.0.1", 0) as taken:
        _, port = address(taken)
        free = listen("y", "127.0.0.1", 0)
        _, other = address(free)
        free.close()
        text = f"- protocol: http\n  servers: [{{port: {other}}}, {{port: {port}}}]\n"
        agent = Agent(conf.load(f"admin: {{port: 0}}\nrouters:\n{text}", "test"))

        with pytest.raises(ListenError, match=f"router http on 127.0.0.1:{port}"):
            await agent.run()

    listen("z", "127.0.0.1", other).close()


async def test_a_name_that_leads_back_to_the_agent_is_refused() -> None:
    probe = listen("x", "127.0.0.1", 0)
    _, port = address(probe)
    probe.close()
    text = f"- protocol: http\n  label: out\n  dtab: /svc => /$/inet/127.0.0.1/{port}\n  servers: [{{port: {port}}}]\n"
    async with running(text) as run:
        answer = await run.ask("router out", GET)

    assert (answer.status, "proxy_loop_detected" in str(answer.get("proxy-status"))) == (502, True)


LOOPBACK_IS_FOR_REQUESTS = "  addressGuard: {allow: [127.0.0.0/8]}\n"


@pytest.mark.parametrize(
    ("keys", "admin", "host", "what", "status", "error"),
    [
        pytest.param("", "", "127.0.0.1", "admin", 403, "destination_ip_prohibited", id="the admin port"),
        pytest.param(
            LOOPBACK_IS_FOR_REQUESTS,
            "",
            "127.0.0.1",
            "admin",
            403,
            "destination_ip_prohibited",
            id="whatever is listed",
        ),
        pytest.param(
            LOOPBACK_IS_FOR_REQUESTS,
            "ip: 0.0.0.0, ",
            "127.0.0.7",
            "admin",
            403,
            "destination_ip_prohibited",
            id="by any address of this host, where it listens on all",
        ),
        pytest.param("", "", "127.0.0.1", "router out", 502, "proxy_loop_detected", id="the listener itself"),
    ],
)
async def test_a_request_cannot_name_the_agents_own_ports(
    keys: str, admin: str, host: str, what: str, status: int, error: str
) -> None:
    dtab = "/ph => /$/io.buoyant.rinet ; /svc => /$/io.buoyant.porthostPfx/ph"
    async with running(router(dtab, keys), admin=f"{admin}port: 0") as run:
        authority = f"{host}:{run.port(what)}"
        plain = await run.ask("router out", f"GET /metrics HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
        tunnel = await run.ask("router out", f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
        counted = run.agent.stats.errors("out")[error]

    for answer in (plain, tunnel):
        assert (answer.status, f"error={error};" in str(answer.get("proxy-status"))) == (status, True)
    assert counted == 2


async def test_an_endpoint_that_fails_its_health_check_is_shown_with_the_reason() -> None:
    backend = Backend([b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"])
    check = "  client: {healthCheck: {kind: http, path: /health, intervalMs: 100, fall: 2}}\n"
    async with trio.open_nursery() as nursery:
        await nursery.start(backend.run)
        name = f"/$/inet/127.0.0.1/{backend.port}"
        async with running(router(f"/svc => {name}", check)) as run:
            await run.ask("router out", GET)
            with trio.fail_after(10):
                while (shown := await _balancing(run, name))["alive"]:
                    await trio.sleep(0.01)
        nursery.cancel_scope.cancel()

    endpoint = f"127.0.0.1:{backend.port}"
    assert shown["failing_checks"] == {endpoint: f"check {endpoint}: answered 404"}
    assert [(each["health"], each["reason"]) for each in shown["endpoints"]] == [("dead", "checks")]


async def _balancing(run: Running, name: str) -> dict[str, Any]:
    state = json.loads((await run.admin("/client_state.json")).body)
    return cast("dict[str, Any]", state[name]["routers"]["out"])


async def test_an_inherited_socket_serves() -> None:
    inherited = listen("x", "127.0.0.1", 0)
    _, port = address(inherited)
    dtab = "/svc => /$/io.buoyant.http.status/204"
    text = f"- protocol: http\n  label: out\n  dtab: {dtab}\n  servers: [{{port: {port}}}]\n"
    agent = Agent(conf.load(f"admin: {{port: 0}}\nrouters:\n{text}", "test"))
    async with trio.open_nursery() as nursery:
        run = Running(agent, await nursery.start(agent.run, [inherited]))
        answer = await run.ask("router out", GET)
        nursery.cancel_scope.cancel()

    assert (answer.status, inherited.fileno()) == (204, -1)


async def serve_tls(
    identity: trustme.LeafCert, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED
) -> None:
    """An endpoint that speaks TLS and answers everything alike."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    identity.configure_cert(context)

    async def serve(stream: trio.SSLStream[trio.SocketStream]) -> None:
        with suppress(trio.BrokenResourceError):
            while await stream.receive_some():
                await stream.send_all(OK)

    sock = listen("tls", "127.0.0.1", 0)
    tcp = trio.SocketListener(trio.socket.from_stdlib_socket(sock))
    async with trio.SSLListener(tcp, context) as listener:
        task_status.started(address(sock)[1])
        await trio.serve_listeners(serve, [listener])


@pytest.mark.parametrize(
    ("names", "status", "error"),
    [
        pytest.param("127.0.0.1", 200, None, id="the certificate is for the name that was asked for"),
        pytest.param("192.0.2.9", 502, "tls_certificate_error", id="it is for another one"),
    ],
)
async def test_an_endpoint_is_spoken_to_by_tls(
    tmp_path: pathlib.Path, names: str, status: int, error: str | None
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with trio.open_nursery() as nursery:
        port = await nursery.start(serve_tls, authority.issue_cert(names))
        keys = f"tls: {{commonName: '{{host}}', trustCertsBundle: {tmp_path / 'ca.pem'}}}"
        prefix = f"'/$/io.buoyant.rinet/{port}/{{host}}'"
        policy = f"  client: {{kind: io.l5d.static, configs: [{{prefix: {prefix}, {keys}}}]}}\n"
        dtab = "/ph => /$/io.buoyant.rinet ; /svc => /$/io.buoyant.porthostPfx/ph"
        allow = "  addressGuard: {allow: [127.0.0.1]}\n"  # a request spells out loopback here
        async with running(router(dtab, policy + allow)) as run:
            answer = await run.ask("router out", f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        nursery.cancel_scope.cancel()

    assert answer.status == status
    assert error is None or f"error={error};" in str(answer.get("proxy-status"))
