"""What passes the agent, before servers that people run: they see as many requests as the agent sent, and none else."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from tests.conformance.rules import Arrives
from tests.conformance.test_requests import NEXT, REQUESTS, brief
from tests.nodeagent.proxy.world import World, free_port

pytestmark = pytest.mark.e2e

NODE = """
require("http").createServer((request, response) => {
  let size = 0
  request.on("data", data => size += data.length)
  request.on("end", () => response.end(`${request.method} ${request.url}`))
}).listen(PORT, "127.0.0.1", () => console.log("ready"))
"""

NGINX = """
daemon off; master_process off; pid nginx.pid; error_log stderr crit;
events {}
http { access_log off; keepalive_requests 1000000;
  server { listen 127.0.0.1:PORT; location / { return 200 "$request_method $request_uri"; } } }
"""


def run_node(directory: Path, port: int) -> list[str]:
    return ["node", "-e", NODE.replace("PORT", str(port))]


def run_nginx(directory: Path, port: int) -> list[str]:
    (directory / "nginx.conf").write_text(NGINX.replace("PORT", str(port)))
    return ["nginx", "-p", str(directory), "-c", "nginx.conf"]


@contextmanager
def serving(command: list[str]) -> Iterator[None]:
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.kill()


async def reachable(port: int) -> None:
    with trio.fail_after(20):
        while True:
            try:
                stream = await trio.open_tcp_stream("127.0.0.1", port)
            except OSError:
                await trio.sleep(0.05)
            else:
                await stream.aclose()
                return


@pytest.mark.parametrize(
    ("program", "package", "command"),
    [("node", "nodejs", run_node), ("nginx", "nginx", run_nginx)],
    ids=["node", "nginx"],
)
async def test_they_stay_in_step(
    tmp_path: Path, program: str, package: str, command: Callable[[Path, int], list[str]]
) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"needs {program}: apt-get install {package}")
    port = free_port()
    wrong = {}
    with serving(command(tmp_path, port)):
        await reachable(port)
        async with World(dtab=f"/svc/web => /$/inet/127.0.0.1/{port}").running() as world:
            for request in (raw for row in REQUESTS if isinstance(row, Arrives) for raw in row.examples):
                head = request.partition(b"\r\n\r\n")[0]
                if b"HTTP/1.0\r\n" in head or b"\r\nConnection: close" in head:
                    continue  # the connection ends with its answer
                caller = await world.connect()
                async with caller.stream:
                    await caller.send(request + NEXT)
                    first = await caller.answer("HEAD" if request.startswith(b"HEAD") else "GET")
                    after = await caller.answer()
                method = request.removeprefix(b"\r\n").partition(b" ")[0]
                as_asked = request.startswith(b"HEAD") or first.body.partition(b" ")[0] == method
                if after.body != b"GET /next" or (first.status == 200 and not as_asked):
                    wrong[brief(request)] = first, after

    assert wrong == {}
