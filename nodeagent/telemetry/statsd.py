"""What is counted as lines of StatsD's protocol, and lines as packets. Pure.

The names are those of linkerd 1.x, as its io.l5d.statsd writes them. Each round tells what was counted since the last
one: sums for counters (linkerd sends a sample of the increments), the latest value for gauges. A latency is told by the
bucket of the histogram that it fell into, within 5 %; where not all of a bucket are sent, those that are say by their
sample rate (`|@0.1`) for how many they stand, so that the weights add up to what was counted.

https://github.com/statsd/statsd/blob/master/docs/metric_types.md
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from math import ceil
from typing import Final

from nodeagent.telemetry.histogram import Snapshot
from nodeagent.telemetry.linkerd_names import Counter, Gauge, Metric, Stat

PACKET: Final = 1432
"""Bytes that fit into one Ethernet frame beside the headers of IP and UDP, as StatsD's documents advise."""

MOST: Final = 100
"""Lines for one bucket of one round: beyond, each stands for more."""

_FOREIGN: Final = re.compile("[^/A-Za-z0-9]")


class Lines:
    """Tells what is new, round by round."""

    def __init__(self, prefix: str, sample_rate: float) -> None:
        """`prefix` stands before each name, with a dot, unless it is empty."""
        self._prefix = f"{prefix}." if prefix else ""
        self._rate = sample_rate
        self._before: dict[tuple[str, ...], int | Snapshot] = {}
        self._now: dict[tuple[str, ...], int | Snapshot] = {}

    def of(self, metric: Metric) -> Iterator[str]:
        """What a metric has to say this round; to be asked once for each."""
        name = self._prefix + key(metric.path)
        match metric.value:
            case Gauge(value):
                yield f"{name}:{_number(value)}|g"
            case Counter(count):
                self._now[metric.path] = count
                if news := _counted(count, self._before.get(metric.path)):
                    yield f"{name}:{news}|c"
            case Stat() as stat:
                yield from self._observed(name, metric.path, stat)

    def next_round(self) -> None:
        """End a round. What was not asked for in it is forgotten."""
        self._before, self._now = self._now, {}

    def _observed(self, name: str, path: tuple[str, ...], stat: Stat) -> Iterator[str]:
        now = self._now[path] = stat.observed.snapshot()
        before = self._before.get(path)
        news = now - before if isinstance(before, Snapshot) else now
        if any(count < 0 for count in news.counts):  # begun anew
            news = now
        for value, count in zip(news.scale.values, news.counts, strict=True):
            if count:
                sent = min(ceil(count * self._rate), MOST)
                weight = "" if sent == count else f"|@{sent / count:.6g}"
                yield from [f"{name}:{_number(value * stat.factor)}|ms{weight}"] * sent


def key(path: Iterable[str]) -> str:
    """Return the name of a metric: `rt.out.service.svc.web.requests`.

    Whatever else than a letter or a digit becomes `_`, so that a name that a caller has invented ends no line.
    """
    return _FOREIGN.sub("_", "/".join(path)).replace("//", "/").replace("/", ".")


def packets(lines: Iterable[str], size: int = PACKET) -> Iterator[bytes]:
    """Put as many lines into each packet as it may have bytes. A line that is longer than that is left out."""
    held: list[bytes] = []
    room = size
    for line in lines:
        data = line.encode("ascii")
        if len(data) > size:
            continue
        if len(data) > room:
            yield b"\n".join(held)
            held, room = [], size
        held.append(data)
        room -= len(data) + 1
    if held:
        yield b"\n".join(held)


def _counted(now: int, before: int | Snapshot | None) -> int:
    if not isinstance(before, int) or now < before:  # new, or begun anew
        return now
    return now - before


def _number(value: float) -> str:
    rounded = round(value, 3)
    return str(int(rounded)) if rounded == int(rounded) else str(rounded)
