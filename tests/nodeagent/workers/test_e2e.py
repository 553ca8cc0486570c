"""Several workers as the host sees them: one agent, whatever becomes of its processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from tests.nodeagent.cli.processes import PATIENCE, backend, fetch, started
from tests.nodeagent.workers.running import CONFIG, WAIT, Agent, ask, eventually, lives, running

pytestmark = pytest.mark.e2e

TWO = """
workers: 2
admin: {{port: 0}}
routers:
- protocol: http
  label: out
  dtab: /svc/users => /#/io.l5d.fs/users
  servers: [{{port: 0}}]
  client:
    loadBalancer: {{kind: {balancer}}}
    failureAccrual: {{kind: io.l5d.consecutiveFailures, failures: 3, backoff: {{kind: constant, ms: 60000}}}}
  service: {{retries: {{maxPerRequest: 0}}}}
namers: [{{kind: io.l5d.fs, rootDir: disco}}]
"""


class Held:
    """A backend's answer that waits until it is let go."""

    def __init__(self) -> None:
        self.asked = threading.Semaphore(0)
        self.go_on = threading.Event()

    def __call__(self, request: BaseHTTPRequestHandler) -> tuple[int, str]:
        self.asked.release()
        self.go_on.wait(WAIT)
        return 200, "whole"


def hello(request: BaseHTTPRequestHandler) -> tuple[int, str]:
    return 200, f"hello {request.path}"


def config(port: int, workers: int = 2) -> str:
    return CONFIG.format(workers=workers, backend=port)


def test_the_workers_share_the_traffic_and_the_admin_port_shows_the_whole(tmp_path: Path) -> None:
    with backend(hello) as port, running(tmp_path, config(port)) as agent:
        assert [agent.get("/x") for _ in range(40)] == [(200, "hello /x")] * 40

        each = agent.per_worker("requests_total")
        assert all(each), "the chance that one gets none of 40 is one in 10**12"
        assert sum(each) == 40
        assert agent.metric("nodeagent_server_requests_total", status_class="2XX") == 40
        assert agent.metric("nodeagent_service_request_duration_seconds_count") == 40
        assert agent.metric("nodeagent_balancer_endpoints", state="alive") == 1
        assert agent.json("/admin/metrics.json")["rt/out/service/svc/users/requests"] == 40
        assert agent.json("/bound-names.json") == [f"/$/inet/127.0.0.1/{port}"]
        assert agent.json("/names.json") == [
            {
                "router": "out",
                "name": "/svc/users",
                "dtab": None,
                "clients": [{"id": f"/$/inet/127.0.0.1/{port}", "weight": 1.0}],
            }
        ]
        assert agent.json("/config.json")["workers"]["value"] == 2
        assert agent.json("/delegator.json?path=/svc/users")["path"] == "/svc/users"
        assert agent.json("/explain.json?path=/svc/users")["bound"][0]["state"][0]["health"] == "alive"
        assert agent.json("/namer_state.json") == []
        assert [each["router"] for each in agent.json("/routers.json")] == ["out"]
        assert agent.page("/metrics?name[]=nodeagent_worker_up").count("\nnodeagent_") == 2
        assert "<title>nodeagent</title>" in agent.page("/")
        assert "agent.js" in agent.page("/static/main.js")
        assert delegated(agent.admin)["path"] == "/svc/users"
        assert fetch(agent.admin, "127.0.0.1", "/client_state.json", method="HEAD")[0].status == 200
        assert fetch(agent.admin, "127.0.0.1", "/explain.json")[0].status == 400
        assert fetch(agent.admin, "127.0.0.1", "/bound-names.json?worker=7")[0].status == 503

        agent.process.signal(signal.SIGTERM)
        code, out, err = agent.process.end()
    assert "Traceback" not in err, err
    assert (code, out) == (0, "")


def test_what_is_pushed_and_polled_in_other_formats_is_the_sum_of_the_workers(tmp_path: Path) -> None:
    key = "linkerd.rt.out.service.svc.users.requests"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink, backend(hello) as port:
        sink.bind(("127.0.0.1", 0))
        sink.settimeout(PATIENCE)
        statsd = f"{{kind: statsd, hostname: localhost, port: {sink.getsockname()[1]}, gaugeIntervalMs: 200}}"
        with running(tmp_path, f"telemetry: [{statsd}, {{kind: influxdb}}]\n{config(port)}") as agent:
            assert [agent.get()[0] for _ in range(40)] == [200] * 40
            pushed = 0
            while pushed < 40:
                lines = sink.recv(65536).decode().split("\n")
                pushed += sum(int(line.partition(":")[2].removesuffix("|c")) for line in lines if line.startswith(key))

            assert pushed == 40
            assert all(agent.per_worker("requests_total")), "each worker had some of them"
            assert "rt=out,service=/svc/users requests=40," in agent.page("/admin/metrics/influxdb")


def test_a_worker_that_dies_costs_its_own_requests_only(tmp_path: Path) -> None:
    held = Held()
    with backend(held) as port, running(tmp_path, config(port)) as agent, ThreadPoolExecutor(16) as pool:
        answers = [pool.submit(agent.get) for _ in range(16)]
        for _ in answers:
            assert held.asked.acquire(timeout=PATIENCE)
        victims, survivors = agent.per_worker("connections")
        assert victims + survivors == 16

        os.kill(agent.pids()[0], signal.SIGKILL)
        assert eventually(lambda: sum(answer.done() for answer in answers) == victims)
        held.go_on.set()
        failed = [answer for answer in answers if answer.exception(WAIT) is not None]

        assert len(failed) == victims
        assert eventually(lambda: fetch(agent.admin, "127.0.0.1", "/ready")[0].status == 200)
        assert agent.metric("nodeagent_worker_deaths_total", worker="0") == 1
        counted = agent.metric("nodeagent_server_requests_total")
        assert counted >= survivors
        assert [agent.get()[0] for _ in range(20)] == [200] * 20
        assert agent.metric("nodeagent_server_requests_total") == counted + 20

        agent.process.signal(signal.SIGTERM)
        code, _, err = agent.process.end()
    assert code == 0
    assert "a worker has ended and is replaced" in err
    assert "SIGKILL" in err


def test_counters_go_on_from_where_a_dead_worker_left_them(tmp_path: Path) -> None:
    with backend(hello) as port, running(tmp_path, config(port)) as agent:
        for _ in range(20):
            agent.get()
        took = agent.metric("process_cpu_seconds_total")
        assert agent.metric("nodeagent_service_requests_total", classification="success") == 20

        for pid in agent.pids():
            os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: agent.metric("nodeagent_worker_deaths_total") == 2)
        assert eventually(lambda: agent.metric("nodeagent_worker_up") == 2)

        assert agent.metric("nodeagent_service_requests_total", classification="success") == 20
        assert agent.metric("process_cpu_seconds_total") >= took


def test_who_waits_for_a_dead_worker_is_served_by_its_replacement(tmp_path: Path) -> None:
    with backend(hello) as port, running(tmp_path, config(port)) as agent, ThreadPoolExecutor(16) as pool:
        victim = agent.pids()[0]
        os.kill(victim, signal.SIGSTOP)
        answers = [pool.submit(agent.get) for _ in range(16)]
        assert eventually(lambda: sum(answer.done() for answer in answers) >= 1)  # the other worker's
        os.kill(victim, signal.SIGKILL)

        assert [answer.result(WAIT) for answer in answers] == [(200, "hello /")] * 16


def test_a_worker_that_hangs_holds_up_no_page_and_is_replaced(tmp_path: Path) -> None:
    with backend(hello) as port, running(tmp_path, config(port)) as agent:
        os.kill(agent.pids()[1], signal.SIGSTOP)

        began = time.monotonic()
        response, body = fetch(agent.admin, "127.0.0.1", "/metrics")
        assert time.monotonic() - began < PATIENCE / 2
        assert response.status == 200
        assert "worker 1: " in str(response.headers["nodeagent-missing"])
        assert 'nodeagent_worker_up{worker="1"} 0.0' in body
        assert eventually(lambda: agent.metric("nodeagent_worker_deaths_total", worker="1") == 1)
        assert eventually(lambda: agent.metric("nodeagent_worker_up") == 2)
        agent.process.signal(signal.SIGTERM)
        code, _, err = agent.process.end()
    assert code == 0
    assert "it gave no answer and was killed" in err


def test_what_is_slow_for_the_callers_of_one_worker_gets_less_from_the_other(tmp_path: Path) -> None:
    asked = {"slow": 0, "fast": 0}

    def slow(request: BaseHTTPRequestHandler) -> tuple[int, str]:
        asked["slow"] += 1
        time.sleep(0.5)
        return 200, "slow"

    def fast(request: BaseHTTPRequestHandler) -> tuple[int, str]:
        asked["fast"] += 1
        return 200, "fast"

    with backend(slow) as one, backend(fast) as two, two_endpoints(tmp_path, one, two) as agent:
        first, second = agent.connection_to(0), agent.connection_to(1)
        while not all(asked.values()):
            ask(first)

        def known() -> bool:
            return loads(agent, 1)[one] > 0.1 > loads(agent, 1)[two] > 0

        assert eventually(known, 2.0 + PATIENCE)
        assert [ask(second) for _ in range(20)] == [(200, "fast")] * 20


def test_what_one_worker_ejects_is_out_for_all(tmp_path: Path) -> None:
    with (
        backend(lambda _: (500, "bad")) as one,
        backend(hello) as two,
        two_endpoints(tmp_path, one, two, "p2c") as agent,  # by ewma it would hardly be asked three times
    ):
        first = agent.connection_to(0)
        assert eventually(lambda: {ask(first)[0] for _ in range(5)} <= {200, 500} and health(agent, 0)[one] == "dead")
        assert eventually(lambda: health(agent, 1)[one] == "dead", PATIENCE)

        assert agent.metric("nodeagent_balancer_ejections_total") == 1
        second = agent.connection_to(1)
        assert [ask(second)[0] for _ in range(10)] == [200] * 10


def test_a_drain_answers_what_is_under_way_in_all_workers(tmp_path: Path) -> None:
    held = Held()
    with backend(held) as port, running(tmp_path, config(port)) as agent, ThreadPoolExecutor(8) as pool:
        workers = agent.pids()
        answers = [pool.submit(agent.get) for _ in range(8)]
        for _ in answers:
            assert held.asked.acquire(timeout=PATIENCE)
        agent.process.signal(signal.SIGTERM)
        assert eventually(lambda: refuses(agent.port))
        held.go_on.set()

        assert [answer.result(WAIT) for answer in answers] == [(200, "whole")] * 8
        code, _, err = agent.process.end()
        assert not any(map(lives, workers))
    assert "Traceback" not in err, err
    assert code == 0


def test_a_second_signal_cuts_at_once_and_leaves_nothing_behind(tmp_path: Path) -> None:
    held = Held()
    with backend(held) as port, running(tmp_path, config(port)) as agent, ThreadPoolExecutor() as pool:
        workers = agent.pids()
        answer = pool.submit(agent.get)
        assert held.asked.acquire(timeout=PATIENCE)
        agent.process.signal(signal.SIGINT)
        assert eventually(lambda: refuses(agent.port))
        agent.process.signal(signal.SIGINT)
        code, _, err = agent.process.end()
        held.go_on.set()

        assert answer.exception(WAIT) is not None
        assert not any(map(lives, workers))
    assert "Traceback" not in err, err
    assert code == 1


def test_workers_end_when_their_supervisor_is_killed(tmp_path: Path) -> None:
    with backend(hello) as port, running(tmp_path, config(port)) as agent:
        workers = agent.pids()
        agent.process.signal(signal.SIGKILL)

        assert eventually(lambda: not any(map(lives, workers)))


def test_a_worker_that_is_told_to_end_drains_and_is_replaced(tmp_path: Path) -> None:
    with backend(hello) as port, running(tmp_path, config(port)) as agent, ExitStack() as opened:
        callers = [opened.enter_context(closing(HTTPConnection("127.0.0.1", agent.port, WAIT))) for _ in range(8)]
        assert [ask(each)[0] for each in callers] == [200] * 8
        gone = agent.pids()[0]
        os.kill(gone, signal.SIGTERM)

        assert eventually(lambda: not lives(gone))
        assert eventually(lambda: fetch(agent.admin, "127.0.0.1", "/ready")[0].status == 200)
        assert [agent.get()[0] for _ in range(20)] == [200] * 20


def test_the_admin_port_ends_all(tmp_path: Path) -> None:
    with backend(hello) as port, running(tmp_path, config(port, workers=3)) as agent:
        workers = agent.pids()
        assert len(workers) == 3
        assert fetch(agent.admin, "127.0.0.1", "/admin/shutdown", method="POST")[0].status == 200
        code, _, _ = agent.process.end()

        assert not any(map(lives, workers))
    assert code == 0


def test_an_error_of_the_configuration_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "agent.yaml").write_text(config(1, workers=0))
    with started("run", "agent.yaml", cwd=tmp_path) as process:
        code, out, err = process.end()

    assert (code, out) == (1, "")
    assert err.splitlines() == ["agent.yaml:2:10: workers: 0 is out of range; expected a whole number from 1 to 64"]


def test_a_port_that_is_taken_is_told_once(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        (tmp_path / "agent.yaml").write_text(config(1).replace("servers: [{port: 0}]", f"servers: [{{port: {port}}}]"))
        with started("run", "agent.yaml", cwd=tmp_path) as process:
            code, _, err = process.end()

    assert code == 1
    assert err.startswith(f"nodeagent: router out on 127.0.0.1:{port} cannot listen: the port is taken")
    assert len(err.splitlines()) == 1


def test_the_service_manager_hears_of_the_whole(tmp_path: Path) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, backend(hello) as port:
        manager.bind(str(path))
        manager.settimeout(WAIT)
        with running(tmp_path, config(port), env={**os.environ, "NOTIFY_SOCKET": str(path)}) as agent:
            said = [manager.recv(1000) for _ in range(2)]
            agent.process.signal(signal.SIGTERM)
            said += [manager.recv(1000) for _ in range(2)]
            agent.process.end()

    assert said == [b"READY=1", b"STATUS=2 listeners", b"STOPPING=1", b"STATUS=draining"]


def test_sockets_of_the_service_manager_are_shared(tmp_path: Path) -> None:
    with backend(hello) as port, socket.create_server(("127.0.0.1", 0)) as given:
        number = given.getsockname()[1]
        (tmp_path / "agent.yaml").write_text(config(port).replace("{port: 0}]", f"{{port: {number}}}]"))
        command = f"LISTEN_PID=$$ LISTEN_FDS=1 exec {sys.executable} -m nodeagent run agent.yaml 3<&{given.fileno()}"
        with subprocess.Popen(
            ["bash", "-c", command], cwd=tmp_path, pass_fds=[given.fileno()], stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline() == f"listening: router out on 127.0.0.1:{number}\n"
                assert [fetch(number, "users")[1] for _ in range(10)] == ["hello /"] * 10
                process.terminate()
                assert process.wait(WAIT) == 0
            finally:
                process.kill()
        assert given.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN), "it is still the service manager's"


@contextmanager
def two_endpoints(directory: Path, one: int, two: int, balancer: str = "ewma") -> Iterator[Agent]:
    """An agent that balances "users" over two ports."""
    (directory / "disco").mkdir()
    (directory / "disco/users").write_text(f"127.0.0.1 {one}\n127.0.0.1 {two}\n")
    with running(directory, TWO.format(balancer=balancer)) as agent:
        yield agent


def endpoints(agent: Agent, worker: int) -> dict[int, dict[str, Any]]:
    """What a worker thinks of the endpoints, by port."""
    state = agent.json(f"/client_state.json?worker={worker}")
    found = state["/#/io.l5d.fs/users"]["routers"]["out"]["endpoints"]
    return {int(each["endpoint"].rpartition(":")[2].split()[0]): each for each in found}


def loads(agent: Agent, worker: int) -> dict[int, float]:
    return {port: each["load"] for port, each in endpoints(agent, worker).items()}


def health(agent: Agent, worker: int) -> dict[int, str]:
    return {port: each["health"] for port, each in endpoints(agent, worker).items()}


def delegated(admin: int) -> Any:
    """What the delegator answers to a question that comes as JSON."""
    with closing(HTTPConnection("127.0.0.1", admin, timeout=WAIT)) as connection:
        question = json.dumps({"path": "/svc/users", "dtab": "/svc => /#/x"})
        connection.request("POST", "/delegator.json", question, {"Content-Type": "application/json"})
        return json.load(connection.getresponse())


def refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), PATIENCE).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        return False
    return False
