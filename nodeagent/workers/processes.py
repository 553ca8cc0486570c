"""What Prometheus is told of the processes: of all together what it expects of one, and of each worker how it does."""

from __future__ import annotations

import functools
import os
import resource
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from prometheus_client import ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_OF_THE_SUPERVISOR: Final = frozenset({"process_start_time_seconds"})
_CPU: Final = "process_cpu_seconds"


class WorkerNumbers(NamedTuple):
    """How one worker does."""

    answers: bool
    deaths: int
    requests: int
    connections: int


class AllProcesses(Collector):
    """The metrics of a process, summed up; the time that dead workers took stays in."""

    def __init__(self, pids: Iterable[int]) -> None:
        """`pids` are the workers that run."""
        self._pids = tuple(pids)

    def collect(self) -> Iterator[Metric]:
        """Read them now."""
        own, *others = [_process(pid) for pid in (os.getpid(), *self._pids)]
        for name, metric in own.items():
            values = [each[name].samples[0].value for each in others if name in each]
            value = metric.samples[0].value
            if name not in _OF_THE_SUPERVISOR:
                value += sum(values)
            if name == _CPU:
                gone = resource.getrusage(resource.RUSAGE_CHILDREN)
                value += gone.ru_utime + gone.ru_stime
            metric.samples[0] = metric.samples[0]._replace(value=value)
            yield metric


class WorkerMetrics(Collector):
    """How the workers do, each by its number."""

    def __init__(self, workers: Sequence[WorkerNumbers]) -> None:
        self._workers = workers

    def collect(self) -> Iterator[Metric]:
        """One sample of each for a worker."""
        up = GaugeMetricFamily(
            "nodeagent_worker_up",
            "Whether a worker runs and answers; while it does not, its numbers are those that it told last.",
            labels=("worker",),
        )
        deaths = CounterMetricFamily(
            "nodeagent_worker_deaths", "Times that a worker has ended and was replaced.", labels=("worker",)
        )
        requests = CounterMetricFamily(
            "nodeagent_worker_requests", "Requests answered by a worker since it was started.", labels=("worker",)
        )
        connections = GaugeMetricFamily(
            "nodeagent_worker_connections", "Connections of callers that a worker has.", labels=("worker",)
        )
        for number, each in enumerate(self._workers):
            for family, value in (
                (up, each.answers),
                (deaths, each.deaths),
                (requests, each.requests),
                (connections, each.connections),
            ):
                family.add_metric((str(number),), value)
        return iter((up, deaths, requests, connections))


def _process(pid: int) -> dict[str, Metric]:
    """The metrics of one process by name; none when it is gone."""
    collector = ProcessCollector(pid=functools.partial(int, pid), registry=None)
    return {metric.name: metric for metric in collector.collect()}
