"""What it costs a request that it can be asked about afterwards: `python -m bench.records`.

The parts of it are timed one by one, each as the least of many short runs; beside them the observation of a histogram,
which a request has two of in any case, and a checkpoint of trio, so that machines can be compared. Microseconds of one
core.
"""

from __future__ import annotations

import timeit
from collections.abc import Callable
from math import inf
from random import Random
from time import perf_counter

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
from nodeagent.telemetry.trace import request_id_line, root_lines, sample_threshold

LOOPS, RUNS = 1000, 1000

_SUCCESS = ResponseClass.SUCCESS


class _Bound:
    """As much of a bound service as a record asks for."""

    label = "/svc/users"
    derivation = None
    budget = RetryBudget(10.0, 10, 0.2)


def least(**runs: Callable[[], object]) -> dict[str, float]:
    """Return the least time of one call of each, in microseconds, without that of calling nothing.

    They take turns, so that what else the machine does meanwhile falls on all alike.
    """
    spent = dict.fromkeys((*runs, "nothing"), inf)
    for _ in range(RUNS):
        for name, run in (*runs.items(), ("nothing", _nothing)):
            spent[name] = min(spent[name], timeit.timeit(run, number=LOOPS))
    return {name: (spent[name] - spent["nothing"]) / LOOPS * 1e6 for name in runs}


def _nothing() -> None: ...


async def least_of_checkpoints() -> float:
    """Return the least time of `trio.lowlevel.checkpoint()`, in microseconds."""
    spent = inf
    for _ in range(RUNS // 10):
        began = perf_counter()
        for _ in range(LOOPS):
            await trio.lowlevel.checkpoint()
        spent = min(spent, perf_counter() - began)
    return spent / LOOPS * 1e6


async def main() -> None:
    """Print the table."""
    exchanges, recent, now = Exchanges(), Recent(4096), trio.current_time()
    exchanges.keep(recent.record)
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
        outcome = now, now, 200, _SUCCESS, None, False, 0
        request.attempts += (tuple.__new__(Attempt, choice + outcome),)

    def record() -> None:
        records.settle(request, 200, 0, 130, True, _SUCCESS)

    def answer() -> bytes:
        return request_id_line(request.trace)

    attempt()
    histogram = Histogram()
    spent = least(attempt=attempt, record=record, answer=answer, observation=lambda: histogram.observe(0.01))
    parts = {"the attempt": "attempt", "the record, and keeping it": "record", "its id": "answer"}
    for name, part in parts.items():
        print(f"{name:28} {spent[part]:5.2f} us")
    print(f"{'all':28} {sum(spent[part] for part in parts.values()):5.2f} us")
    print(f"{'(an observation)':28} {spent['observation']:5.2f} us")
    print(f"{'(a checkpoint)':28} {await least_of_checkpoints():5.2f} us")


if __name__ == "__main__":
    trio.run(main)
