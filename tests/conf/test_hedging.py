"""The section `hedging`."""

from __future__ import annotations

import pytest

from conf.hedging import Hedging
from conf.service import GlobalService
from tests.conf.texts import router, router_problems


def test_it_is_off_unless_it_is_there() -> None:
    assert router().service == GlobalService(hedging=None)
    assert router("service: {hedging: {}}").service == GlobalService(hedging=Hedging())


def test_the_defaults_are_the_documented_ones() -> None:
    assert Hedging() == Hedging(percentile=95.0, max_extra_percent=5.0, min_delay_ms=1)


@pytest.mark.parametrize(
    "keys", ["percentile: 49", "percentile: 100", "maxExtraPercent: 101", "maxExtraPercent: -1", "minDelayMs: -1"]
)
def test_what_is_out_of_range_is_refused_by_key(keys: str) -> None:
    (problem,) = router_problems(f"service: {{hedging: {{{keys}}}}}")

    assert f"hedging.{keys.partition(':')[0]}" in problem
