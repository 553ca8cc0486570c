"""Each example is started as its header says, and shows what its header claims."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest

from tests.examples.driving import Driven, driven
from tests.nodeagent.cli.processes import fetch

pytestmark = pytest.mark.e2e


def test_quickstart(tmp_path: Path) -> None:
    with driven("quickstart.yaml", tmp_path, ["one"], ["two"]) as it:
        assert set(it.who("users", 20)) == {"one", "two"}
        assert it.ask("users", "http://users/x")[1].startswith(("one on ", "two on "))
        assert it.ask("x", f"http://localhost:{it.backends[1]}/x")[1].startswith("two on ")

        (tmp_path / "disco/users").write_text(f"127.0.0.1 {it.backends[1]}\n")
        it.eventually("users", "two")


def test_hosts(tmp_path: Path) -> None:
    with driven("hosts.yaml", tmp_path, ["users"], ["orders"]) as it:
        one, two = it.backends

        assert it.ask("users") == (200, f"users on {one}: GET / (/svc/users => /$/inet/127.0.0.1/{one})")
        assert it.ask("orders") == (200, f"orders on {two}: GET / (/svc/orders => /$/inet/localhost/{two})")
        assert it.ask("nobody")[0] == 502


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


def _timed(it: Driven, host: str) -> tuple[int, float]:
    began = time.monotonic()
    status, _ = it.ask(host)
    return status, time.monotonic() - began


def _sum(metrics: str, name: str) -> float:
    return sum(float(line.rpartition(" ")[2]) for line in metrics.splitlines() if line.startswith(f"{name}{{"))
