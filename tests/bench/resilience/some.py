"""Figures of no run, for tests."""

from bench.resilience.figures import Figures, Second, Share

SOME = Figures(
    requests=60_000,
    success_percent=99.97,
    rate=1000.0,
    p50_ms=167.2,
    p95_ms=175.0,
    p99_ms=180.0,
    p999_ms=1000.4,
    added_percent=0.1234,
    slow_hits=1_018,
    checks=0,
    outcomes={"timeout": 18, "200": 59_982},
    late_p999_ms=3.0,
    late_max_ms=7.0,
    load_cores=0.3,
    by_second=tuple(Second(n, 167.0, 1001.0 if n == 15 else 180.0, 1000, 18 if n == 15 else 0) for n in range(60)),
    share=Share(0.1, (0.019, 0.0, 0.0), 0.0),
)
