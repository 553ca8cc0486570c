"""Every workload that `bench.compare` knows: how it is measured, on whom, and which of its figures are the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from bench import bulk, idle, load, tunnels
from bench.load import WORKLOADS, LoadResult, Workload
from bench.peers import PEERS, Peer
from bench.results import Sample
from bench.stage import Stage, check_reply

WARM_UP_SECONDS = 1


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One workload. *headline* are the keys of the figures that the summary shows.

    *measure* starts one of *peers*, loads it for some seconds and says what that showed; *direct* is the same with
    nothing between, None where that tells nothing. *steady* is a load whose latency is compared with that of *direct*.
    All of them raise BenchError when a proxy fails.
    """

    headline: tuple[str, ...]
    measure: Callable[[Stage, Peer, int], Sample]
    direct: Callable[[Stage, int], Sample] | None
    peers: tuple[Peer, ...] = PEERS
    steady: bool = False


def _measure(workload: Workload, stage: Stage, peer: Peer, seconds: int) -> Sample:
    with stage.proxy(peer) as proxy:
        check_reply(proxy.port, workload)
        idle_bytes = proxy.process.resident_bytes()
        load.run(workload, proxy.port, WARM_UP_SECONDS, core=stage.load_core, directory=stage.directory)
        before = proxy.process.cpu_seconds()
        result = load.run(workload, proxy.port, seconds, core=stage.load_core, directory=stage.directory)
        used = proxy.process.cpu_seconds() - before
        return {
            "cpu_us": used / result.requests * 1e6,
            **_seen_by_client(result),
            "idle_mb": idle_bytes / 1e6,
            "loaded_mb": proxy.process.resident_bytes() / 1e6,
            "ready_s": proxy.ready_seconds,
        }


def _measure_direct(workload: Workload, stage: Stage, seconds: int) -> Sample:
    """The backend alone: what the load generator can see at best."""
    port = stage.backends[0]
    check_reply(port, workload)
    result = load.run(workload, port, seconds, core=stage.load_core, directory=stage.directory)
    return _seen_by_client(result)


def _seen_by_client(result: LoadResult) -> Sample:
    return {
        "errors": result.errors,
        "rate": result.requests / result.seconds,
        "p50_ms": result.p50_ms,
        "p99_ms": result.p99_ms,
        "p999_ms": result.p999_ms,
    }


def requests(workload: Workload) -> Benchmark:
    """The benchmark that is requests of one kind, by wrk or h2load."""
    latency = ("p50_ms", "p99_ms") if workload.rate else ("rate",)
    return Benchmark(
        ("cpu_us", *latency),
        partial(_measure, workload),
        partial(_measure_direct, workload),
        steady=workload.rate is not None,
    )


BENCHMARKS: Mapping[str, Benchmark] = {
    **{name: requests(workload) for name, workload in WORKLOADS.items()},
    "down1g": Benchmark(("mb_s", "cpu_ms_gib"), bulk.measure_down, bulk.direct_down),
    "up1g": Benchmark(("mb_s", "cpu_ms_gib"), bulk.measure_up, bulk.direct_up),
    "tunnel1g": Benchmark(("mb_s", "cpu_ms_gib"), tunnels.measure_gib, tunnels.direct_gib, tunnels.PEERS),
    "tunnelsmall": Benchmark(("cpu_us", "rate"), tunnels.measure_small, tunnels.direct_small, tunnels.PEERS),
    "idle": Benchmark(("kb_connection", "cpu_percent", "after_ratio"), idle.measure, None),
}
