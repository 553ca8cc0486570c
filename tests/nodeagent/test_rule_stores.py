"""Rules from a store: live, as a whole, and never an open door while they are not known."""

from __future__ import annotations

import base64
import json
import pathlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

import conf
from namer.cell import Cell
from namer.consul.kv import Place, consul_document
from namer.document import Document, Followed
from namer.k8s.configmap import ConfigMapPlace, config_map_document
from namer.namer import PENDING
from namer.path import Path
from nodeagent.policy.compiled import Ruling, rules_document, ruling_of
from nodeagent.policy.decision import Decision
from nodeagent.policy.rules import Rules
from nodeagent.proxy.errors import Denied
from nodeagent.proxy.messages import Request, RequestHead
from nodeagent.proxy.permits import FIRST, Permits
from tests.namer.consul.fake import FakeConsul, has_no_leader
from tests.namer.fakes import running as live_parts
from tests.namer.k8s.world import cluster
from tests.nodeagent.proxy.world import Backend
from tests.nodeagent.running import Running, running

KEY = "nodeagent/rules/default"
SOURCE = "policy of http"

OPEN = "default: allow"
SHUT = "{default: allow, rules: [{name: shut, action: deny}]}"
FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\n{}"
GET = b"GET / HTTP/1.1\r\nHost: web\r\n\r\n"

Follow = Callable[[Document[Ruling]], Cell[Followed[Ruling]]]


def document() -> Document[Ruling]:
    text = "routers: [{protocol: http, servers: [{port: 0}], policy: {from: {kind: fs, rulesFile: x}}}]"
    return rules_document(conf.load(text, "test").routers[0])


@asynccontextmanager
async def following(follow: Follow) -> AsyncIterator[Permits]:
    cell = follow(document())
    permits = Permits("http", ruling_of(cell.value), Counter(), source=cell)
    async with trio.open_nursery() as nursery:
        await nursery.start(permits.run)
        yield permits
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def from_consul(fake: FakeConsul) -> AsyncIterator[Permits]:
    place = Place(Path(("nodeagent", "rules")))
    async with live_parts() as live:

        def follow(read: Document[Ruling]) -> Cell[Followed[Ruling]]:
            return consul_document(fake.consul(), place, "default", read, SOURCE, live.watches)

        async with following(follow) as permits:
            yield permits


async def said(permits: Permits) -> str:
    """What becomes of a request: 200, or the status and the rule."""
    request = Request(RequestHead(b"GET", b"", b"/", 11, b"", {}), b"", 0.0, "10.0.0.1:1")
    try:
        await permits.check(request, Path(("svc", "web")))
    except Denied as error:
        assert request.policy is not None
        return f"{error.status} {request.policy.rule}"
    return "200"


async def test_a_change_in_consul_holds_for_the_next_request(autojump_clock: MockClock) -> None:
    fake = FakeConsul()
    fake.put(KEY, OPEN)
    async with from_consul(fake) as permits:
        await trio.sleep(1)
        before = await said(permits), permits.remembered
        fake.put(KEY, SHUT)
        await trio.sleep(1)
        forgotten = permits.remembered
        after = await said(permits)

    assert (before, forgotten, after) == (("200", 1), 0, "403 shut")


async def test_until_consul_answers_nobody_gets_in(autojump_clock: MockClock) -> None:
    fake = FakeConsul()
    fake.goes_wrong(has_no_leader)
    async with from_consul(fake) as permits:
        first = await said(permits)
        await trio.sleep(1)
        second = await said(permits)
        warning = str(permits.warning())
        fake.trouble = None
        fake.put(KEY, OPEN)
        await trio.sleep(60)
        third = await said(permits), permits.warning()

    assert (first, second, third) == ("503 unknown", "503 unknown", ("200", None))
    assert warning.startswith("router http refuses everything: the rules are not known: ")
    assert "No cluster leader" in warning


async def test_listeners_wait_a_moment_for_the_rules_and_no_longer(autojump_clock: MockClock) -> None:
    silent: Cell[Followed[Ruling]] = Cell(PENDING)
    async with following(lambda _: silent) as permits:
        waited = trio.current_time()
        told = await said(permits), permits.warning()
        silent.set(Ruling(Rules((), Decision("allow", "default"))), waited)
        assert await said(permits) == "200"

    assert told == ("503 unknown", "router http refuses everything: the rules are not known yet")
    assert trio.current_time() == pytest.approx(waited)
    assert waited >= FIRST


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(lambda fake: fake.put(KEY, "rules: [{action: alow}]"), id="a fault"),
        pytest.param(lambda fake: fake.put(KEY, "rules: [{who: {users: [nobody-knows]}, action: allow}]"), id="a user"),
        pytest.param(lambda fake: fake.put(KEY, "#" * 300_000), id="too large"),
        pytest.param(lambda fake: fake.goes_wrong(has_no_leader), id="an outage"),
        pytest.param(lambda fake: (fake.values.clear(), fake.change()), id="the key is gone"),
    ],
)
async def test_the_last_good_version_stays(autojump_clock: MockClock, trouble: Callable[[FakeConsul], object]) -> None:
    fake = FakeConsul()
    fake.put(KEY, SHUT)
    async with from_consul(fake) as permits:
        await trio.sleep(1)
        trouble(fake)
        await trio.sleep(1)
        told = await said(permits), str(permits.warning())

    assert told[0] == "403 shut"
    assert "localhost:8500" in told[1]
    assert told[1].startswith("router http goes by rules that may be old: ")


async def test_an_equal_version_is_no_change(autojump_clock: MockClock) -> None:
    fake = FakeConsul()
    fake.put(KEY, OPEN)
    async with from_consul(fake) as permits:
        await trio.sleep(1)
        await said(permits)
        fake.put(KEY, f"# the same\n{OPEN}")
        await trio.sleep(1)
        assert permits.remembered == 1


def test_a_text_that_comes_again_is_not_read_again() -> None:
    read = document().read
    first = read("default: audit", "rules", None)
    assert read("default: audit", "rules", first) is first
    assert read("default: audit ", "rules", first) == first
    assert read("default: deny", "rules", first) != first


async def test_a_config_map_is_followed(autojump_clock: MockClock) -> None:
    async with cluster(autojump_clock) as world:
        place = ConfigMapPlace("mesh", "rules")

        def follow(read: Document[Ruling]) -> Cell[Followed[Ruling]]:
            return config_map_document(world.api, place, "web", read, SOURCE, world.live.watches, world.rng)

        world.server.put("configmaps", "mesh", "rules", data={"web": OPEN})
        async with following(follow) as permits:
            await trio.sleep(1)
            first = await said(permits)
            world.server.put("configmaps", "mesh", "rules", data={"web": SHUT})
            await trio.sleep(1)
            second = await said(permits)
            world.server.put("configmaps", "mesh", "rules", data={"web": "rules:\n- {action: no}"})
            await trio.sleep(1)
            third = await said(permits), str(permits.warning())

    assert (first, second, third[0]) == ("200", "403 shut", "403 shut")
    assert "ConfigMap mesh/rules web:2:12: rules[0].action: " in third[1]


def replace(path: pathlib.Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(path)


async def metric(agent: Running, name: str) -> str:
    page = (await agent.admin("/metrics")).body.decode()
    return next(
        line.rpartition(" ")[2] for line in page.splitlines() if line.startswith(f"{name}{{") and SOURCE in line
    )


async def until(agent: Running, status: int) -> None:
    with trio.fail_after(10):
        while (await agent.ask("router http", GET)).status != status:
            await trio.sleep(0.01)


async def test_a_file_is_followed_by_an_agent(tmp_path: pathlib.Path) -> None:
    path, backend = tmp_path / "rules.yaml", Backend()
    async with trio.open_nursery() as nursery:
        await nursery.start(backend.run)
        text = (
            f"- protocol: http\n  servers: [{{port: 0}}]\n  dtab: /svc/web => /$/inet/127.0.0.1/{backend.port}\n"
            f"  policy: {{from: {{kind: io.l5d.fs, rulesFile: {path}}}}}\n"
        )
        async with running(text) as agent:
            with capture_logs() as logs:
                answer = await agent.ask("router http", GET)
            assert (answer.status, answer.body) == (503, b"policy: the rules are not known yet\n")
            assert str(path) in next(line["why"] for line in logs if line["event"] == "policy refuses a request")
            assert b"warning: router http refuses everything" in (await agent.admin("/ready")).body
            replace(path, OPEN)
            await until(agent, 200)
            replace(path, SHUT)
            await until(agent, 403)
            replace(path, "rules: [{action: alow}]")
            with trio.fail_after(10):
                while b"may be old" not in (await agent.admin("/ready")).body:
                    await trio.sleep(0.01)
            shown = json.loads((await agent.admin("/explain.json?path=/svc/web&as=10.0.0.1")).body)["policy"]
            assert (await agent.ask("router http", GET)).status == 403
            versions = await metric(agent, "nodeagent_namer_updates_total")
            failed = await metric(agent, "nodeagent_namer_errors_total")
        nursery.cancel_scope.cancel()

    assert (shown["verdict"], shown["rule"]) == ("deny", "shut")
    assert float(versions) >= 2
    assert float(failed) >= 1


async def test_consul_and_kubernetes_are_asked_as_the_configuration_says() -> None:
    value = base64.b64encode(SHUT.encode()).decode()
    body = json.dumps([{"ModifyIndex": 7, "Value": value}]).encode()
    head = f"HTTP/1.1 200 OK\r\nX-Consul-Index: 7\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    consul, kubernetes = Backend([head + body, never]), Backend([FORBIDDEN])
    async with trio.open_nursery() as nursery:
        await nursery.start(consul.run)
        await nursery.start(kubernetes.run)
        text = (
            "- protocol: http\n  servers: [{port: 0}]\n  policy: {from: {kind: io.l5d.consul, namespace: web, "
            f"token: t, host: 127.0.0.1, port: {consul.port}}}}}\n"
            "- protocol: http\n  label: other\n  servers: [{port: 0}]\n  policy: {from: {kind: k8s.configMap, name: "
            f"mesh, namespace: prod, filename: web, host: 127.0.0.1, port: {kubernetes.port}}}}}\n"
        )
        async with running(text) as agent:
            await until(agent, 403)
            assert (await agent.ask("router other", GET)).status == 503
            warned = (await agent.admin("/ready")).body.decode()
        nursery.cancel_scope.cancel()

    assert consul.seen[0].startswith(b"GET /v1/kv/nodeagent/rules/web HTTP/1.1")
    assert b"x-consul-token: t" in consul.seen[0].lower()
    assert b"GET /api/v1/namespaces/prod/configmaps?" in kubernetes.seen[0]
    assert "router other refuses everything: the rules are not known: " in warned
    assert "list and watch configmaps in the namespace prod" in warned


async def test_rules_of_several_routers_are_waited_for_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nodeagent.proxy.permits.FIRST", 60.0)
    both = trio.Event()

    async def with_the_other(stream: trio.SocketStream, request: bytes) -> None:
        if len(consul.seen) == 2:
            both.set()
        await both.wait()
        await stream.send_all(b"HTTP/1.1 404 Not Found\r\nX-Consul-Index: 7\r\nContent-Length: 0\r\n\r\n")

    consul = Backend([with_the_other, with_the_other, never])
    async with trio.open_nursery() as nursery:
        await nursery.start(consul.run)
        text = "".join(
            f"- {{protocol: http, label: {label}, servers: [{{port: 0}}], policy: {{from: {{kind: io.l5d.consul, "
            f"namespace: {label}, host: 127.0.0.1, port: {consul.port}}}}}}}\n"
            for label in ("one", "two")
        )
        with trio.fail_after(10), capture_logs() as logs:
            async with running(text):
                pass
        nursery.cancel_scope.cancel()

    problems = [line["problem"] for line in logs if line["event"] == "the rules cannot be used"]
    assert [each for each in problems if "no answer within" in each] == [], "one was asked after the other had given up"


async def never(stream: trio.SocketStream, request: bytes) -> None:
    await trio.sleep_forever()
