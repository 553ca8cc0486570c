"""The arithmetic and the tables of a comparison; pure.

A figure is the median of all rounds, with the lowest and the highest beside it. A ratio is taken within a
round, where both sides met the same machine, and only then over the rounds: so a machine that drifts does not
move it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median

DIRECT = "direct"
AGENT = "agent"

Sample = Mapping[str, float]  # what one round showed of one peer, by metric key
Samples = Mapping[str, Sequence[Sample]]  # by peer; the n-th sample is from round n


@dataclass(frozen=True, slots=True)
class Metric:
    """One column: its key in a sample, its title with the unit, and the digits that mean something."""

    key: str
    title: str
    digits: int


BRIEF = ("cpu_us", "rate", "mb_s", "cpu_ms_gib", "kb_connection")

METRICS = (
    Metric("cpu_us", "CPU us/request", 1),
    Metric("rate", "requests/s", 0),
    Metric("p50_ms", "p50 ms", 2),
    Metric("p99_ms", "p99 ms", 2),
    Metric("p999_ms", "p99.9 ms", 2),
    Metric("p50_added_ms", "p50 added ms", 2),
    Metric("p99_added_ms", "p99 added ms", 2),
    Metric("idle_mb", "MB at start", 1),
    Metric("loaded_mb", "MB after load", 1),
    Metric("mb_s", "MB/s", 0),
    Metric("cpu_ms_gib", "CPU ms/GiB", 0),
    Metric("kb_connection", "KB/connection", 2),
    Metric("cpu_percent", "CPU %", 2),
    Metric("before_mb", "MB before", 1),
    Metric("after_mb", "MB after", 1),
    Metric("after_ratio", "after/before", 2),
    Metric("ready_s", "ready s", 3),
)


@dataclass(frozen=True, slots=True)
class Spread:
    """The lowest, the middle and the highest of some values."""

    min: float
    median: float
    max: float

    def show(self, digits: int) -> str:
        """`median (min..max)`, or the median alone when they show as the same."""
        low, middle, high = (f"{value:,.{digits}f}" for value in (self.min, self.median, self.max))
        return middle if low == high else f"{middle} ({low}..{high})"


def spread(values: Sequence[float]) -> Spread | None:
    """The spread of *values*, None when there are none."""
    return Spread(min(values), median(values), max(values)) if values else None


def figures(samples: Sequence[Sample], metric: Metric) -> Spread | None:
    """What the rounds of one peer showed; None when it has no such metric."""
    return spread([sample[metric.key] for sample in samples if metric.key in sample])


def ratios(samples: Sequence[Sample], against: Sequence[Sample], metric: Metric) -> Spread | None:
    """One peer over another, round by round; rounds where the other side is not above zero tell nothing."""
    return spread(
        [
            ours[metric.key] / theirs[metric.key]
            for ours, theirs in zip(samples, against, strict=True)
            if metric.key in ours and theirs.get(metric.key, 0.0) > 0.0
        ]
    )


def with_added_latency(samples: Samples) -> Samples:
    """The samples with what each proxy adds to the latency of the backend alone, met in the same round."""
    direct = samples[DIRECT]
    return {
        name: rows if name == DIRECT else [_added(row, base) for row, base in zip(rows, direct, strict=True)]
        for name, rows in samples.items()
    }


def _added(row: Sample, base: Sample) -> Sample:
    added = {f"{p}_added_ms": row[f"{p}_ms"] - base[f"{p}_ms"] for p in ("p50", "p99")}
    return {**row, **added}


def losses(samples: Samples) -> list[str]:
    """A sentence for each measurement in which requests failed: its figures compare nothing."""
    return [
        f"{name} lost {sample['errors']:.0f} requests in round {number}"
        for name, rows in samples.items()
        for number, sample in enumerate(rows, 1)
        if sample["errors"]
    ]


def figures_table(samples: Samples) -> str:
    """One row a peer, one column a metric."""
    return _table("", {name: [figures(rows, metric) for metric in METRICS] for name, rows in samples.items()}, None)


def ratio_table(samples: Samples, against: str) -> str:
    """The same with every figure divided by that of the peer *against*."""
    base = samples[against]
    rows = {
        name: [ratios(rows, base, metric) for metric in METRICS]
        for name, rows in samples.items()
        if name not in (against, DIRECT)
    }
    return _table(f"over {against}", rows, 2)


def brief(sample: Sample) -> str:
    """The figures of one measurement that tell most, in a few words."""
    return ", ".join(
        f"{sample[metric.key]:,.{metric.digits}f} {metric.title}"
        for metric in METRICS
        if metric.key in BRIEF and metric.key in sample
    )


def summary_table(
    results: Mapping[str, Samples], headlines: Mapping[str, Sequence[str]], against: Sequence[str]
) -> str:
    """What the agent showed in each workload, and how that is to each of the others: a row for each headline."""
    lines = [["workload", "figure", AGENT, *(f"over {reference}" for reference in against)]]
    for workload, samples in results.items():
        for metric in (metric for metric in METRICS if metric.key in headlines[workload]):
            ours = samples.get(AGENT, ())
            over = [_cell(ratios(ours, samples[name], metric), 2) if name in samples else "-" for name in against]
            lines.append([workload, metric.title, _cell(figures(ours, metric), metric.digits), *over])
    return markdown(lines)


def summary(samples: Samples, references: Sequence[str]) -> dict[str, object]:
    """All figures and ratios as plain values for a JSON file."""
    return {
        "samples": samples,
        "figures": {name: _plain([figures(rows, m) for m in METRICS]) for name, rows in samples.items()},
        "ratios": {
            reference: {
                name: _plain([ratios(rows, samples[reference], m) for m in METRICS]) for name, rows in samples.items()
            }
            for reference in references
        },
    }


def _plain(spreads: Sequence[Spread | None]) -> dict[str, dict[str, float]]:
    return {m.key: asdict(value) for m, value in zip(METRICS, spreads, strict=True) if value is not None}


def _table(corner: str, rows: Mapping[str, Sequence[Spread | None]], digits: int | None) -> str:
    """A table of the metrics that any row has."""
    shown = [i for i in range(len(METRICS)) if any(cells[i] is not None for cells in rows.values())]
    lines = [[corner, *(METRICS[i].title for i in shown)]]
    for name, cells in rows.items():
        lines.append([name, *(_cell(cells[i], METRICS[i].digits if digits is None else digits) for i in shown)])
    return markdown(lines)


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table in aligned columns; the first line is its head, and all are as long."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    rule = ["-" * width for width in widths]
    padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in [padded[0], rule, *padded[1:]])


def _cell(value: Spread | None, digits: int) -> str:
    return "-" if value is None else value.show(digits)
