"""Traces as all see them: the caller, the agent's spans in a real collector, and what the backend was told."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
import trio

from tests.nodeagent.collector import Collector, Told
from tests.nodeagent.proxy.world import CLOSE, OK, Backend, free_port
from tests.nodeagent.running import Running, running

TRACE, CALLER = f"{1 << 64 | 7:032x}", f"{8:016x}"
W3C = f"traceparent: 00-{TRACE}-{CALLER}-01\r\n".encode()
B3 = f"b3: {TRACE}-{CALLER}-1\r\n".encode()
B3_FIELDS = f"x-b3-traceid: {TRACE}\r\nx-b3-spanid: {CALLER}\r\nx-b3-sampled: 1\r\n".encode()
BUSY = b"HTTP/1.1 503 Busy\r\nl5d-retryable: true\r\nContent-Length: 0\r\n\r\n"


def router(dtab: str, label: str = "out", more: str = "") -> str:
    return f"- protocol: http\n  label: {label}\n  dtab: {dtab}\n  servers: [{{port: 0}}]\n{more}"


def request(trace: bytes = W3C, host: str = "web") -> bytes:
    return b"GET /a?secret=b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (host.encode(), trace)


def otlp(collector: Backend, more: str = "") -> str:
    return f"[{{kind: io.l5d.otlp, endpoint: 'http://127.0.0.1:{collector.port}'{more}}}]"


def zipkin(collector: Backend, more: str = "") -> str:
    return f"[{{kind: io.l5d.zipkin, host: 127.0.0.1, port: {collector.port}{more}}}]"


@asynccontextmanager
async def started(*backends: Backend) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        for backend in backends:
            await nursery.start(backend.run)
        yield
        nursery.cancel_scope.cancel()


async def handed_over(run: Running) -> None:
    """Drain the agent: all spans are with the collector then."""
    run.agent.shutdown()
    with trio.fail_after(10):
        for exporter in run.agent.tracing.exporters:
            await exporter.ended()


def brought(message: bytes) -> tuple[str, str]:
    """The trace and the span that a backend was told of."""
    found = re.search(rb"traceparent: 00-([0-9a-f]{32})-([0-9a-f]{16})-01\r\n", message)
    assert found, message
    return found[1].decode(), found[2].decode()


def only(spans: Sequence[Told]) -> Told:
    (span,) = spans
    return span


@pytest.mark.parametrize("way", [otlp, zipkin])
@pytest.mark.parametrize("trace", [W3C, B3, B3_FIELDS], ids=["W3C", "B3", "B3 in several fields"])
async def test_from_the_caller_through_the_agent_to_the_backend(way: type, trace: bytes) -> None:
    backend, collector = Backend(), Collector()
    async with started(backend, collector):
        dtab = f"/svc => /$/inet/127.0.0.1/{backend.port}"
        before = time.time()
        async with running(router(dtab), telemetry=way(collector)) as run:
            answer = await run.ask("router out", request(trace))
            await handed_over(run)
    server, client, binding = (only(collector.of(kind)) for kind in ("SERVER", "CLIENT", "INTERNAL"))

    assert answer.get("l5d-reqid") == f"{7:016x}"
    assert {each.trace for each in collector.spans} == {TRACE}
    assert server.parent == CALLER
    assert client.parent == binding.parent == server.id
    assert brought(backend.seen[0]) == (TRACE, client.id)
    if trace is not W3C:
        told = backend.seen[0]
        b3 = b"b3: %b-%b-1-%b" if trace is B3 else b"x-b3-traceid: %b\r\nx-b3-spanid: %b\r\nx-b3-parentspanid: %b\r\n"
        assert b3 % tuple(each.encode() for each in (TRACE, client.id, server.id)) in told
    assert before - 0.1 <= server.started <= client.started <= client.ended <= server.ended <= time.time() + 0.1
    assert (server.name, client.name, binding.name) == ("GET /svc/web", f"GET /$/inet/127.0.0.1/{backend.port}", "bind")
    assert b"secret" not in b"".join(collector.seen)


async def test_what_spans_say() -> None:
    backend, collector = Backend(), Collector()
    async with started(backend, collector):
        more = ", serviceName: edge, headers: {api-key: abc}"
        async with running(router(f"/svc => /$/inet/127.0.0.1/{backend.port}"), telemetry=otlp(collector, more)) as run:
            await run.ask("router out", request())
            listens = run.port("router out")
            await handed_over(run)
    server, client = (only(collector.of(kind)) for kind in ("SERVER", "CLIENT"))

    assert b"\r\napi-key: abc\r\n" in collector.seen[0]
    assert server.resource["service.name"] == "edge"
    assert server.resource.keys() == {"service.name", "service.version", "host.name"}
    caller = server.attributes.pop("network.peer.port")
    assert isinstance(caller, int)
    assert server.attributes == {
        "http.request.method": "GET",
        "url.scheme": "http",
        "url.path": "/a",
        "server.address": "web",
        "server.port": 80,
        "client.address": "127.0.0.1",
        "network.peer.address": "127.0.0.1",
        "nodeagent.router": "out",
        "nodeagent.server": f"127.0.0.1:{listens}",
        "nodeagent.name": "/svc/web",
        "http.response.status_code": 200,
        "http.request.body.size": 0,
        "http.response.body.size": 2,
        "nodeagent.attempts": 1,
    }
    assert client.attributes.pop("nodeagent.connect_ms") >= 0
    assert client.attributes == {
        "http.request.method": "GET",
        "url.scheme": "http",
        "url.path": "/a",
        "url.full": "http://web/a",
        "server.address": "web",
        "server.port": 80,
        "network.peer.address": "127.0.0.1",
        "network.peer.port": backend.port,
        "http.response.status_code": 200,
        "nodeagent.client": f"/$/inet/127.0.0.1/{backend.port}",
        "nodeagent.endpoints": 1,
        "nodeagent.in_flight": 0,
        "nodeagent.health": "alive",
        "nodeagent.classification": "success",
    }
    assert server.error is client.error is None


async def test_two_agents_in_a_row() -> None:
    backend, collector = Backend(), Collector()
    async with started(backend, collector):
        inner = router(f"/svc => /$/inet/127.0.0.1/{backend.port}", "in")
        async with running(inner, telemetry=otlp(collector, ", serviceName: inner")) as second:
            outer = router(f"/svc => /$/inet/127.0.0.1/{second.port('router in')}")
            async with running(outer, telemetry=zipkin(collector, ", serviceName: outer")) as first:
                await first.ask("router out", request())
                await handed_over(first)
            await handed_over(second)

    ours, theirs = collector.of("SERVER")
    sent, passed_on = collector.of("CLIENT")
    assert [ours.parent, sent.parent, theirs.parent, passed_on.parent] == [CALLER, ours.id, sent.id, theirs.id]
    assert brought(backend.seen[0]) == (TRACE, passed_on.id)
    assert [each.resource.get("serviceName") for each in (ours, sent)] == ["outer", "outer"]


async def test_each_retry_is_a_span_and_has_its_backend_below_it() -> None:
    backend, collector = Backend([BUSY, CLOSE, OK]), Collector()
    async with started(backend, collector):
        dtab = f"/svc => /$/inet/127.0.0.1/{backend.port}"
        async with running(router(dtab), telemetry=otlp(collector)) as run:
            await run.ask("router out", request())
            await handed_over(run)
    attempts = collector.of("CLIENT")

    assert [brought(each)[1] for each in backend.seen] == [each.id for each in attempts]
    assert [each.attributes.get("http.request.resend_count") for each in attempts] == [None, 1, 2]
    assert [each.attributes.get("error.type") for each in attempts] == ["503", "_OTHER", None]
    assert attempts[1].error is not None
    assert "closed the connection" in attempts[1].error
    assert only(collector.of("SERVER")).error is None


@pytest.mark.parametrize(
    ("sent", "rate", "recorded"),
    [
        pytest.param(W3C, 0, True, id="the caller has decided: yes"),
        pytest.param(W3C.replace(b"-01\r\n", b"-00\r\n"), 1, False, id="the caller has decided: no"),
        pytest.param(b"", 1, True, id="begun here, all"),
        pytest.param(b"", 0, False, id="begun here, none"),
        pytest.param(b"l5d-sample: 1.0\r\n", 0, True, id="l5d-sample: all"),
        pytest.param(b"l5d-sample: 0.0\r\n", 1, False, id="l5d-sample: none"),
        pytest.param(B3.replace(b"-1\r\n", b"\r\n"), 1, True, id="the caller leaves it open"),
    ],
)
async def test_who_decides_what_is_recorded(sent: bytes, rate: float, recorded: bool) -> None:
    backend, collector = Backend(), Collector()
    async with started(backend, collector):
        telemetry = otlp(collector, f", sampleRate: {rate}")
        async with running(router(f"/svc => /$/inet/127.0.0.1/{backend.port}"), telemetry=telemetry) as run:
            await run.ask("router out", request(sent))
            await handed_over(run)

    assert bool(collector.spans) is recorded
    if recorded and not sent.startswith((b"b3", b"traceparent")):
        assert only(collector.of("SERVER")).parent == ""


async def test_what_fails_says_by_whom() -> None:
    collector = Collector()
    async with started(collector):
        dtab = f"/svc/gone => /$/inet/127.0.0.1/{free_port()}"
        async with running(router(dtab), telemetry=otlp(collector)) as run:
            await run.ask("router out", request(host="gone"))
            await run.ask("router out", request(host="unknown"))
            await handed_over(run)
    refused, unknown = collector.of("SERVER")

    said = [(each.attributes["error.type"], each.attributes["nodeagent.blame"]) for each in (refused, unknown)]
    assert said == [("connection_refused", "connect"), ("destination_not_found", "naming")]
    assert (refused.name, unknown.name) == ("GET /svc/gone", "GET")
    assert refused.error is not None
    assert "connection refused" in refused.error
    failed = [each for each in collector.of("INTERNAL") if each.parent == unknown.id]
    assert only(failed).error == unknown.error


async def test_tunnels_are_traced_for_as_long_as_they_live() -> None:
    async def echo(stream: trio.SocketStream, message: bytes) -> None:
        await stream.send_all(b"hello")

    collector, backend = Collector(), Backend([echo])
    async with started(collector, backend):
        endpoint = f"/$/inet/127.0.0.1/{backend.port}"
        routers = router(f"/svc => {endpoint}") + (
            f"- {{protocol: tcp, label: raw, dtab: '/svc => {endpoint}', servers: [{{port: 0, name: db}}]}}\n"
        )
        async with running(routers, telemetry=otlp(collector, ", sampleRate: 1")) as run:
            async with await run.connect("router out") as stream:
                await stream.send_all(b"CONNECT db:9 HTTP/1.1\r\nHost: db:9\r\n" + W3C + b"\r\n")
                assert (await stream.receive_some()).startswith(b"HTTP/1.1 200")
                await trio.sleep(0.05)
                await stream.send_all(b"x\r\n\r\n")
                assert await stream.receive_some() == b"hello"
            async with await run.connect("router raw") as stream:
                await stream.send_all(b"y\r\n\r\n")
                assert await stream.receive_some() == b"hello"
            await handed_over(run)
    connect, raw = collector.of("SERVER")

    assert (connect.name, connect.parent) == ("CONNECT /svc/db:9", CALLER)
    assert (raw.name, raw.parent) == ("CONNECT /svc/db", "")
    assert [each.error for each in (connect, raw)] == [None, None]
    assert connect.attributes["http.response.body.size"] == 5
    for span in (connect, raw):
        attempt = only([each for each in collector.of("CLIENT") if each.parent == span.id])
        assert attempt.ended == pytest.approx(span.ended, abs=0.01)
    assert connect.ended - connect.started > 0.05


async def test_the_proxy_variables_are_not_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    backend, collector, proxy = Backend(), Collector(), Backend()
    async with started(backend, collector, proxy):
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        dtab = f"/svc => /$/inet/127.0.0.1/{backend.port}"
        async with running(router(dtab), telemetry=otlp(collector)) as run:
            await run.ask("router out", request())
            await handed_over(run)

    assert collector.spans
    assert proxy.seen == []


async def test_a_collector_that_hangs_is_waited_for_by_nobody() -> None:
    async def hang(stream: trio.SocketStream, message: bytes) -> None:
        await trio.sleep_forever()

    backend, collector = Backend(), Collector(hang)
    async with started(backend, collector):
        dtab = f"/svc => /$/inet/127.0.0.1/{backend.port}"
        async with running(router(dtab), admin="port: 0, shutdownGraceMs: 200", telemetry=otlp(collector)) as run:
            first = await run.ask("router out", request())
            with trio.fail_after(10):
                while not collector.seen:  # from here on it holds the only task that hands spans over
                    await trio.sleep(0.01)
            answers = [await run.ask("router out", request()) for _ in range(50)]
            page = (await run.admin("/metrics")).body.decode()
            with trio.fail_after(10):
                await handed_over(run)

    assert {answer.status for answer in (first, *answers)} == {200}
    assert len(collector.seen) == 1
    for result in ("exported", "dropped", "failed"):
        assert f'nodeagent_trace_spans_total{{exporter="otlp",result="{result}"}} 0.0' in page


async def test_without_exporters_a_trace_only_goes_on() -> None:
    backend = Backend()
    async with started(backend), running(router(f"/svc => /$/inet/127.0.0.1/{backend.port}")) as run:
        await run.ask("router out", request())
        page = (await run.admin("/metrics")).body.decode()
        record = next(iter(run.agent.recent or ()))

    assert run.agent.tracing.exporters == ()
    assert record.trace in backend.seen[0]
    assert "nodeagent_trace_spans_total{" not in page
