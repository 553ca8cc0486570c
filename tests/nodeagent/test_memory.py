"""The ceiling for the agent's memory: when it bites, where it comes from, and that a real agent stays below it."""

from __future__ import annotations

import gc
import os
import pathlib
import re
import signal
import socket
from contextlib import suppress

import pytest
import trio
import trio.testing

from nodeagent.memory import MEGABYTE, Memory, Pressure, Watermarks, ceiling, malloc_trim, resident_bytes
from nodeagent.telemetry.registry import MemoryStats
from tests.nodeagent.cli.processes import Process, fetch, ports, started
from tests.nodeagent.proxy.world import listen

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


async def test_each_change_is_told_once_with_a_text_for_callers() -> None:
    used = [50]
    told: list[tuple[Pressure, str]] = []
    changed = trio.Event()

    def strain(pressure: Pressure, why: str) -> None:
        nonlocal changed
        told.append((pressure, why))
        changed.set()
        changed = trio.Event()

    stats = MemoryStats()
    memory = Memory(100 * MEGABYTE, strain, stats, lambda: used[0] * MEGABYTE)
    shedding = []
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(memory.watch)
            for megabytes in (91, 96, 80):
                await trio.testing.wait_all_tasks_blocked()
                used[0] = megabytes
                await changed.wait()
                shedding.append(stats.shedding)
            nursery.cancel_scope.cancel()

    text = "memory: {} % of the 100 MB that the agent may take are in use"
    assert told == [(SHORT, text.format(91)), (FULL, text.format(96)), (ENOUGH, text.format(80))]
    assert (stats.limit, shedding) == (100 * MEGABYTE, [True, True, False])


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
GET = b"GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n"
SIZE = 4 * MEGABYTE
"""Of a response: more than sockets keep, so that the agent holds a piece of it while its reader pauses."""
PIECE = bytes(MEGABYTE)
DOWNLOADS = 900


@pytest.mark.e2e
async def test_an_agent_at_its_ceiling_refuses_new_work_finishes_what_is_under_way_and_recovers(
    tmp_path: pathlib.Path,
) -> None:
    """Callers begin downloads and pause, until the agent refuses some; then they read to the end."""
    async with trio.open_nursery() as nursery:
        source = listen()
        source.listen(1024)
        nursery.start_soon(_serve, source)
        at_rest = await trio.to_thread.run_sync(_at_rest, tmp_path, source.getsockname()[1])
        limit = at_rest + 24
        (tmp_path / "l5d.yaml").write_text(CONFIG.format(limit=limit, backend=source.getsockname()[1]))
        with started("run", "l5d.yaml", cwd=tmp_path) as agent:
            found = ports(agent, 2)
            sizes: list[int] = []
            async with trio.open_nursery() as measuring:
                measuring.start_soon(_measure, agent, sizes)
                answers = await _downloads(found["router out"], at_once=DOWNLOADS)
                metrics = await trio.to_thread.run_sync(_metrics, found["admin"])
                with trio.fail_after(10):
                    while (await trio.to_thread.run_sync(_metrics, found["admin"]))["nodeagent_memory_shedding"]:
                        await trio.sleep(0.1)
                again = await _downloads(found["router out"], at_once=5)
                measuring.cancel_scope.cancel()
            agent.signal(signal.SIGTERM)
            code, _, err = await trio.to_thread.run_sync(agent.end)
        nursery.cancel_scope.cancel()

    refused = [text for status, text in answers if status == 503]
    assert refused
    assert len(answers) - len(refused) > 50
    assert all(text == "whole" for status, text in answers if status != 503)
    assert re.match(r"memory: 9\d % of the \d+ MB that the agent may take are in use", refused[0]), refused[0]
    assert 0.9 * limit * MEGABYTE < max(sizes) < limit * MEGABYTE
    assert metrics["nodeagent_memory_limit_bytes"] == limit * MEGABYTE
    assert metrics['nodeagent_errors_total{error="connection_limit_reached",router="out"}'] >= len(refused)
    assert again == [(200, "whole")] * 5
    assert (code, err.count("memory is short") >= 1, "Traceback" in err) == (0, True, False), err


def _at_rest(directory: pathlib.Path, backend: int) -> int:
    """Megabytes that an agent takes which has served a little."""
    (directory / "l5d.yaml").write_text(CONFIG.format(limit=10_000, backend=backend))
    with started("run", "l5d.yaml", cwd=directory) as agent:
        found = ports(agent, 2)
        for _ in range(5):
            fetch(found["router out"], "web")
        return int(_metrics(found["admin"])["process_resident_memory_bytes"] / MEGABYTE)


def _metrics(admin: int) -> dict[str, float]:
    lines = fetch(admin, "127.0.0.1", "/metrics")[1].splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


async def _measure(agent: Process, sizes: list[int]) -> None:
    statm = pathlib.Path(f"/proc/{agent.pid}/statm")
    while True:
        sizes.append(int(statm.read_text().split()[1]) * os.sysconf("SC_PAGESIZE"))
        await trio.sleep(0.01)


async def _downloads(port: int, *, at_once: int) -> list[tuple[int, str]]:
    """Begin so many downloads, or until some are refused, then end those that are under way; return all answers."""
    answers: list[tuple[int, str]] = []
    finish = trio.Event()

    async def one() -> None:
        answers.append(await _download(port, finish))

    with trio.fail_after(15):
        async with trio.open_nursery() as nursery:
            for _ in range(at_once):
                nursery.start_soon(one)
                await trio.sleep(0.01)  # slower than the agent looks at its memory
                if len(answers) >= 5:
                    break
            finish.set()
    return answers


async def _download(port: int, finish: trio.Event) -> tuple[int, str]:
    """Ask, and read on only when it is to `finish`; return the status, and the text or whether it came whole."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(GET)
        data = b""
        while b"\r\n\r\n" not in data:
            data += await stream.receive_some(500) or b"\r\n\r\n"
        head, _, text = data.partition(b"\r\n\r\n")
        status, size = int(head[9:12] or b"0"), len(text)
        if status != 200:
            return status, text.decode()
        await finish.wait()
        while piece := await stream.receive_some(1 << 20):
            size += len(piece)
    return status, "whole" if size == SIZE else f"{size} bytes"


async def _serve(source: socket.socket) -> None:
    """A backend that answers each connection with as many bytes as its reader takes."""

    async def answer(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            await stream.receive_some()
            await stream.send_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % SIZE)
            for _ in range(SIZE // MEGABYTE):
                await stream.send_all(PIECE)
        await stream.aclose()

    await trio.serve_listeners(answer, [trio.SocketListener(trio.socket.from_stdlib_socket(source))])
