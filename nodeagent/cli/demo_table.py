"""The demo's figures: what two readings of the agent's counters say, as rows, and the rows as text. Pure.

Requests per second are those of the last second, and retries all there were. The rest is over the last WINDOW seconds,
for what happens in one is too little to speak of a p99.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nodeagent.telemetry.histogram import Snapshot

if TYPE_CHECKING:
    from rich.table import Table

WINDOW = 10
"""Readings that figures are averaged over, one a second."""


@dataclass(frozen=True, slots=True)
class EndpointReading:
    """One endpoint: requests it answered so far, and its health and load (milliseconds) as the balancer sees them."""

    port: int
    answered: int
    state: str
    load: float


@dataclass(frozen=True, slots=True)
class ServiceReading:
    """One service: what was counted so far."""

    success: int
    failure: int
    retries: int
    latency: Snapshot
    endpoints: tuple[EndpointReading, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything at one moment, in seconds."""

    at: float
    services: Mapping[str, ServiceReading]


@dataclass(frozen=True, slots=True)
class EndpointRow:
    """One endpoint; `share` of its service's attempts, load in milliseconds."""

    port: int
    share: float
    state: str
    load: float


@dataclass(frozen=True, slots=True)
class ServiceRow:
    """One service; requests per second, latencies in milliseconds, `success` a fraction, retries so far."""

    name: str
    requests: float
    success: float
    p50: float
    p99: float
    retries: int
    endpoints: tuple[EndpointRow, ...]


class Window:
    """The last readings."""

    def __init__(self) -> None:
        self._readings: deque[Reading] = deque(maxlen=WINDOW + 1)

    def add(self, reading: Reading) -> tuple[ServiceRow, ...]:
        """Take the next reading and return what there is to show; nothing at the first."""
        self._readings.append(reading)
        if len(self._readings) == 1:
            return ()
        return rows(self._readings[0], self._readings[-2], reading)


def rows(oldest: Reading, last: Reading, now: Reading) -> tuple[ServiceRow, ...]:
    """Return what happened: rates since `last`, the rest since `oldest`."""
    seconds = now.at - last.at
    return tuple(
        _row(name, oldest.services[name], last.services[name], service, seconds)
        for name, service in now.services.items()
    )


def _row(name: str, oldest: ServiceReading, last: ServiceReading, now: ServiceReading, seconds: float) -> ServiceRow:
    done = now.success + now.failure
    succeeded, ended = now.success - oldest.success, done - oldest.success - oldest.failure
    latency = now.latency - oldest.latency
    return ServiceRow(
        name,
        requests=(done - last.success - last.failure) / seconds,
        success=succeeded / ended if ended else 1.0,
        p50=latency.percentile(0.5) * 1000,
        p99=latency.percentile(0.99) * 1000,
        retries=now.retries,
        endpoints=_endpoint_rows(oldest.endpoints, now.endpoints),
    )


def _endpoint_rows(oldest: Sequence[EndpointReading], now: Sequence[EndpointReading]) -> tuple[EndpointRow, ...]:
    before = {each.port: each.answered for each in oldest}
    answered = [each.answered - before.get(each.port, 0) for each in now]
    total = sum(answered) or 1
    return tuple(
        EndpointRow(each.port, count / total, each.state, each.load) for each, count in zip(now, answered, strict=True)
    )


def line(at: float, shown: Sequence[ServiceRow]) -> str:
    """The services on one line, for a log."""
    return f"{at:4.0f} s" + "".join(
        f" | {row.name} {row.requests:.0f}/s {row.success:.1%} p50 {row.p50:.0f} ms p99 {row.p99:.0f} ms"
        f" retries {row.retries}"
        for row in shown
    )


def table(shown: Sequence[ServiceRow]) -> Table:
    """The services and their endpoints, for a terminal of 80 columns."""
    from rich.table import Table

    drawn = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    for heading in ("service", "req/s", "success", "p50", "p99", "retries", "instance", "share", "state", "load"):
        drawn.add_column(heading, justify="left" if heading in ("service", "state") else "right", no_wrap=True)
    for row in shown:
        figures = (f"{row.requests:.0f}", f"{row.success:.1%}", f"{row.p50:.0f} ms", f"{row.p99:.0f} ms")
        drawn.add_row(f"[bold]{row.name}[/]", *figures, str(row.retries))
        for each in row.endpoints:
            state = f"[{'green' if each.state == 'alive' else 'red'}]{each.state}[/]"
            drawn.add_row(*[""] * 6, f":{each.port}", f"{each.share:.0%}", state, f"{each.load:.0f} ms")
    return drawn
