"""Unix sockets at both ends of the agent."""

from __future__ import annotations

import json
import pathlib
import shutil
import signal
import socket
import subprocess

import pytest
import trio

import conf
from nodeagent.agent import Agent
from nodeagent.listen import listen_unix
from tests.nodeagent.cli.processes import PATIENCE, started
from tests.nodeagent.proxy.world import Answer, Backend, Caller
from tests.nodeagent.running import Running, running

GET = b"GET / HTTP/1.1\r\nHost: web\r\n\r\n"


class UnixBackend(Backend):
    """A backend on a Unix socket."""

    def __init__(self, path: pathlib.Path) -> None:
        super().__init__()
        self.path = path

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(self.path))
            sock.listen()
            listener = trio.SocketListener(trio.socket.from_stdlib_socket(sock.dup()))
            task_status.started()
            await trio.serve_listeners(self._serve, [listener])


async def ask(path: pathlib.Path) -> Answer:
    async with await trio.open_unix_socket(str(path)) as stream:
        caller = Caller(stream)
        await caller.send(GET)
        return await caller.answer()


@pytest.mark.parametrize("by", ["file", "dtab"])
async def test_from_a_unix_socket_to_a_unix_socket(by: str, tmp_path: pathlib.Path) -> None:
    backend, listening = UnixBackend(tmp_path / "app.sock"), tmp_path / "http.sock"
    dtab = "/svc => /#/io.l5d.fs" if by == "file" else f"/svc/web => /$/unix{backend.path}"
    disco = tmp_path / "disco"
    disco.mkdir()
    (disco / "web").write_text(f"unix:{backend.path} * 2\n")
    server = f"{{path: {listening}, addForwardedHeader: {{for: {{kind: ip}}}}}}"
    text = f"- protocol: http\n  dtab: {dtab}\n  servers: [{server}]\n"
    name = "/#/io.l5d.fs/web" if by == "file" else f"/$/unix{backend.path}"
    async with trio.open_nursery() as nursery:
        await nursery.start(backend.run)
        async with running(text, f"[{{kind: io.l5d.fs, rootDir: {disco}}}]") as run:
            answers = [await ask(listening) for _ in range(2)]
            state = json.loads((await run.admin("/client_state.json")).body)
            explained = json.loads((await run.admin("/explain.json?path=/svc/web")).body)
            metrics = (await run.admin("/metrics")).body.decode()
            linkerds = json.loads((await run.admin("/admin/metrics.json")).body)
        assert not listening.exists()
        nursery.cancel_scope.cancel()

    assert [answer.status for answer in answers] == [200, 200]
    assert str(run.listening[0]) == f"router http on unix:{listening}"
    assert state[name]["endpoints"] == [f"unix:{backend.path}"]
    assert explained["bound"][0]["endpoints"] == [f"unix:{backend.path}"]
    assert f'nodeagent_server_connects_total{{router="http",server="unix:{listening}"}} 2.0' in metrics
    assert linkerds[f"rt/http/server/unix:{listening}/requests"] == 2
    assert backend.connections == 1
    assert b"for=_unix\r\n" in backend.seen[0]


async def test_a_socket_that_nobody_serves_is_refused_as_an_address_is(tmp_path: pathlib.Path) -> None:
    text = f"- protocol: http\n  dtab: /svc/web => /$/unix{tmp_path}/app.sock\n  servers: [{{port: 0}}]\n"
    async with running(text) as run:
        answer = await run.ask("router http", GET)

    assert (answer.status, answer.body) == (502, f"dial unix:{tmp_path}/app.sock: no such file or directory\n".encode())


async def test_a_socket_with_a_full_queue_is_waited_for(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "app.sock"
    text = f"- protocol: tcp\n  dtab: /svc/web => /$/unix{path}\n  servers: [{{port: 0, name: web}}]\n"
    with socket.socket(socket.AF_UNIX) as full, socket.socket(socket.AF_UNIX) as filler:
        full.bind(str(path))
        full.listen(0)
        filler.connect(str(path))
        async with running(text) as run, await run.connect("router tcp") as stream:
            await trio.sleep(0.1)
            full.accept()[0].close()
            with trio.fail_after(5):
                await trio.lowlevel.wait_readable(full)
                with full.accept()[0] as accepted:
                    accepted.send(b"hello")
                    assert await stream.receive_some() == b"hello"


async def test_what_is_sent_before_a_close_is_delivered(tmp_path: pathlib.Path) -> None:
    """Though the endpoint was not dialled yet, as for a program that logs and goes."""
    path, listening = tmp_path / "app.sock", tmp_path / "tcp.sock"
    text = f"- protocol: tcp\n  dtab: /svc/log => /$/unix{path}\n  servers: [{{path: {listening}, name: log}}]\n"
    with socket.socket(socket.AF_UNIX) as full, socket.socket(socket.AF_UNIX) as filler:
        full.bind(str(path))
        full.listen(0)
        filler.connect(str(path))
        async with running(text) as run:
            async with await trio.open_unix_socket(str(listening)) as stream:
                await stream.send_all(b"a line\n")
            with trio.fail_after(5):
                while not run.agent.routers[0].servers[0].in_flight:
                    await trio.sleep(0.01)
                full.accept()[0].close()
                await trio.lowlevel.wait_readable(full)
                with full.accept()[0] as accepted:
                    await trio.lowlevel.wait_readable(accepted)
                    assert accepted.recv(100) == b"a line\n"


async def test_an_agent_on_its_own_socket_goes_in_no_circle(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "http.sock"
    async with running(f"- protocol: http\n  dtab: /svc/web => /$/unix{path}\n  servers: [{{path: {path}}}]\n"):
        answer = await ask(path)

    assert (answer.status, "proxy_loop_detected" in str(answer.get("proxy-status"))) == (502, True)


async def test_an_inherited_unix_socket_serves_and_its_file_is_left_to_who_made_it(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "http.sock"
    inherited, _ = listen_unix("x", str(path), mode=0o660)
    dtab = "/svc => /$/io.buoyant.http.status/204"
    text = f"admin: {{port: 0}}\nrouters: [{{protocol: http, dtab: {dtab}, servers: [{{path: {path}}}]}}]"
    agent = Agent(conf.load(text, "test"))
    async with trio.open_nursery() as nursery:
        Running(agent, await nursery.start(agent.run, [inherited]))
        answer = await ask(path)
        nursery.cancel_scope.cancel()

    assert answer.status == 204
    assert path.exists()


@pytest.mark.e2e
def test_curl_through_a_unix_socket(tmp_path: pathlib.Path) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("needs curl: apt-get install curl")
    path = tmp_path / "http.sock"
    dtab = "/svc/users => /$/io.buoyant.http.status/204"
    (tmp_path / "agent.yaml").write_text(
        f"admin: {{port: 0}}\nrouters: [{{protocol: http, dtab: {dtab}, servers: [{{path: {path}}}]}}]\n"
    )
    with started("run", str(tmp_path / "agent.yaml")) as agent:
        assert agent.read_line() == f"listening: router http on unix:{path}"
        command = [curl, "-s", "-o", "/dev/null", "-w", "%{http_code}", "--unix-socket", str(path), "http://users/"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
        agent.signal(signal.SIGTERM)
        code, _, _ = agent.end()

    assert (done.stdout, code, path.exists()) == ("204", 0, False)
