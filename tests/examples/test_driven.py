"""Each example is started as its header says, and shows what its header claims."""

from __future__ import annotations

import json
import re
import shlex
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.examples.driving import EXAMPLES, Driven, backend, driven
from tests.namer.consul.real import needs_consul, real_consul
from tests.namer.dns.real import free_port, needs
from tests.nodeagent.cli.processes import PATIENCE, fetch
from tests.nodeagent.collector import Told, collecting

pytestmark = pytest.mark.e2e


def test_quickstart(tmp_path: Path) -> None:
    with driven("quickstart.yaml", tmp_path, ["one"], ["two"]) as it:
        assert set(it.who("users", 20)) == {"one", "two"}
        assert it.ask("users", "http://users/x")[1].startswith(("one on ", "two on "))
        assert it.ask("x", f"http://localhost:{it.backends[1]}/x")[0] == 403

        (tmp_path / "disco/users").write_text(f"127.0.0.1 {it.backends[1]}\n")
        it.eventually("users", "two")


def test_address_guard(tmp_path: Path) -> None:
    with driven("address-guard.yaml", tmp_path, ["tool"], ["private"]) as it:
        tool, private = it.backends
        assert it.ask("tool")[1].startswith("tool on ")
        refused = {
            "localhost": "127.0.0.0/8 is loopback",
            "2130706433": "127.0.0.0/8 is loopback",
            "169.254.169.254": "169.254.0.0/16 is link-local",
            "10.1.2.3": "addressGuard.deny lists 10.0.0.0/8",
        }
        for host, why in refused.items():
            status, text = it.ask("x", f"http://{host}:{private}/")
            assert (status, why in text) == (403, True), text
        assert it.ask("x", f"http://127.0.0.2:{tool}/")[0] == 502
        explained = it.shell(f"nodeagent explain --admin http://127.0.0.1:{it.admin} http://localhost:{private}/")
        assert f"127.0.0.1:{private}   refused: 127.0.0.0/8 is loopback" in explained


def test_policy(tmp_path: Path) -> None:
    with driven("policy.yaml", tmp_path, ["users"], ["other"]) as it:
        assert it.ask("users", "/")[1].startswith("users on ")
        for path in ("/admin/", "/%61dmin", "/x/../admin", "//admin"):
            assert it.ask("users", path) == (403, "policy: denied"), path
        assert it.ask("users", "/old")[0] == 200
        assert it.at("closed").ask("users", "/")[0] == 200
        assert it.at("closed").ask("other", "/") == (403, "policy: denied")
        explained = it.shell(
            f"nodeagent explain --admin http://127.0.0.1:{it.admin} --as uid:root DELETE http://users/ || true"
        )
        page = fetch(it.admin, "127.0.0.1", "/metrics")[1]

    assert "policy: denied by read only, for uid:root, DELETE /\n" in explained
    assert "  operators   allow   does not fit: users daemon: the caller is uid 0\n" in explained
    assert '{router="outgoing",rule="no admin",verdict="deny"} 4.0' in page
    assert '{router="outgoing",rule="old urls",verdict="audit"} 1.0' in page
    assert '{router="closed",rule="default",verdict="deny"} 1.0' in page


def test_egress(tmp_path: Path) -> None:
    with driven("egress.yaml", tmp_path, ["users"], ["api"]) as it:
        assert it.ask("users", "/")[1].startswith("users on ")
        assert it.ask("api.example.com", "http://api.example.com/")[1].startswith("api on ")
        assert it.ask("evil.example.org", "http://evil.example.org/") == (403, "policy: denied")
        explained = it.shell(
            f"nodeagent explain --admin http://127.0.0.1:{it.admin} --as uid:root http://evil.example.org/ || true"
        )
        page = fetch(it.admin, "127.0.0.1", "/metrics")[1]

    assert "policy: denied by default, for uid:root, GET /\n" in explained
    assert '{router="outgoing",rule="outside",verdict="allow"} 1.0' in page
    assert '{router="outgoing",rule="default",verdict="deny"} 1.0' in page


def test_access_log(tmp_path: Path) -> None:
    with driven("access-log.yaml", tmp_path, ["one"], ["two"]) as it:
        it.ask("users", "/hello")
        served = json.loads(it.agent.read_line())
        it.ask("nobody")
        failed = json.loads(it.agent.read_line())
        it.at("failures").ask("users", "/hello")
        it.at("failures").ask("nobody")
        combined = it.agent.read_line()

    assert (served["url"], served["status"], served["blame"]) == ("http://users/hello", 200, None)
    assert served["endpoint"] in {f"127.0.0.1:{port}" for port in it.backends}
    assert (failed["name"], failed["blame"], failed["attempts"]) == ("/svc/nobody", "naming", [])
    assert '"GET http://nobody/ HTTP/1.1" 502 ' in combined


def test_workers(tmp_path: Path) -> None:
    with driven("workers.yaml", tmp_path, ["one"], ["two"]) as it:
        assert set(it.who("users", 40)) == {"one", "two"}
        page = fetch(it.admin, "127.0.0.1", "/metrics")[1]

    samples = [line.rpartition(" ") for line in page.splitlines() if line.startswith("nodeagent_")]
    served = [float(count) for name, _, count in samples if name.startswith("nodeagent_worker_requests_total")]
    total = sum(float(count) for name, _, count in samples if name.startswith("nodeagent_server_requests_total"))
    assert (len(served), all(served), sum(served), total) == (2, True, 40, 40)


def test_mutual_tls(tmp_path: Path) -> None:
    header = (EXAMPLES / "mutual-tls.yaml").read_text()
    before = re.findall(r"^#   nodeagent (ca .*)$", header, re.MULTILINE)
    with driven("mutual-tls.yaml", tmp_path, ["users"], ["users"], others={4141: free_port()}, before=before) as it:
        assert it.ask("users")[1].startswith("users on ")
        records = json.loads(fetch(it.admin, "127.0.0.1", "/requests.json")[1])
        identities = {each["router"]: each["identity"] for each in records}
        assert identities == {"outgoing": None, "incoming": "spiffe://mesh.local/host/this"}
        (attempt,) = next(each["attempts"] for each in records if each["router"] == "outgoing")
        assert attempt["transport"]["kind"] == "mtls"
        explained = it.shell(f"nodeagent explain --admin http://127.0.0.1:{it.admin} http://users/")
        assert "mtls (TLSv1.3) with spiffe://mesh.local/host/this at 127.0.0.1:" in explained
        assert it.run("curl -sk") == "refused\n"
        page = fetch(it.admin, "127.0.0.1", "/metrics")[1]

    assert re.search(r'server_tls_failures_total\{reason="no_certificate",router="incoming".*\} 1.0', page)


def test_hosts(tmp_path: Path) -> None:
    with driven("hosts.yaml", tmp_path, ["users"], ["orders"]) as it:
        one, two = it.backends

        assert it.ask("users") == (200, f"users on {one}: GET / (/svc/users => /$/inet/127.0.0.1/{one})")
        assert it.ask("orders") == (200, f"orders on {two}: GET / (/svc/orders => /$/inet/localhost/{two})")
        assert it.ask("nobody")[0] == 502


def test_local_ports(tmp_path: Path) -> None:
    users, orders = free_port(), free_port()
    others = {9001: users, 9002: orders}
    with driven("local-ports.yaml", tmp_path, ["users"], ["orders"], others=others) as it:
        assert it.ask("users")[1].startswith("users on ")
        for host in ("orders", "anything"):
            assert fetch(users, host, "/")[1].startswith("users on ")
            assert fetch(orders, host, "/")[1].startswith("orders on ")


def test_path_routing(tmp_path: Path) -> None:
    with driven("path-routing.yaml", tmp_path, ["web-v1"], ["web-v2"]) as it:
        assert "GET /list?page=2 " in it.ask("gateway", "/web-v1/list?page=2")[1]
        assert it.ask("gateway", "/web-v2/list")[1].startswith("web-v2 on ")
        assert it.ask("gateway", "/")[0] == 400


def test_canary(tmp_path: Path) -> None:
    with driven("canary.yaml", tmp_path, ["web-v1"], ["web-v2"]) as it:
        shares = it.who("web", 300)
        tried = it.who("web", 20, l5d_dtab="/srv/web => /srv/web-v2")

    assert sum(shares.values()) == 300
    assert 5 <= shares["web-v2"] <= 80  # 30 on average; beyond that less than once in ten million runs
    assert tried == Counter({"web-v2": 20})


def test_fallback(tmp_path: Path) -> None:
    with driven("fallback.yaml", tmp_path, ["web-v1"], ["web-next"]) as it:
        assert it.who("web") == {"web-v1": 1}

        (tmp_path / "disco/web-next").write_text(f"127.0.0.1 {it.backends[1]}\n")
        it.eventually("web", "web-next")
        (tmp_path / "disco/web-next").unlink()
        it.eventually("web", "web-v1")

        assert it.who("unheard-of") == {"web-v1": 1}


def test_rewriting(tmp_path: Path) -> None:
    with driven("rewriting.yaml", tmp_path, ["users"], ["users-staging"]) as it:
        assert "=> /#/io.l5d.fs/users-staging)" in it.ask("users.staging.shop.example")[1]
        assert "=> /#/io.l5d.fs/users)" in it.ask("users.shop.internal")[1]
        assert it.ask("users.nowhere.shop.example")[0] == 502


def test_retries(tmp_path: Path) -> None:
    with driven("retries.yaml", tmp_path, ["good"], ["bad", "--status", "500"]) as it:
        statuses = Counter(it.ask("users")[0] for _ in range(40))
        metrics = fetch(it.admin, f"127.0.0.1:{it.admin}", "/metrics")[1]

    assert statuses == {200: 40}
    assert _sum(metrics, "nodeagent_service_retries_total") >= 1


def test_hedging(tmp_path: Path) -> None:
    with driven("hedging.yaml", tmp_path, ["good"], ["stalls", "--delay", "0.5", "--every", "20"]) as it:
        learning, learnt = ([_timed(it, "users")[1] for _ in range(150)] for _ in range(2))
        metrics = fetch(it.admin, f"127.0.0.1:{it.admin}", "/metrics")[1]

    stalls = [sum(seconds >= 0.4 for seconds in each) for each in (learning, learnt)]
    assert stalls[0] >= 1
    assert stalls[1] <= 2, stalls  # none, but for the budget on a machine that stalls itself
    assert 1 <= _sum(metrics, "nodeagent_service_hedges_total") <= 15


def test_tracing(tmp_path: Path) -> None:
    spans: list[Told] = []
    with (
        collecting(spans) as zipkin,
        driven("tracing.yaml", tmp_path, ["good"], ["bad", "--status", "500"], others={9411: zipkin}) as it,
    ):
        answers = {fetch(it.proxy, "users")[0].getheader("l5d-reqid") for _ in range(20)}
        page = fetch(it.admin, f"127.0.0.1:{it.admin}", "/metrics")[1]

    servers = [each for each in spans if each.kind == "SERVER"]
    assert {each.trace[16:] for each in servers} == answers
    clients = [each for each in spans if each.kind == "CLIENT"]
    assert {each.parent for each in clients} == {each.id for each in servers}
    assert len(clients) > len(servers) == 20
    assert 'nodeagent_trace_spans_total{exporter="tracelog",result="exported"}' in page


def test_static_policy(tmp_path: Path) -> None:
    with driven("static-policy.yaml", tmp_path, ["one", "--delay", "1"], ["two", "--delay", "1"]) as it:
        status, seconds = _timed(it, "users")
        assert status == 504
        assert 0.3 <= seconds < 1

        status, seconds = _timed(it, "web-v1")
        assert status == 200
        assert seconds >= 1


def test_balancers(tmp_path: Path) -> None:
    with driven("balancers.yaml", tmp_path, ["fast"], ["slow", "--delay", "0.2"]) as it:
        assert it.who("users", 20)["slow"] <= 2
        assert it.who("orders", 8) == {"fast": 4, "slow": 4}
        for name in ("payments", "web-v1", "web-v2"):
            assert it.ask(name)[0] == 200


def test_affinity(tmp_path: Path) -> None:
    with driven("affinity.yaml", tmp_path, ["one"], ["two"]) as it:
        assert len(it.who("users", 20, X_User="alice")) == 1
        assert {name for user in range(20) for name in it.who("users", X_User=f"u{user}")} == {"one", "two"}
        assert set(it.who("users", 20)) == {"one", "two"}

        homes = set()
        for _ in range(20):
            response, text = fetch(it.proxy, "orders", "/")
            cookie = str(response.headers["Set-Cookie"]).partition(";")[0]
            assert set(it.who("orders", 5, Cookie=cookie)) == {text.partition(" on ")[0]}
            homes.add(text.partition(" on ")[0])
        assert homes == {"one", "two"}


def test_zones(tmp_path: Path) -> None:
    local = free_port()
    with driven("zones.yaml", tmp_path, local, ["elsewhere"]) as it:
        with backend("here", port=local):
            assert it.who("catalog", 20) == {"here": 20}
            assert _local_share(it) == 1
        assert it.who("catalog", 20) == {"elsewhere": 20}
        assert _local_share(it) == 0
        with backend("here", port=local):
            it.eventually("catalog", "here")


def test_limits(tmp_path: Path) -> None:
    with driven("limits.yaml", tmp_path, ["one", "--delay", "1"], ["two", "--delay", "1"]) as it:
        users = _at_once(it, "users", 6)
        orders = _at_once(it, "orders", 7)
        metrics = fetch(it.admin, f"127.0.0.1:{it.admin}", "/metrics")[1]

    refused = "balance /svc/users: 4 requests are under way and 1 waits, as many as concurrency allows"
    assert Counter(status for status, _, _ in users) == {200: 5, 503: 1}
    assert [(text, seconds < 0.5) for status, text, seconds in users if status == 503] == [(refused, True)]
    assert Counter(status for status, _, _ in orders) == {200: 2, 503: 5}
    waited = [seconds >= 0.3 for status, _, seconds in orders if status == 503]
    assert (waited.count(True), waited.count(False)) == (4, 1)
    assert _sum(metrics, "nodeagent_service_rejected_total") == 1
    assert _sum(metrics, "nodeagent_service_concurrency_limit") == 4
    assert "nodeagent_memory_limit_bytes 268435456.0" in metrics


def _at_once(it: Driven, host: str, times: int) -> list[tuple[int, str, float]]:
    """Status, text and seconds of so many requests at the same time."""

    def ask(_: int) -> tuple[int, str, float]:
        began = time.monotonic()
        return (*it.ask(host), time.monotonic() - began)

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(ask, range(times)))


@needs_consul
def test_consul(tmp_path: Path) -> None:
    with (
        real_consul() as consul,
        driven("consul.yaml", tmp_path, ["users-v1"], ["users-v2"], others={8500: consul.port}) as it,
    ):
        where = f"127.0.0.1:{consul.port}"
        it.run("consul services register", CONSUL_HTTP_ADDR=where)
        assert set(it.who("users", 20)) == {"users-v1", "users-v2"}
        assert it.who("users;v=2", 5) == {"users-v2": 5}
        assert it.who("users;zone=a", 5) == {"users-v1": 5}
        assert it.ask("web-v1")[1].endswith("(/svc/web-v1 => /#/io.l5d.fs/web-v1)")
        status, text = it.ask("users;v=9")
        assert (status, text.endswith("no instance of users has v=9; 2 others have not")) == (503, True), text
        it.run("consul maint -enable", CONSUL_HTTP_ADDR=where)
        it.eventually("users", "users-v2")
        it.run("consul maint -disable", CONSUL_HTTP_ADDR=where)
        it.eventually("users;v=1", "users-v1")

        consul.signal(signal.SIGKILL)
        _soon(lambda: _staleness(it, "/#/io.l5d.consul") > 0)
        assert set(it.who("users", 20)) <= {"users-v1", "users-v2"}
        assert it.who("users;v=2", 5) == {"users-v2": 5}


@needs_consul
def test_consul_dtab(tmp_path: Path) -> None:
    with (
        real_consul() as consul,
        driven("consul-dtab.yaml", tmp_path, ["web-v1"], ["web-v2"], others={8500: consul.port}) as it,
    ):
        where = f"127.0.0.1:{consul.port}"
        first, second, broken = it.commands("consul kv put")
        it.shell(first, CONSUL_HTTP_ADDR=where)
        it.eventually("web", "web-v1")
        it.shell(second, CONSUL_HTTP_ADDR=where)
        it.eventually("web", "web-v2")

        assert it.run("nodeagent dtab get") == "/svc/web => /srv/web-v2\n"
        it.run("echo")
        assert it.run("nodeagent dtab diff").startswith("- 1  /svc/web => /srv/web-v2\n+ 1  ")
        it.run("nodeagent dtab set")
        _soon(lambda: len(it.who("web", 100)) == 2)

        it.shell(broken, CONSUL_HTTP_ADDR=where)
        _soon(lambda: "namerd/dtabs/web:1:" in fetch(it.admin, "127.0.0.1", "/namer_state.json")[1])
        assert set(it.who("web", 10)) <= {"web-v1", "web-v2"}


@needs("dnsmasq")
def test_dns_srv(tmp_path: Path) -> None:
    best = free_port()
    with driven("dns-srv.yaml", tmp_path, best, ["spare"], others={8053: free_port()}) as it:
        (command,) = it.commands("dnsmasq")
        with _dns(command):
            with backend("best", port=best):
                assert it.who("users", 10) == {"best": 10}
            assert it.who("users", 10) == {"spare": 10}
            assert it.who("elsewhere") == {"spare": 1}
            with backend("best", port=best):
                it.eventually("users", "best")
        assert it.who("users", 10) == {"spare": 10}
        _soon(lambda: _staleness(it, "dns") > 0)


def test_failover(tmp_path: Path) -> None:
    dead = free_port()
    with driven("failover.yaml", tmp_path, dead, ["web-v2"], others={4141: 0}) as it:
        assert it.who("web", 10) == {"web-v2": 10}
        assert it.who("split", 20) == {"web-v2": 20}
        linkerd = it.at("as-linkerd")
        assert linkerd.ask("web")[0] == 502
        assert linkerd.who("split", 20) == {"web-v2": 20}
        metrics = fetch(it.admin, "127.0.0.1", "/metrics")[1]
        assert 'retries_total{reason="connection_refused",router="as-linkerd",service="/svc/split"}' in metrics
        with backend("web-v1", port=dead):
            it.eventually("web", "web-v1")


def test_health_checks(tmp_path: Path) -> None:
    sick = tmp_path / "sick"
    with driven("health-checks.yaml", tmp_path, ["one", "--sick", str(sick)], ["two"]) as it:
        _soon(lambda: "one" in it.who("users", 20))
        it.run("touch")
        _soon(lambda: "dead (checks)" in it.shell(f"nodeagent explain --admin http://127.0.0.1:{it.admin} /svc/users"))
        assert it.who("users", 20) == {"two": 20}
        shown = fetch(it.admin, "127.0.0.1", "/client_state.json")[1]
        assert f'"check 127.0.0.1:{it.backends[0]}: answered 503"' in shown
        metrics = fetch(it.admin, "127.0.0.1", "/metrics")[1]
        users = 'client="/#/io.l5d.fs/users"'
        assert f'balancer_ejections_total{{{users},policy="healthCheck",router="outgoing"}} 1.0' in metrics
        assert f'balancer_checks_total{{{users},result="failed",router="outgoing"}} ' in metrics
        it.run("rm")
        _soon(lambda: "one" in it.who("users", 20))


def test_transformers(tmp_path: Path) -> None:
    with driven("transformers.yaml", tmp_path, ["one"], ["two"], others={4141: free_port()}) as it:
        answers = [it.ask("users")[1] for _ in range(20)]
        assert {answer.partition(" ")[0] for answer in answers} == {"one", "two"}
        assert answers[0].endswith("(/svc/users => /%/io.l5d.localhost/#/io.l5d.fs/users)")

        it.run("echo")
        status, text = it.at("incoming").ask("elsewhere")
        assert (status, "no endpoints" in text) == (503, True), text


@contextmanager
def _dns(command: str) -> Iterator[None]:
    """A DNS server, from when it answers on."""
    port = int(command.partition("--port=")[2].split()[0])
    with subprocess.Popen(shlex.split(command.rstrip("& ")), stderr=subprocess.DEVNULL) as process:
        try:
            _soon(lambda: _listens(port))
            yield
        finally:
            process.kill()


def _listens(port: int) -> bool:
    with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


def _soon(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _staleness(it: Driven, namer: str) -> float:
    metrics = fetch(it.admin, "127.0.0.1", "/metrics")[1]
    name = f'nodeagent_namer_staleness_seconds{{namer="{namer}"}} '
    return sum(float(line.removeprefix(name)) for line in metrics.splitlines() if line.startswith(name))


def _local_share(it: Driven) -> float:
    return _sum(fetch(it.admin, "127.0.0.1", "/metrics")[1], "nodeagent_balancer_local_share")


def _timed(it: Driven, host: str) -> tuple[int, float]:
    began = time.monotonic()
    status, _ = it.ask(host)
    return status, time.monotonic() - began


def _sum(metrics: str, name: str) -> float:
    return sum(float(line.rpartition(" ")[2]) for line in metrics.splitlines() if line.startswith(f"{name}{{"))
