"""The measurement of mutual TLS: what each side is told, and what is made of the figures."""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

import conf
from bench.peers import Site
from bench.processes import BenchError
from bench.tls import (
    CASES,
    NAME,
    Case,
    agent_text,
    backend_text,
    envoy_text,
    front_text,
    requests_so_far,
    table,
    write_certificates,
)
from tls.contexts import make_side
from tls.params import ContextParams, OwnCertificate, ServerParams

SITE = Site(Path("/tmp/site"), 14140, 19990, (18081, 18082))


@pytest.mark.parametrize("name", CASES)
def test_both_have_tls_where_a_case_has_it_and_nowhere_else(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    config = conf.load(agent_text(case, tmp_path, SITE)["agent.yaml"], "bench")
    (router,) = config.routers
    envoy = json.loads(envoy_text(case, tmp_path, SITE)["envoy.json"])["static_resources"]

    assert (router.servers[0].tls is not None) == case.server
    assert ("transport_socket" in envoy["listeners"][0]["filter_chains"][0]) == case.server
    assert (NAME in agent_text(case, tmp_path, SITE)["agent.yaml"]) == case.client
    assert ("transport_socket" in envoy["clusters"][0]) == case.client
    assert (" ssl;" in backend_text(case, tmp_path, SITE)["nginx.conf"]) == case.client


def test_the_certificates_are_good_for_both_sides(tmp_path: Path) -> None:
    write_certificates(tmp_path)
    own = OwnCertificate(f"{tmp_path}/cert.pem", f"{tmp_path}/key.pem")
    trust = (f"{tmp_path}/bundle.pem",)

    make_side(ServerParams(own, "required", trust), datetime.now(UTC))
    make_side(ContextParams(trust=trust, certificate=own), datetime.now(UTC))


def test_what_nginx_puts_into_tls_is_one_suite_and_no_session_taken_up(tmp_path: Path) -> None:
    for text in (front_text(tmp_path, 1, SITE), backend_text(Case(client=True), tmp_path, SITE)):
        assert "Ciphersuites TLS_AES_128_GCM_SHA256;" in text["nginx.conf"]
    assert "proxy_ssl_session_reuse off;" in front_text(tmp_path, 1, SITE)["nginx.conf"]
    assert "ssl_session_tickets off;" in backend_text(Case(client=True), tmp_path, SITE)["nginx.conf"]


def test_a_handshake_is_what_tls_adds_in_the_same_round() -> None:
    def samples(agent: list[float], envoy: list[float]) -> dict[str, list[dict[str, float]]]:
        return {"agent": [{"cpu_us": each} for each in agent], "envoy-full": [{"cpu_us": each} for each in envoy]}

    shown = table(
        {
            "connection, plain from callers": samples([200, 300], [100, 100]),
            "connection, TLS from callers": samples([1200, 1500], [600, 900]),
        }
    )
    line = next(line for line in shown.splitlines() if "a handshake, of callers" in line)

    assert [cell.strip() for cell in line.strip("|").split("|")] == [
        "a handshake, of callers",
        "1,100.0 (1,000.0..1,200.0)",
        "650.0 (500.0..800.0)",
        "1.75 (1.50..2.00)",
    ]


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        (
            b"Active connections: 3 \nserver accepts handled requests\n 7 7 4021 \nReading: 0 Writing: 1 Waiting: 2 \n",
            4021,
        ),
        (b"<html>404</html>", None),
    ],
)
def test_what_is_counted_is_what_nginx_says_that_endpoints_got(page: bytes, expected: int | None) -> None:
    def answer(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(page), page))

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as background:
        background.submit(answer, listener)
        port = listener.getsockname()[1]
        if expected is not None:
            assert requests_so_far(port) == expected
        else:
            with pytest.raises(BenchError, match="no count of requests"):
                requests_so_far(port)


def test_an_nginx_that_is_gone_is_an_error_that_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(BenchError, match="does not tell"):
        requests_so_far(port)
