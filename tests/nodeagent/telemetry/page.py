"""Writes docs/metrics.md from what is counted: `python -m tests.nodeagent.telemetry.page > docs/metrics.md`."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import ProcessCollector

from nodeagent.telemetry.measures import SUBJECTS
from nodeagent.telemetry.measures.measure import Kind, Shown
from nodeagent.telemetry.prometheus import BOUNDS
from nodeagent.telemetry.registry import Registry
from nodeagent.workers.processes import WorkerMetrics, WorkerNumbers

INTRODUCTION = f"""# Metrics

Every metric of `/metrics`, with its labels; written by `python -m tests.nodeagent.telemetry.page > docs/metrics.md`.
[observability.md](observability.md#metrics) says how to use them.

| label | values |
|---|---|
| `router` | the `label` of a router |
| `server` | a listener: `127.0.0.1:4140`, `unix:/run/nodeagent/http.sock` |
| `service` | a logical name, such as `/svc/users`; `other` for those without series of their own |
| `client` | a concrete name, such as `/#/io.l5d.fs/users`; `other` as above |
| `namer` | the prefix of a namer |
| `classification` | `success` or `failure`, by the response classifier |
| `status_class` | `1XX` to `5XX`; `error` for requests that got no response |

Histograms have buckets up to {", ".join(f"{bound:g}" for bound in BOUNDS)} seconds and beyond.
"""


def page() -> str:
    """The whole page."""
    return INTRODUCTION + "".join(f"\n## {title}\n\n{''.join(rows)}" for title, rows in _tables())


def _tables() -> Iterator[tuple[str, list[str]]]:
    shown = Shown.of(Registry())
    for subject in SUBJECTS:
        assert subject.__doc__ is not None
        title = subject.__doc__.split("\n")[0].removesuffix(".")
        yield title, [_HEAD, *(_row(*each[:4]) for each in subject.measures(shown))]
    rows = [_row("gauge", "build_info", "Version of the running agent; always 1.", ("version",))]
    for metric in ProcessCollector(registry=None).collect():
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        rows.append(f"| `{name}` | {metric.type} | | {metric.documentation} |\n")
    yield "The process; with workers, all of them together", [_HEAD, *rows]
    workers = WorkerMetrics([WorkerNumbers(answers=True, deaths=0, requests=0, connections=0)]).collect()
    found = [(each.name.removeprefix("nodeagent_"), each.type, each.documentation) for each in workers]
    yield "Workers, if there are several", [_HEAD, *(_row(kind, name, text, ("worker",)) for name, kind, text in found)]


_HEAD = "| metric | type | labels | |\n|---|---|---|---|\n"


def _row(kind: Kind | str, name: str, text: str, labels: tuple[str, ...]) -> str:
    suffix = "_total" if kind == "counter" else ""
    shown = ", ".join(f"`{label}`" for label in labels)
    return f"| `nodeagent_{name}{suffix}` | {kind} | {shown} | {text} |\n".replace("|  |", "| |")


if __name__ == "__main__":
    print(page(), end="")
