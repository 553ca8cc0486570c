"""What Prometheus scrapes: everything in the registry, read when asked, in its text format or in OpenMetrics.

Names follow https://prometheus.io/docs/practices/naming/: base units, counters in `_total`, HELP and TYPE on
all. prometheus_client only lays out the text; nothing of it is touched while requests run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

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


class Exposition:
    """The registry as a page. Nothing of it is global: two agents in one process do not meet."""

    def __init__(
        self, registry: Registry, version: str, prefix: str = "", others: Sequence[Collector] | None = None
    ) -> None:
        """`prefix` stands before the name of each metric of the agent (linkerd's key).

        `others` are on the page too: what there is to say of this process, unless they are given.
        """
        self._collectors = CollectorRegistry(auto_describe=False)
        self._collectors.register(_AgentCollector(registry, version, prefix))
        for other in (ProcessCollector(registry=None),) if others is None else others:
            self._collectors.register(other)

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """The page and its content type: OpenMetrics 1.0 when `accept` prefers it, else Prometheus text
        0.0.4.

        Call it on the thread of the event loop: the numbers of one page then belong together.
        """
        encode, content_type = choose_encoder(_OPENMETRICS if prefers_openmetrics(accept) else _TEXT)
        return encode(self._collectors), content_type


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


class _AgentCollector(Collector):
    def __init__(self, registry: Registry, version: str, prefix: str) -> None:
        self._registry = registry
        self._version = version
        self._prefix = f"{prefix}nodeagent_"

    def collect(self) -> Iterator[Metric]:
        about = "Version of the running agent; always 1."
        yield _laid_out(gauge("build_info", about, ("version",), [((self._version,), 1)]), self._prefix)
        for measure in measures(self._registry):
            yield _laid_out(measure, self._prefix)


def _laid_out(measure: Measure, prefix: str) -> Metric:
    name = prefix + measure.name
    unit = next((unit for unit in UNITS if name.endswith(f"_{unit}")), "")
    metric = Metric(name, measure.text, measure.kind, unit)
    for values, value in measure.rows:
        labels = dict(zip(measure.labels, values, strict=True))
        if isinstance(value, Histogram):
            _add_histogram(metric, labels, value)
        else:
            metric.add_sample(f"{name}_total" if measure.kind == "counter" else name, labels, float(value))
    return metric


def _add_histogram(metric: Metric, labels: dict[str, str], value: Histogram) -> None:
    counts = (*value.cumulative(BOUNDS), value.count)
    for bound, count in zip(_LE, counts, strict=True):
        metric.add_sample(f"{metric.name}_bucket", {**labels, "le": bound}, float(count))
    metric.add_sample(f"{metric.name}_count", labels, float(value.count))
    metric.add_sample(f"{metric.name}_sum", labels, value.sum)
