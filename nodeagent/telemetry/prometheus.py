"""What Prometheus scrapes: everything in the registry, read when asked, in its text format or in OpenMetrics.

Names follow https://prometheus.io/docs/practices/naming/: base units, counters in `_total`, HELP and TYPE on
all. prometheus_client only lays out the text; nothing of it is touched while requests run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from nodeagent.telemetry import limits, traffic
from nodeagent.telemetry.histogram import Histogram
from nodeagent.telemetry.registry import Registry
from nodeagent.telemetry.stats import ClientStats, ServiceStats

BOUNDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0)
"""Upper bounds of the latency buckets, in seconds: edges of the fine ones, so that their counts are exact."""

_OPENMETRICS, _TEXT = "application/openmetrics-text", "text/plain"
_LE = (*(str(bound) for bound in BOUNDS), "+Inf")

_EXTRA = ("failFast", "retryAfter", "healthCheck")
"""Reasons to take out an endpoint besides the failure accrual policy; shown where they ever were one."""

Row = tuple[Sequence[str], float]


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
        self._prefix = prefix

    def collect(self) -> Iterator[Metric]:
        for metric in self._metrics():
            if self._prefix:
                metric.name = self._prefix + metric.name
                metric.samples = [sample._replace(name=self._prefix + sample.name) for sample in metric.samples]
            yield metric

    def _metrics(self) -> Iterator[Metric]:
        registry = self._registry
        yield _gauge("build_info", "Version of the running agent; always 1.", ("version",), [((self._version,), 1)])
        yield from _servers(registry)
        yield from _services(tuple(registry.services.series()))
        yield from _clients(tuple(registry.clients.series()))
        yield from _namers(registry)
        for source in (limits, traffic):
            yield from (_counter(*measure) for measure in source.counters(registry))
            yield from (_gauge(*measure) for measure in source.gauges(registry))
        yield _counter(
            "errors",
            "Error responses made by the agent itself, by Proxy-Status error type.",
            ("router", "error"),
            [
                ((router, error), count)
                for router, errors in registry.errors_by_router().items()
                for error, count in errors.items()
            ],
        )


def _servers(registry: Registry) -> Iterator[Metric]:
    labels = ("router", "server")
    rows = [((server.router, server.address), server) for server in registry.servers()]
    yield _counter(
        "server_requests",
        "Requests answered by a listener, by class of the response status.",
        (*labels, "status_class"),
        [((*key, name), count) for key, server in rows for name, count in server.status_classes().items()],
    )
    yield _gauge(
        "server_connections",
        "Connections open to a listener.",
        labels,
        [(key, server.connections) for key, server in rows],
    )
    yield _counter(
        "server_connects",
        "Connections accepted by a listener.",
        labels,
        [(key, server.connects) for key, server in rows],
    )


def _services(services: Sequence[ServiceStats]) -> Iterator[Metric]:
    labels = ("router", "service")
    rows = [((service.router, service.name), service) for service in services]
    yield _counter(
        "service_requests",
        "Requests to a logical name, by what became of them after all retries.",
        (*labels, "classification"),
        [row for key, service in rows for row in _classified(key, service)],
    )
    yield _histogram(
        "service_request_duration_seconds",
        "Time from a request to a logical name to the end of its response, retries included.",
        labels,
        [(key, service.duration) for key, service in rows],
    )
    yield _counter(
        "service_retries",
        "Retries of classified failures, by reason.",
        (*labels, "reason"),
        [((*key, reason), count) for key, service in rows for reason, count in service.retries.items()],
    )
    yield _gauge(
        "service_retry_budget",
        "Retries that the budget of a logical name allows now.",
        labels,
        [(key, service.retry_budget()) for key, service in rows],
    )
    yield _counter(
        "service_retry_budget_exhausted",
        "Retries not made because the budget was spent.",
        labels,
        [(key, service.budget_exhausted) for key, service in rows],
    )
    yield from _hedging([(key, service) for key, service in rows if service.hedge_delay or service.hedges])


def _hedging(rows: Sequence[tuple[tuple[str, str], ServiceStats]]) -> Iterator[Metric]:
    """Of the services that are hedged only."""
    labels = ("router", "service")
    yield _counter(
        "service_hedges",
        "Second copies of attempts that took long, by whether theirs was the answer.",
        (*labels, "result"),
        [((*key, result), service.hedges[result]) for key, service in rows for result in ("won", "lost", "failed")],
    )
    yield _counter(
        "service_hedge_budget_exhausted",
        "Second copies not sent because the budget was spent.",
        labels,
        [(key, service.hedge_budget_exhausted) for key, service in rows],
    )
    yield _gauge(
        "service_hedge_delay_seconds",
        "After what time without an answer an attempt gets a second copy.",
        labels,
        [(key, service.hedge_delay) for key, service in rows],
    )


def _clients(clients: Sequence[ClientStats]) -> Iterator[Metric]:
    labels = ("router", "client")
    rows = [((client.router, client.name), client) for client in clients]
    yield _counter(
        "client_requests",
        "Attempts sent to a concrete name, by what became of them.",
        (*labels, "classification"),
        [row for key, client in rows for row in _classified(key, client)],
    )
    yield _histogram(
        "client_request_duration_seconds",
        "Time of one attempt, from choosing an endpoint to the end of its response.",
        labels,
        [(key, client.duration) for key, client in rows],
    )
    yield _gauge(
        "client_connections",
        "Connections open to the endpoints of a concrete name.",
        labels,
        [(key, client.connections) for key, client in rows],
    )
    yield _counter(
        "client_connect_failures",
        "Connections that could not be made, by reason.",
        (*labels, "reason"),
        [((*key, reason), count) for key, client in rows for reason, count in client.connect_failures.items()],
    )
    yield _counter(
        "client_requeues",
        "Attempts repeated because nothing of them had been sent.",
        labels,
        [(key, client.requeues) for key, client in rows],
    )
    yield _gauge(
        "client_requeue_budget",
        "Attempts at what was never sent that the budget of a concrete name allows now.",
        labels,
        [(key, sum(reading.requeue_budget for reading in client.balancers())) for key, client in rows],
    )
    yield _counter(
        "client_requeues_refused",
        "Attempts at what was never sent that were not made, because too little was left of the budget.",
        labels,
        [(key, client.requeue_budget_exhausted + client.requeue_limits) for key, client in rows],
    )
    yield from _balancers(rows)


def _balancers(rows: Sequence[tuple[tuple[str, str], ClientStats]]) -> Iterator[Metric]:
    endpoints: list[Row] = []
    ejections: list[Row] = []
    all_dead: list[Row] = []
    shares: list[Row] = []
    for key, client in rows:
        readings = client.balancers()
        balancers = [reading.balancer for reading in readings]
        endpoints += [
            ((*key, "alive"), sum(each.alive for each in balancers)),
            ((*key, "dead"), sum(each.dead for each in balancers)),
            ((*key, "probing"), sum(each.probing for each in balancers)),
        ]
        shares += [(key, each.local_share) for each in balancers[-1:] if each.local_share is not None]
        by_policy: Counter[str] = Counter()
        dead: dict[str, bool] = {}
        for reading in readings:
            by_policy[reading.policy] += reading.balancer.ejections
            by_policy["failFast"] += reading.balancer.refusals
            by_policy["retryAfter"] += reading.balancer.asked
            by_policy["healthCheck"] += reading.balancer.check_outs
            dead[reading.when_all_dead] = dead.get(reading.when_all_dead, False) or reading.balancer.all_dead
        all_dead += [((*key, policy), value) for policy, value in dead.items()]
        ejections += [((*key, policy), count) for policy, count in by_policy.items() if count or policy not in _EXTRA]
    yield _gauge(
        "balancer_endpoints",
        "Endpoints of a concrete name, by health.",
        ("router", "client", "state"),
        endpoints,
    )
    yield _counter(
        "balancer_ejections",
        "Times an endpoint was taken out of the rotation, by failure accrual policy; failFast: it refused; retryAfter: "
        "it asked for it; healthCheck: it failed its active health checks.",
        ("router", "client", "policy"),
        ejections,
    )
    yield _gauge(
        "balancer_all_dead",
        "1 while no endpoint of a concrete name (of other: of one of them) is alive; policy is what happens then: "
        "tryAll, lastGood, failFast.",
        ("router", "client", "policy"),
        all_dead,
    )
    yield _counter(
        "balancer_checks",
        "Active health checks of endpoints, by result.",
        ("router", "client", "result"),
        [((*key, result), count) for key, client in rows for result, count in client.checks.items()],
    )
    if shares:
        yield _gauge(
            "balancer_local_share",
            "The part of the traffic of a concrete name that stays in the preferred zone, 0 to 1.",
            ("router", "client"),
            shares,
        )


def _namers(registry: Registry) -> Iterator[Metric]:
    rows = [((namer.prefix,), namer) for namer in registry.namers()]
    yield _counter(
        "namer_updates",
        "Changes that a namer has delivered.",
        ("namer",),
        [(key, namer.updates) for key, namer in rows],
    )
    yield _counter(
        "namer_errors",
        "Times a namer failed and kept its last good answer.",
        ("namer",),
        [(key, namer.errors) for key, namer in rows],
    )
    yield _gauge(
        "namer_staleness_seconds",
        "For how long the source of an answer of a namer has been failing, of the answer with the longest time.",
        ("namer",),
        [(key, namer.staleness) for key, namer in rows],
    )
    yield _gauge(
        "namer_overdue_answers",
        "Answers of a namer whose source has been failing for longer than maxStaleSecs.",
        ("namer",),
        [(key, namer.overdue_answers) for key, namer in rows],
    )


def _classified(key: tuple[str, str], stats: ServiceStats | ClientStats) -> tuple[Row, Row]:
    return ((*key, "success"), stats.success), ((*key, "failure"), stats.failure)


def _counter(name: str, documentation: str, labels: Sequence[str], rows: Iterable[Row]) -> Metric:
    family = CounterMetricFamily(f"nodeagent_{name}", documentation, labels=labels)
    for values, count in rows:
        family.add_metric(values, count)
    return family


def _gauge(name: str, documentation: str, labels: Sequence[str], rows: Iterable[Row]) -> Metric:
    family = GaugeMetricFamily(f"nodeagent_{name}", documentation, labels=labels)
    for values, value in rows:
        family.add_metric(values, value)
    return family


def _histogram(
    name: str, documentation: str, labels: Sequence[str], rows: Iterable[tuple[Sequence[str], Histogram]]
) -> Metric:
    family = HistogramMetricFamily(f"nodeagent_{name}", documentation, labels=labels)
    for values, histogram in rows:
        counts = (*histogram.cumulative(BOUNDS), histogram.count)
        family.add_metric(values, list(zip(_LE, counts, strict=True)), histogram.sum)
    return family
