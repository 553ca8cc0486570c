"""What no single message shows: time, order, memory, names in the agent's own words, and a machine that fails."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import trio

from namer.path import Path as Name
from nodeagent.proxy.balance import ClientPolicy
from nodeagent.proxy.bind import CacheLimits
from nodeagent.proxy.conversation import Conversation
from nodeagent.proxy.edge import Edge
from nodeagent.proxy.identify import by_header_token
from nodeagent.proxy.pool import PoolLimits
from tests.conformance.recorder import Recorder, without_own
from tests.conformance.rules import HOST, get, message, post
from tests.nodeagent.cli.processes import fetch, ports, started
from tests.nodeagent.proxy.world import OK, Backend, World, free_port, queue_is_full

POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"


async def test_bytes_that_come_late_behind_an_answer_reach_nobody() -> None:
    async def poison(stream: trio.SocketStream, request: bytes) -> bool:
        await stream.send_all(OK)
        await trio.testing.wait_all_tasks_blocked()
        await stream.send_all(POISON)
        return True

    async with World(client=ClientPolicy(pool=PoolLimits(max_size=1))).running(Backend([poison])) as world:
        answers = []
        for _ in range(20):
            answers.append(await world.ask(get(HOST)))
            await trio.testing.wait_all_tasks_blocked()

    assert [(answer.status, answer.body) for answer in answers] == [(200, b"ok")] * 20
    assert world.backends[0].connections == 20


async def test_bytes_before_a_tunnel_is_open_are_held_within_bounds_and_are_no_request() -> None:
    with queue_is_full() as port:
        dtab = f"/svc/web => /$/inet/127.0.0.1/{port}"
        async with World(dtab=dtab, client=ClientPolicy(connect_timeout=0.5)).running() as world:
            caller = await world.connect()
            sent = 0
            await caller.send(message(b"CONNECT web:1 HTTP/1.1", HOST))
            with trio.move_on_after(0.2):
                while True:
                    sent += await caller.stream.socket.send(get(HOST) * 1000)
            (conversation,) = world.server.conversations
            assert isinstance(conversation, Conversation)
            held = len(conversation.wire.buffer)
            answer = await caller.answer()
            await caller.stream.aclose()

    assert (answer.status, held <= 256 * 1024) == (504, True), (answer.status, held, sent)


async def test_names_without_end_fill_no_memory() -> None:
    async with World(dtab="/svc => /$/io.buoyant.http.status/200", cache=CacheLimits(10, 10)).running() as world:
        caller = await world.connect()
        for number in range(500):
            await caller.send(get(b"Host: name-%d" % number))
            assert (await caller.answer()).status == 200
        await caller.stream.aclose()
        bound = len(world.router.bindings.clients)

    assert bound <= 10


@pytest.mark.parametrize("value", [b'a"b\\c', b"\xff\xfe", b"x;y,z{}", b"a=b|c", b"%0d%0aSet-Cookie:%20x", b"{{7*7}}"])
async def test_a_name_is_one_word_on_one_line_wherever_the_agent_writes_it(value: bytes) -> None:
    dtab = "/svc => /$/inet/127.0.0.1/{0}"
    async with World(dtab=dtab, identifier=by_header_token("X-Name")).running(Recorder()) as world:
        answer = await world.ask(get(HOST, b"X-Name: " + value))
        backend = world.backends[0]
        assert isinstance(backend, Recorder)

    assert (answer.status, backend.faults) == (200, [])
    (line,) = (line for line in backend.seen[0].split(b"\r\n") if line.startswith(b"l5d-dst-service: "))
    name = Name.parse(line.partition(b": ")[2].decode("ascii"))
    assert name == Name(("svc", value.decode("utf-8", "surrogateescape")))


async def test_a_listener_for_strangers_believes_and_shows_no_context() -> None:
    async with World().running(Recorder([POISON])) as world:
        world.server.edge = Edge(clear_context=True)
        forged = (b"l5d-dtab: /svc/web => /svc/evil", b"l5d-ctx-deadline: 1 1", b"l5d-anything: x")
        await world.ask(get(HOST, *forged, b"X: y"))

    assert [without_own(seen) for seen in world.backends[0].seen] == [get(HOST, b"X: y")]


async def test_a_wall_clock_that_jumps_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def jump(stream: trio.SocketStream, request: bytes) -> bool:
        for clock, step in (("time", 3600.0), ("time_ns", 3600 * 10**9)):
            real = getattr(time, clock)
            monkeypatch.setattr(time, clock, lambda real=real, step=step: real() + step)
        await trio.sleep(0.05)
        await stream.send_all(OK)
        return True

    async with World(total_timeout=5.0).running(Backend([jump])) as world:
        caller = await world.connect()
        for _ in range(3):
            await caller.send(get(HOST))
            assert (await caller.answer()).status == 200
        await caller.stream.aclose()

    assert world.backends[0].connections == 1


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_a_post_whose_body_was_sent_is_answered_once(status: int) -> None:
    fails = b"HTTP/1.1 %d Sorry\r\nContent-Length: 0\r\n\r\n" % status
    async with World(classifier="io.l5d.http.retryableRead5XX").running(Backend([fails])) as world:
        caller = await world.connect()
        await caller.send(post(b"Content-Length: 5") + get(HOST))
        first = await caller.answer()
        await caller.stream.aclose()

    assert (first.status, sum(seen.startswith(b"POST") for seen in world.backends[0].seen)) == (status, 1)


CONFIG = """
admin: {{port: 0}}
routers:
- protocol: http
  label: outgoing
  dtab: /svc/users => /$/io.buoyant.http.status/204
  servers: [{{port: {port}}}]
"""


@pytest.mark.e2e
def test_an_agent_that_was_killed_starts_again_on_its_port_at_once(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "agent.yaml").write_text(CONFIG.format(port=port))
    for _ in range(3):
        with started("run", "agent.yaml", cwd=tmp_path) as process:
            ports(process, 2)
            assert fetch(port, "users")[0].status == 204
            process.signal(signal.SIGKILL)
            code, _, _ = process.end()
            assert code == -signal.SIGKILL


READ_ONLY = "mount --make-rprivate / && mount -o remount,bind,ro / && exec "


@pytest.mark.e2e
def test_an_agent_needs_no_file_that_it_may_write(tmp_path: Path) -> None:
    """In a mount namespace of its own where nothing can be written."""
    config = CONFIG.format(port=(port := free_port()))
    agent_command = [sys.executable, "-B", "-m", "nodeagent", "run", "-"]
    command = ["unshare", "--mount", "sh", "-c", f'{READ_ONLY}"$@"', "sh", *agent_command]
    if os.geteuid() or subprocess.run(["unshare", "--mount", "sh", "-c", READ_ONLY + "true"], check=False).returncode:
        pytest.skip("needs root and mount namespaces")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as agent:
        try:
            assert agent.stdin is not None
            agent.stdin.write(config.encode())
            agent.stdin.close()
            ready = time.monotonic() + 20
            while time.monotonic() < ready:
                try:
                    with socket.create_connection(("127.0.0.1", port), 5) as caller:
                        caller.sendall(message(b"GET / HTTP/1.1", b"Host: users"))
                        assert caller.recv(4096).startswith(b"HTTP/1.1 204")
                    break
                except ConnectionRefusedError:
                    time.sleep(0.05)
            else:
                pytest.fail("it did not start")
        finally:
            agent.kill()
