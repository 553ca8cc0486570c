"""The ceiling for the agent's memory: when it bites, where it comes from, and that a real agent stays below it."""

from __future__ import annotations

import gc
import os
import pathlib
import re
import signal
import socket

import pytest
import trio
import trio.testing

from nodeagent.memory import MEGABYTE, Memory, Pressure, Strain, Watermarks, ceiling, malloc_trim, resident_bytes
from nodeagent.telemetry.registry import MemoryStats
from tests.nodeagent.cli.processes import Process, fetch, ports, started
from tests.nodeagent.proxy.world import Caller, listen

ENOUGH, SHORT, FULL = Pressure.ENOUGH, Pressure.SHORT, Pressure.FULL


@pytest.mark.parametrize(
    ("used", "pressures"),
    [
        pytest.param([10, 50, 89], [ENOUGH, ENOUGH, ENOUGH], id="it suffices"),
        pytest.param([90, 88, 85, 84], [SHORT, SHORT, SHORT, ENOUGH], id="short until it is well below"),
        pytest.param([95, 94, 91, 85, 84], [FULL, FULL, FULL, FULL, ENOUGH], id="full until it is well below"),
        pytest.param([89, 90, 94, 95, 84, 89], [ENOUGH, SHORT, SHORT, FULL, ENOUGH, ENOUGH], id="up and down"),
        pytest.param([99, 10, 90], [FULL, ENOUGH, SHORT], id="at once"),
    ],
)
def test_pressure(used: list[int], pressures: list[Pressure]) -> None:
    marks = Watermarks(100)

    assert [marks.update(each) for each in used] == pressures


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        pytest.param({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "1000\n"}, 1000, id="version 2"),
        pytest.param({"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "max\n"}, None, id="no limit"),
        pytest.param(
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/b/memory.max": "max\n",
                "sys/fs/cgroup/a/memory.max": "700\n",
            },
            700,
            id="the one above has it",
        ),
        pytest.param(
            {"proc/self/cgroup": "0::/../../x\n", "sys/fs/cgroup/memory.max": "500\n"}, 500, id="in a container"
        ),
        pytest.param(
            {
                "proc/self/cgroup": "5:cpu:/\n4:memory:/a\n0::/\n",
                "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "300\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            },
            300,
            id="version 1",
        ),
        pytest.param({"proc/self/cgroup": "4:memory:/a\n"}, None, id="nothing is mounted"),
        pytest.param({}, None, id="there are no cgroups"),
    ],
)
def test_the_ceiling_of_the_cgroup(tmp_path: pathlib.Path, files: dict[str, str], limit: int | None) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    assert ceiling(None, tmp_path) == limit
    assert ceiling(7, tmp_path) == 7 * MEGABYTE


def test_each_look_says_how_it_stands() -> None:
    used = [50]
    told: list[Strain] = []
    stats = MemoryStats()
    memory = Memory(100 * MEGABYTE, told.append, stats, lambda: used[0] * MEGABYTE)
    shedding = []
    for megabytes in (50, 91, 92, 96, 80):
        used[0] = megabytes
        memory.look()
        shedding.append(stats.shedding)

    assert [(each.pressure, each.changed) for each in told] == [
        (ENOUGH, False),
        (SHORT, True),
        (SHORT, False),
        (FULL, True),
        (ENOUGH, True),
    ]
    assert told[1].why == "memory: 91 % of the 100 MB that the agent may take are in use"
    assert [round(each.room / MEGABYTE) for each in told] == [45, 4, 3, -1, 15]
    assert shedding == [False, True, True, True, False]


async def test_it_is_looked_at_ten_times_a_second(autojump_clock: trio.testing.MockClock) -> None:
    looks: list[float] = []
    memory = Memory(100, lambda strain: looks.append(trio.current_time()), MemoryStats(), lambda: 1)

    with trio.move_on_after(0.95):
        await memory.watch()

    assert looks == pytest.approx([each / 10 for each in range(10)])


def test_what_is_freed_is_given_back_to_the_system() -> None:
    """The C library keeps it, because something small above it is still in use."""
    held = []
    pieces = []
    for _ in range(1500):
        pieces.append(bytes(60_000))
        held.append(bytes(2_000))
    full = resident_bytes()
    pieces.clear()
    gc.collect()
    malloc_trim()()

    assert full - resident_bytes() > 50 * MEGABYTE
    assert len(held) == 1500


# A real agent.

CONFIG = """
admin: {{port: 0}}
memoryLimitMB: {limit}
routers:
- protocol: http
  label: out
  dtab: /svc/web => /$/inet/127.0.0.1/{backend}
  servers: [{{port: 0}}]
"""
GET = b"GET / HTTP/1.1\r\nHost: web\r\n\r\n"
HALF = bytes(20_000)
"""Of an answer: it comes, and the other half when the test says so."""
MOST = 2000


@pytest.mark.e2e
async def test_an_agent_at_its_ceiling_refuses_new_work_finishes_what_is_under_way_and_recovers(
    tmp_path: pathlib.Path,
) -> None:
    """Callers ask for answers that take their time, more and more, until the agent refuses some."""
    finish = trio.Event()
    async with trio.open_nursery() as nursery:
        source = listen()
        source.listen(1024)
        backend = source.getsockname()[1]
        nursery.start_soon(_serve, source, finish)
        limit = await trio.to_thread.run_sync(_at_rest, tmp_path, backend) + 16
        (tmp_path / "l5d.yaml").write_text(CONFIG.format(limit=limit, backend=backend))
        with started("run", "l5d.yaml", cwd=tmp_path) as agent:
            found = ports(agent, 2)
            sizes: list[int] = []
            async with trio.open_nursery() as measuring:
                measuring.start_soon(_measure, agent, sizes)
                answers = await _ask_until_refused(found["router out"], finish)
                metrics = await trio.to_thread.run_sync(_metrics, found["admin"])
                with trio.fail_after(10):
                    while (await trio.to_thread.run_sync(_metrics, found["admin"]))["nodeagent_memory_shedding"]:
                        await trio.sleep(0.1)
                again = [await _ask(found["router out"]) for _ in range(5)]
                measuring.cancel_scope.cancel()
            agent.signal(signal.SIGTERM)
            code, _, err = await trio.to_thread.run_sync(agent.end)
        nursery.cancel_scope.cancel()

    refused = [text for status, text in answers if status == 503]
    served = [answer for answer in answers if answer[0] != 503]
    assert refused
    assert len(served) > 50
    assert set(served) == set(again) == {(200, "whole")}
    assert re.match(r"memory: 9\d % of the \d+ MB that the agent may take are in use", refused[0]), refused[0]
    assert 0.9 * limit * MEGABYTE <= max(sizes) < limit * MEGABYTE
    assert metrics["nodeagent_memory_limit_bytes"] == limit * MEGABYTE
    assert metrics['nodeagent_errors_total{error="connection_limit_reached",router="out"}'] >= len(refused)
    assert (code, err.count("memory is short") >= 1, "Traceback" in err) == (0, True, False), err


def _at_rest(directory: pathlib.Path, backend: int) -> int:
    """Megabytes that an agent takes which has served a little."""
    (directory / "l5d.yaml").write_text(CONFIG.format(limit=10_000, backend=backend))
    with started("run", "l5d.yaml", cwd=directory) as agent:
        found = ports(agent, 2)
        fetch(found["router out"], "nobody")
        return int(_metrics(found["admin"])["process_resident_memory_bytes"] / MEGABYTE)


def _metrics(admin: int) -> dict[str, float]:
    lines = fetch(admin, "127.0.0.1", "/metrics")[1].splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


async def _measure(agent: Process, sizes: list[int]) -> None:
    statm = pathlib.Path(f"/proc/{agent.pid}/statm")
    while True:
        sizes.append(int(statm.read_text().split()[1]) * os.sysconf("SC_PAGESIZE"))
        await trio.sleep(0.01)


async def _ask_until_refused(port: int, finish: trio.Event) -> list[tuple[int, str]]:
    """Ask until some are refused, then let those that are under way end; return all answers."""
    answers: list[tuple[int, str]] = []

    async def one() -> None:
        answers.append(await _ask(port))

    with trio.fail_after(15):
        async with trio.open_nursery() as nursery:
            for _ in range(MOST):
                nursery.start_soon(one)
                await trio.sleep(0.003)
                if len(answers) >= 5:
                    break
            finish.set()
    return answers


async def _ask(port: int) -> tuple[int, str]:
    """Return the status, and the text of an error or whether the answer came whole."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        caller = Caller(stream)
        await caller.send(GET)
        answer = await caller.answer()
    return answer.status, "whole" if answer.whole and answer.body == 2 * HALF else answer.body.decode()


async def _serve(source: socket.socket, finish: trio.Event) -> None:
    async def answer(stream: trio.SocketStream) -> None:
        async with stream:
            while await stream.receive_some():
                await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (2 * len(HALF)) + HALF)
                await finish.wait()
                await stream.send_all(HALF)

    await trio.serve_listeners(answer, [trio.SocketListener(trio.socket.from_stdlib_socket(source))])
