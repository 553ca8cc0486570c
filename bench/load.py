"""What is asked of a proxy, and the two load generators that ask: wrk at full speed, h2load at a steady rate.

wrk is a closed loop: each connection sends its next request when it has the reply, so the latency it shows is
that of a proxy at its limit. h2load sends on a schedule, which is how latency is met in life; it too waits
for the reply before the next request of the same connection.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.peers import CHUNKED_BODY, KIB_BODY, LARGE_BODY, SMALL_BODY, on_path
from bench.processes import BenchError, running

HOST = "web"

# What an ordinary client of a service sends besides Host.
HEADERS: Mapping[str, str] = {
    "User-Agent": "shop-frontend/4.12.1 (linux; x86_64) http-client/2.8",
    "Accept": "application/json, text/plain;q=0.9, */*;q=0.8",
    "Accept-Encoding": "gzip, deflate, br",
    "Accept-Language": "en-GB,en;q=0.8",
    "Cache-Control": "no-cache",
    "Referer": "http://shop.example/basket/items",
    "Cookie": "session=5f0c2b7e9a4d41c8; theme=light",
    "X-Forwarded-For": "192.0.2.17",
}

SPARE_SECONDS = 10.0  # what a load generator may take beyond the time it was asked for


@dataclass(frozen=True, slots=True)
class Workload:
    """One kind of load: *path* on the backend, the size of its reply, and what is sent beside HEADERS.

    *rate* is in requests/s over all connections; None is full speed. *posts* is the size of the body that each
    request has; 0 is a GET. When *varied*, no two requests are alike: each has a path and a cookie of its own.
    """

    path: str
    body_bytes: int
    connections: int = 32
    rate: int | None = None
    extra_headers: tuple[tuple[str, str], ...] = ()
    posts: int = 0
    varied: bool = False


WORKLOADS: Mapping[str, Workload] = {
    "small": Workload("/small", SMALL_BODY),
    "varied": Workload("/small", SMALL_BODY, varied=True),
    "body1k": Workload("/body1k", KIB_BODY),
    "body64k": Workload("/body64k", LARGE_BODY),
    "chunked": Workload("/chunked", CHUNKED_BODY),
    "upload1k": Workload("/upload", SMALL_BODY, posts=KIB_BODY),
    "upload64k": Workload("/upload", SMALL_BODY, posts=LARGE_BODY),
    "newconn": Workload("/small", SMALL_BODY, extra_headers=(("Connection", "close"),)),
    "rate1000": Workload("/small", SMALL_BODY, connections=10, rate=1000),
}


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What a load generator saw; *errors* are broken connections, timeouts and replies of 400 and above."""

    requests: int
    seconds: float
    errors: int
    p50_ms: float
    p99_ms: float
    p999_ms: float


def generator(workload: Workload) -> str:
    """The program that makes this load, as an absolute path; raises BenchError when it is not installed."""
    program, package = ("wrk", "wrk") if workload.rate is None else ("h2load", "nghttp2-client")
    found = on_path(program)
    if found is None:
        raise BenchError(f"{program}: not here: apt-get install {package}")
    return found[0]


def run(workload: Workload, port: int, seconds: int, *, core: int, directory: Path) -> LoadResult:
    """Load 127.0.0.1:*port* for *seconds*.

    Raises BenchError when the generator fails, does not end, or got no reply at all.
    """
    program = generator(workload)
    if workload.rate is None:
        result = parse_wrk(_output(wrk_command(program, workload, port, seconds), seconds, core, directory))
    else:
        log = directory / "h2load.log"
        log.unlink(missing_ok=True)  # h2load appends
        output = _output(h2load_command(program, workload, port, seconds, log), seconds, core, directory)
        result = parse_h2load(output, log.read_text())
    if result.requests == 0:
        raise BenchError(f"no request to port {port} was answered")
    return result


def wrk_command(program: str, workload: Workload, port: int, seconds: int) -> tuple[str, ...]:
    """wrk on one thread, with the script that prints its figures."""
    return (
        *(program, "-t", "1", "-c", str(workload.connections), "-d", f"{seconds}s", "--timeout", "5s"),
        *("-s", str(Path(__file__).with_name("wrk_report.lua"))),
        *_header_options("Host", workload),
        f"http://127.0.0.1:{port}{workload.path}",
        *("--", str(workload.posts), "varied" if workload.varied else "alike"),
    )


def h2load_command(program: str, workload: Workload, port: int, seconds: int, log: Path) -> tuple[str, ...]:
    """h2load with HTTP/1.1 at the workload's rate, which it wants per connection."""
    assert workload.rate is not None
    assert not workload.posts
    assert not workload.varied
    return (
        *(program, "--h1", "-t", "1", "-c", str(workload.connections), "-D", str(seconds)),
        *("--rps", f"{workload.rate / workload.connections:g}", "--log-file", str(log)),
        *_header_options(":authority", workload),  # a Host option would be sent beside its own
        f"http://127.0.0.1:{port}{workload.path}",
    )


def parse_wrk(output: str) -> LoadResult:
    """Read the line that wrk_report.lua prints; raises BenchError when it is not there."""
    lines = [line for line in output.splitlines() if line.startswith("{")]
    if len(lines) != 1:
        raise BenchError(f"wrk printed no figures:\n{output}")
    return LoadResult(**json.loads(lines[0]))


def parse_h2load(output: str, log: str) -> LoadResult:
    """Read h2load's summary, and the latencies from its log (start in us, status, duration in us; tabs)."""
    finished = re.search(r"^finished in ([\d.]+)(s|ms)", output, re.MULTILINE)
    counts = re.search(r"^requests: (\d+) total.* (\d+) succeeded", output, re.MULTILINE)
    latencies = sorted(int(line.split("\t")[2]) / 1e3 for line in log.splitlines())
    if finished is None or counts is None or not latencies:
        raise BenchError(f"h2load printed no figures:\n{output}")
    total, succeeded = int(counts[1]), int(counts[2])
    return LoadResult(
        requests=total,
        seconds=float(finished[1]) * (1e-3 if finished[2] == "ms" else 1.0),
        errors=total - succeeded,
        p50_ms=percentile(latencies, 50),
        p99_ms=percentile(latencies, 99),
        p999_ms=percentile(latencies, 99.9),
    )


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The smallest value that *percent* of the *ordered* values do not exceed (nearest rank)."""
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def _header_options(host_option: str, workload: Workload) -> list[str]:
    headers = [(host_option, HOST), *HEADERS.items(), *workload.extra_headers]
    return [word for name, value in headers for word in ("-H", f"{name}: {value}")]


def _output(command: Sequence[str], seconds: int, core: int, directory: Path) -> str:
    name = Path(command[0]).name
    with running(name, command, core=core, log=directory / f"{name}.out") as process:
        if (code := process.wait(seconds + SPARE_SECONDS)) != 0:
            raise process.failed(f"ended with {code}")
        return process.output()
