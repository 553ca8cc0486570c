"""What it costs a request that it can be asked about afterwards: `python -m bench.records`.

The parts of it are timed one by one, each as the least of many short runs; beside them the observation of a histogram,
which a request has two of in any case, so that machines can be compared. Microseconds of one core.
"""

from __future__ import annotations

import timeit
from collections.abc import Callable
from random import Random

import trio

from balancer.accrual import Health
from balancer.budget import RetryBudget
from balancer.response_class import ResponseClass
from namer.addr import Endpoint
from namer.path import Path
from nodeagent.proxy.messages import Request, RequestHead
from nodeagent.proxy.records import Records
from nodeagent.telemetry.exchange import Attempt, Exchanges
from nodeagent.telemetry.histogram import Histogram
from nodeagent.telemetry.recent import Recent
from nodeagent.telemetry.trace import request_id, root_lines, sample_threshold

LOOPS, RUNS = 2000, 300

_SUCCESS = ResponseClass.SUCCESS


class _Bound:
    """As much of a bound service as a record asks for."""

    label = "/svc/users"
    derivation = None
    budget = RetryBudget(10.0, 10, 0.2)


def least(run: Callable[[], object]) -> float:
    """Return the least time of one call, in microseconds, without that of calling nothing."""
    spent, nothing = (min(timeit.repeat(each, number=LOOPS, repeat=RUNS)) for each in (run, _nothing))
    return (spent - nothing) / LOOPS * 1e6


def _nothing() -> None: ...


async def main() -> None:
    """Print the table."""
    exchanges, recent, now = Exchanges(), Recent(4096), trio.current_time()
    exchanges.watch(recent.record)
    records = Records(exchanges, "outgoing", "127.0.0.1:4140")
    head = RequestHead(b"GET", b"users", b"/profile?id=1", 11, b"", {})
    request = Request(head, b"", now, "127.0.0.1:50000")
    request.trace = root_lines(Random(7), sample_threshold(0.0))
    request.name, request.service, request.answered_at = Path.parse("/svc/users"), _Bound(), now  # type: ignore[assignment]
    id_, endpoint = Path.parse("/#/io.l5d.fs/users"), Endpoint("10.0.0.7", 8080)
    drawn = (None, 0.5, None, 0.6, None, 0.7)

    def attempt() -> None:
        choice = id_, endpoint, Health.ALIVE, 0, 3, drawn, now
        request.attempts = ()
        request.attempts += (tuple.__new__(Attempt, (*choice, now, now, 200, _SUCCESS, None, False, None)),)

    def record() -> None:
        records.settle(request, 200, received=0, sent=130, whole=True, verdict=_SUCCESS)

    def answer() -> bytes:
        return b"l5d-reqid: %b\r\n" % request_id(request.trace)

    attempt()
    parts = {"the attempt": least(attempt), "the record, and keeping it": least(record), "its id": least(answer)}
    for name, spent in parts.items():
        print(f"{name:28} {spent:5.2f} us")
    print(f"{'all':28} {sum(parts.values()):5.2f} us")
    histogram = Histogram()
    print(f"{'(an observation)':28} {least(lambda: histogram.observe(0.01)):5.2f} us")


if __name__ == "__main__":
    trio.run(main)
