"""The tables of the experiments. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from bench.resilience.figures import LATE, Figures
from bench.resilience.scenario import Scenario
from bench.results import markdown

PUBLISHED: Mapping[str, str] = {
    "first": "Published: round robin 95 %, least loaded 99 %, peak EWMA 99.9 %.",
    "second": "Published: round robin 88.08 % at 109/s, p50 86 ms, p95 1739 ms, p99 2100 ms; "
    "linkerd 100 % at 316/s, p50 42 ms, p95 604 ms, p99 734 ms.",
}
SECONDS_SHOWN = 5

Results = Mapping[str, Figures]


def report(scenario: Scenario, results: Results, what: Mapping[str, str]) -> str:
    """What an experiment showed of each proxy, by name; *what* says how each was configured."""
    lines = _share_lines(results) if scenario.name == "share" else _lines(scenario, results)
    late = [name for name, it in results.items() if it.too_late]
    warning = f"The load was late, so these say little: {', '.join(late)}" if late else ""
    configured = "\n".join(f"{name}: {what[name]}" for name in results)
    parts = [
        f"{scenario.title}\n{how(scenario)}",
        markdown(lines),
        configured,
        PUBLISHED.get(scenario.name, ""),
        warning,
    ]
    return "\n\n".join(part for part in parts if part)


def how(scenario: Scenario) -> str:
    """How the load was made, in one line."""
    kind = "callers independent of each other (Poisson)"
    if scenario.workers is not None:
        kind = f"{scenario.workers} workers that wait for their answers"
    connections = "connections kept" if scenario.keep_alive else "a connection each"
    warm_up = f"after {scenario.warm_up:g} s that are not counted" if scenario.warm_up else "from a cold start"
    return f"{scenario.rate:g} requests/s by {kind}, {connections}, {scenario.seconds:g} s {warm_up}"


def _lines(scenario: Scenario, results: Results) -> list[list[str]]:
    slow = scenario.slowness is not None
    head = ["", "success %", "requests/s", "p50 ms", "p95 ms", "p99 ms", "p99.9 ms", "added load %"]
    lines = [[*head, *(["the slow one got"] if slow else []), "failed with", "late p99.9 ms"]]
    for name, it in results.items():
        latencies = (f"{value:.0f}" for value in (it.p50_ms, it.p95_ms, it.p99_ms, it.p999_ms))
        hits = [f"{it.slow_hits:,}"] if slow else []
        start = [name, f"{it.success_percent:.3f}", f"{it.rate:.0f}", *latencies, f"{it.added_percent:.2f}"]
        lines.append([*start, *hits, _failures(it), _late(it)])
    return lines


def _share_lines(results: Results) -> list[list[str]]:
    seconds = max(min(len(it.share.after), SECONDS_SHOWN) for it in results.values() if it.share)
    after = [f"second {number}" for number in range(1, seconds + 1)]
    lines = [
        ["share of the slow one, %", "before", *after, "down by 80 % after s", "success %", "p99 ms", "late p99.9 ms"]
    ]
    for name, it in results.items():
        assert it.share is not None
        shares = (f"{100 * value:.2f}" for value in (it.share.before, *it.share.after[:seconds]))
        fell = "never" if it.share.fell_after_s is None else f"{it.share.fell_after_s:.2f}"
        lines.append([name, *shares, fell, f"{it.success_percent:.3f}", f"{it.p99_ms:.0f}", _late(it)])
    return lines


def _failures(it: Figures) -> str:
    failed = {what: count for what, count in it.outcomes.items() if not what.startswith("2")}
    return ", ".join(f"{what}: {count:,}" for what, count in failed.items()) or "-"


def _late(it: Figures) -> str:
    return f"{it.late_p999_ms:.1f}" + (f" (over {LATE * 1000:.0f}!)" if it.too_late else "")
