"""The simplest load: requests in flight."""

from balancer.load import LeastLoaded


def test_least_loaded_counts_what_is_in_flight_and_learns_nothing() -> None:
    metric = LeastLoaded()
    for learn in (metric.succeeded, metric.failed, metric.given_up):
        metric.begun(1.0)
        learn(1.0, 6.0)
    assert [metric.load(pending, 1.0) for pending in (0, 1, 7)] == [0, 1, 7]
