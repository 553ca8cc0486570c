"""What a soak showed of the agent: samples over time, and whether they may be like that; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from bench.soak.attribution import Culprit, Ledger

MEMORY_MB = 2.0
MEMORY_PART = 0.02
SPARE = 2
"""Descriptors or tasks that may be more at the end than at the start: what comes and goes in a quiet agent, too."""
MOST_POINTS = 300


@dataclass(frozen=True, slots=True)
class Sample:
    """The agent at one moment; *at* is in seconds from the start of the load, *longest_turn* in seconds.

    *blocks* are those of Python's objects (`sys.getallocatedblocks`).
    """

    at: float
    resident: int
    descriptors: int
    tasks: int
    blocks: int
    longest_turn: float


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is asked of the agent, what was seen, and whether that is well."""

    what: str
    seen: str
    well: bool


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The rise per second, as the median of the slopes between all pairs (Theil 1950, Sen 1968).

    A few outliers, such as a moment with large answers in memory, do not move it.
    """
    step = -(-len(points) // MOST_POINTS)
    used = points[::step] if step else points
    slopes = [
        (later[1] - earlier[1]) / (later[0] - earlier[0])
        for index, earlier in enumerate(used)
        for later in used[index + 1 :]
        if later[0] > earlier[0]
    ]
    return median(slopes) if slopes else 0.0


def second_half(samples: Sequence[Sample]) -> Sequence[Sample]:
    """The samples from the middle of the time on: by then what is cached is cached."""
    if not samples:
        return samples
    middle = (samples[0].at + samples[-1].at) / 2
    return [sample for sample in samples if sample.at >= middle]


def memory(samples: Sequence[Sample]) -> Finding:
    """Whether memory is flat over the second half."""
    half = second_half(samples)
    points = [(sample.at, sample.resident / 1e6) for sample in half]
    span = half[-1].at - half[0].at if half else 0.0
    rise = slope(points) * span
    level = median(value for _, value in points) if points else 0.0
    allowed = max(MEMORY_MB, MEMORY_PART * level)
    seen = f"{rise:+.1f} MB in {span:.0f} s at {level:.1f} MB; {allowed:.1f} MB are allowed"
    return Finding("memory is flat over the second half", seen, rise <= allowed and bool(points))


def leaks(before: Sample, after: Sample) -> list[Finding]:
    """Whether no more is in use after the load than was before it."""
    return [
        _given_back("descriptor", before.descriptors, after.descriptors),
        _given_back("task", before.tasks, after.tasks),
    ]


def _given_back(what: str, before: int, after: int) -> Finding:
    return Finding(f"no {what} leaked", f"{before} before the load, {after} after it", after <= before + SPARE)


def errors(ledger: Ledger) -> Finding:
    """Whether no error was the agent's fault."""
    by = ", ".join(f"{culprit} {ledger.blamed(culprit)}" for culprit in Culprit if culprit is not Culprit.NOBODY)
    return Finding("no error was the agent's fault", by, ledger.blamed(Culprit.AGENT) == 0)


def complaints(output: str) -> Finding:
    """Whether the agent printed no traceback."""
    count = output.count("Traceback (most recent call last)")
    return Finding("no traceback in its log", str(count), count == 0)


def lines(findings: Sequence[Finding]) -> list[str]:
    """A line for each."""
    return [f"{'well  ' if each.well else 'FAILED'}  {each.what}: {each.seen}" for each in findings]
