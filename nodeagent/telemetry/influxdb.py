"""`/admin/metrics/influxdb` of linkerd 1.x: everything in InfluxDB's line protocol, for Telegraf to read. Pure.

One line for each listener, name and scope: `rt:service,host=h,rt=out,service=/svc/web requests=3,success=3`. A field is
the last part of a metric's name; of a distribution there is one for each percentile of the last minute.

https://docs.influxdata.com/influxdb/v1/write_protocols/line_protocol_reference/
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, TypeAlias

from nodeagent.telemetry.linkerd_metrics import summary
from nodeagent.telemetry.linkerd_names import Counter, Gauge, Metric, metrics
from nodeagent.telemetry.registry import Registry

Tags: TypeAlias = "tuple[tuple[str, str], ...]"

_LABELLED: Final = ("service", "client", "server")
_FOREIGN: Final = re.compile("[^A-Za-z0-9_]")
_SPECIAL: Final = re.compile(r"[,= ]")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\\]")
_RENAMED: Final = {"p9990": "p999"}
"""What linkerd calls a percentile here, and not in metrics.json."""


def render(registry: Registry, host: str) -> str:
    """The page; `host` is what the reader called this agent, which tells it from others."""
    lines: dict[tuple[str, Tags], list[str]] = {}
    for metric in metrics(registry):
        name, tags = _place(metric.path[:-1])
        fields = lines.setdefault((name, (*tags, ("host", host or "none"))), [])
        fields += _fields(_FOREIGN.sub("_", metric.path[-1]), metric)
    return "".join(
        f"{name},{','.join(f'{tag}={_escaped(value)}' for tag, value in sorted(tags))} {','.join(fields)}\n"
        for (name, tags), fields in lines.items()
        if fields
    )


def _place(scopes: tuple[str, ...]) -> tuple[str, Tags]:
    """The name of a measurement, and what in its scopes is a value of a tag."""
    if scopes[:1] == ("namer",):
        return "namer", (("namer", f"/{scopes[1]}"),)
    tags: Tags = (("rt", scopes[1]),)
    names, rest = ["rt"], scopes[2:]
    if rest and rest[0] in _LABELLED:
        shown = rest[1] if rest[0] == "server" else f"/{rest[1]}"
        tags, names, rest = (*tags, (rest[0], shown)), [*names, rest[0]], rest[2:]
    return ":".join((*names, *(_FOREIGN.sub("_", scope) for scope in rest))), tags


def _fields(name: str, metric: Metric) -> Iterator[str]:
    match metric.value:
        case Counter(number) | Gauge(number):
            yield f"{name}={number}"
        case stat:
            found = summary(stat)
            if found["count"]:
                yield from (f"{name}_{_RENAMED.get(field, field)}={value}" for field, value in found.items())


def _escaped(value: str) -> str:
    """A tag's value. It has no control characters, for the protocol has no way to write them."""
    return _SPECIAL.sub(lambda found: "\\" + found[0], _CONTROL.sub("_", value))
