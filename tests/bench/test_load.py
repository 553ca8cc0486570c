"""What the load generators are asked, and what is read from their output."""

import os
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bench.load import (
    HEADERS,
    WORKLOADS,
    LoadResult,
    h2load_command,
    parse_h2load,
    parse_wrk,
    percentile,
    run,
    wrk_command,
)
from bench.peers import on_path
from bench.processes import BenchError

WRK = """\
Running 2s test @ http://127.0.0.1:18080/small
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   107.46us   56.49us   1.96ms   83.60%
    Req/Sec   170.48k     2.32k  173.48k    71.43%
  355971 requests in 2.10s, 57.71MB read
Requests/sec: 169574.60
Transfer/sec:     27.49MB
{"requests": 355971, "seconds": 2.099200, "errors": 0, "p50_ms": 0.091, "p99_ms": 0.206, "p999_ms": 0.982}
"""

H2LOAD = """\
Stopped all clients for thread #0

finished in 3.00s, 1000.00 req/s, 166.02KB/s
requests: 3000 total, 3001 started, 3000 done, 2998 succeeded, 2 failed, 0 errored, 0 timeout
status codes: 2998 2xx, 0 3xx, 0 4xx, 2 5xx
traffic: 498.05KB (510000) total, 319.34KB (327000) headers (space savings 0.00%), 64.45KB (66000) data
"""


def test_wrk_is_read_from_the_line_of_its_script() -> None:
    assert parse_wrk(WRK) == LoadResult(
        requests=355971, seconds=2.0992, errors=0, p50_ms=0.091, p99_ms=0.206, p999_ms=0.982
    )


@pytest.mark.parametrize(
    "output",
    [pytest.param("", id="nothing"), pytest.param(WRK.rpartition("{")[0], id="no line of the script")],
)
def test_wrk_without_figures_is_an_error(output: str) -> None:
    with pytest.raises(BenchError, match="wrk printed no figures"):
        parse_wrk(output)


def test_h2load_counts_come_from_its_summary_and_latencies_from_its_log() -> None:
    log = "".join(f"{1_700_000_000_000_000 + i}\t200\t{i}\n" for i in range(1000, 0, -1))
    assert parse_h2load(H2LOAD, log) == LoadResult(
        requests=3000, seconds=3.0, errors=2, p50_ms=0.5, p99_ms=0.99, p999_ms=0.999
    )


def test_h2load_that_ends_early_counts_milliseconds() -> None:
    assert parse_h2load(H2LOAD.replace("3.00s", "250.50ms"), "1\t200\t7\n").seconds == pytest.approx(0.2505)


@pytest.mark.parametrize(
    ("output", "log"),
    [
        pytest.param("", "1\t200\t7\n", id="no summary"),
        pytest.param(H2LOAD, "", id="no log"),
    ],
)
def test_h2load_without_figures_is_an_error(output: str, log: str) -> None:
    with pytest.raises(BenchError, match="h2load printed no figures"):
        parse_h2load(output, log)


@pytest.mark.parametrize(
    ("count", "percent", "expected"),
    [
        pytest.param(1, 99.9, 1, id="one value is every percentile"),
        pytest.param(10, 50, 5, id="half"),
        pytest.param(10, 99, 10, id="rounds up to a value that was seen"),
        pytest.param(1000, 99.9, 999, id="one in a thousand is above"),
        pytest.param(10, 0, 1, id="the lowest"),
    ],
)
def test_percentile_by_nearest_rank(count: int, percent: float, expected: int) -> None:
    assert percentile(range(1, count + 1), percent) == expected


def test_a_request_looks_like_one_of_an_ordinary_client() -> None:
    size = sum(len(f"{name}: {value}\r\n") for name, value in HEADERS.items())
    assert len(HEADERS) == 8
    assert 250 <= size <= 400


def test_wrk_command() -> None:
    command = wrk_command("/usr/bin/wrk", WORKLOADS["newconn"], port=4140, seconds=5)

    assert command[:1] == ("/usr/bin/wrk",)
    assert command[-4:] == ("http://127.0.0.1:4140/small", "--", "0", "alike")
    assert "Host: web" in command
    assert "Connection: close" in command
    assert all(f"{name}: {value}" in command for name, value in HEADERS.items())
    assert Path(command[command.index("-s") + 1]).is_file()
    assert command[command.index("-c") + 1] == "32"
    assert command[command.index("-d") + 1] == "5s"


@pytest.mark.parametrize(
    ("workload", "words"),
    [
        pytest.param("varied", ("0", "varied"), id="no two requests are alike"),
        pytest.param("upload64k", ("65536", "alike"), id="each has a body"),
    ],
)
def test_wrk_s_script_is_told_what_requests_are_like(workload: str, words: tuple[str, str]) -> None:
    assert wrk_command("/usr/bin/wrk", WORKLOADS[workload], port=4140, seconds=5)[-2:] == words


@pytest.mark.e2e
@pytest.mark.skipif(on_path("wrk") is None, reason="needs wrk: apt-get install wrk")
def test_no_two_requests_are_alike_when_they_are_varied(tmp_path: Path) -> None:
    seen: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            seen.append((self.path, self.headers["Cookie"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        workload = replace(WORKLOADS["varied"], connections=2)
        run(workload, server.server_port, 1, core=min(os.sched_getaffinity(0)), directory=tmp_path)
        server.shutdown()

    paths, cookies = {path for path, _ in seen}, {cookie for _, cookie in seen}
    assert len(seen) == len(paths) == len(cookies) > 1
    assert all(path.startswith("/small/") for path in paths)
    assert all(cookie.startswith("session=") for cookie in cookies)


def test_h2load_command_divides_the_rate_among_the_connections() -> None:
    command = h2load_command("/usr/bin/h2load", WORKLOADS["rate1000"], 4140, 5, Path("/tmp/log"))

    assert "--h1" in command
    assert command[command.index("--rps") + 1] == "100"
    assert command[command.index("-c") + 1] == "10"
    assert command[command.index("-D") + 1] == "5"
    assert command[command.index("--log-file") + 1] == "/tmp/log"
    assert ":authority: web" in command
    assert command[-1] == "http://127.0.0.1:4140/small"
