"""What Prometheus scrapes: everything in the registry, read when asked, in its text format or in OpenMetrics.

Names follow https://prometheus.io/docs/practices/naming/: base units, counters in `_total`, HELP and TYPE on
all. The text is laid out here, since prometheus_client takes a second for what an agent with a thousand names has
to say; it does the metrics of the process. Nothing of it is touched while requests run.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence, Set
from itertools import chain
from math import inf

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from nodeagent.telemetry.histogram import Histogram
from nodeagent.telemetry.measures import measures
from nodeagent.telemetry.measures.measure import Measure, gauge
from nodeagent.telemetry.registry import Registry

BOUNDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0)
"""Upper bounds of the latency buckets, in seconds: edges of the fine ones, so that their counts are exact."""

_OPENMETRICS, _TEXT = "application/openmetrics-text", "text/plain"
_LE = (*(str(bound) for bound in BOUNDS), "+Inf")

UNITS = ("seconds", "bytes")
"""What ends the names of metrics that have a unit; OpenMetrics tells it."""


AT_A_TIME = 50
"""Rows that are written before others may get a turn: 1 ms."""


class Exposition:
    """The registry as a page. Nothing of it is global: two agents in one process do not meet."""

    def __init__(
        self, registry: Registry, version: str, prefix: str = "", others: Sequence[Collector] | None = None
    ) -> None:
        """`prefix` stands before the name of each metric of the agent (linkerd's key).

        `others` are on the page too: what there is to say of this process, unless they are given.
        """
        self._registry = registry
        self._version = version
        self._prefix = f"{prefix}nodeagent_"
        self._others = CollectorRegistry(auto_describe=False)
        for other in (ProcessCollector(registry=None),) if others is None else others:
            self._others.register(other)

    def render(self, accept: str = "", names: Collection[str] = ()) -> tuple[bytes, str]:
        """The page and its content type: OpenMetrics 1.0 when `accept` prefers it, else Prometheus text 0.0.4.

        With `names`, only what has samples of these names, as `name[]=` asks prometheus_client's own pages.
        """
        pieces, content_type = self.pieces(accept, names)
        return b"".join(pieces), content_type

    def pieces(self, accept: str = "", names: Collection[str] = ()) -> tuple[Iterator[bytes], str]:
        """The same, a part of the page at a time, each of which takes a moment: a page may have 50,000 lines.

        Ask for them on the thread of the event loop. What is counted in between is in those that come later.
        """
        encode, content_type = choose_encoder(_OPENMETRICS if prefers_openmetrics(accept) else _TEXT)
        modern = content_type.startswith(_OPENMETRICS)
        return self._pieces(encode, frozenset(names), modern=modern), content_type

    def _pieces(
        self, encode: Callable[[CollectorRegistry], bytes], names: Set[str], *, modern: bool
    ) -> Iterator[bytes]:
        about = "Version of the running agent; always 1."
        version = gauge("build_info", about, ("version",), [((self._version,), 1)])
        for measure in chain([version], measures(self._registry)):
            if not names or not names.isdisjoint(_sample_names(measure, self._prefix)):
                yield from _written(measure, self._prefix, modern)
        yield encode(_Selected(self._others, names) if names else self._others)


class _Selected(CollectorRegistry):
    """Of what is in a registry, the samples with these names."""

    def __init__(self, whole: CollectorRegistry, names: Set[str]) -> None:
        super().__init__(auto_describe=False)
        self._whole = whole
        self._names = names

    def collect(self) -> Iterator[Metric]:
        """What is left of each metric."""
        for metric in self._whole.collect():
            metric.samples = [sample for sample in metric.samples if sample.name in self._names]
            if metric.samples:
                yield metric


def prefers_openmetrics(accept: str) -> bool:
    """Whether an Accept header (RFC 9110, section 12.5.1) likes OpenMetrics no less than plain text."""
    weights = {_OPENMETRICS: 0.0, _TEXT: 0.0}
    for item in accept.split(","):
        media, *parameters = (part.strip().lower() for part in item.split(";"))
        if media in weights:
            weights[media] = max(weights[media], _weight(parameters))
    return weights[_OPENMETRICS] > 0 and weights[_OPENMETRICS] >= weights[_TEXT]


def _weight(parameters: Iterable[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def _sample_names(measure: Measure, prefix: str) -> tuple[str, ...]:
    name = prefix + measure.name
    match measure.kind:
        case "counter":
            return (f"{name}_total",)
        case "histogram":
            return f"{name}_bucket", f"{name}_count", f"{name}_sum"
        case _:
            return (name,)


def _written(measure: Measure, prefix: str, modern: bool) -> Iterator[bytes]:
    """A metric, AT_A_TIME rows at a time, labels in order; in OpenMetrics a counter is named without its suffix."""
    name = prefix + measure.name
    sample = f"{name}_total" if measure.kind == "counter" else name
    named = name if modern else sample
    head = f"# HELP {named} {_escaped(measure.text, quoted=modern)}\n# TYPE {named} {measure.kind}\n"
    unit = next((unit for unit in UNITS if name.endswith(f"_{unit}")), None)
    if modern and unit is not None:
        head += f"# UNIT {named} {unit}\n"
    order = sorted(range(len(measure.labels)), key=measure.labels.__getitem__)
    lines = [head]
    for number, (values, value) in enumerate(measure.rows, 1):
        labels = [f'{measure.labels[index]}="{_escaped(values[index], quoted=True)}"' for index in order]
        if isinstance(value, Histogram):
            lines += _histogram(name, labels, value)
        else:
            shown = f"{{{','.join(labels)}}}" if labels else ""
            lines.append(f"{sample}{shown} {_number(value)}\n")
        if number % AT_A_TIME == 0:
            yield "".join(lines).encode()
            lines = []
    yield "".join(lines).encode()


def _histogram(name: str, labels: Sequence[str], value: Histogram) -> Iterator[str]:
    before = "".join(f"{label}," for label in labels if label < "le")
    after = "".join(f",{label}" for label in labels if label > "le")
    counts = (*value.cumulative(BOUNDS), value.count)
    for bound, count in zip(_LE, counts, strict=True):
        yield f'{name}_bucket{{{before}le="{bound}"{after}}} {float(count)}\n'
    shown = ",".join(labels)
    yield f"{name}_count{{{shown}}} {float(value.count)}\n{name}_sum{{{shown}}} {value.sum}\n"


def _number(value: float) -> str:
    if value == inf:
        return "+Inf"
    return str(float(value))


def _escaped(text: str, *, quoted: bool) -> str:
    """The value of a label, or a text, which in the old format stands without quotes and keeps them."""
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quoted else text
