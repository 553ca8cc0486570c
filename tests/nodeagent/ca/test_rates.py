"""How often each caller may come."""

from __future__ import annotations

from nodeagent.ca.rates import MAX_CALLERS, Rates


def test_a_burst_then_so_many_a_second() -> None:
    rates = Rates(3, 2.0)

    assert [rates.allows("a", 10.0) for _ in range(4)] == [True, True, True, False]
    assert rates.allows("b", 10.0)
    assert [rates.allows("a", 10.5), rates.allows("a", 10.6), rates.allows("a", 11.1)] == [True, False, True]
    assert [rates.allows("a", 1000.0) for _ in range(4)] == [True, True, True, False]


def test_the_memory_is_bounded() -> None:
    rates = Rates(1, 0.0)
    for number in range(MAX_CALLERS + 10):
        assert rates.allows(str(number), 0.0)

    assert not rates.allows(str(MAX_CALLERS + 9), 0.0)
    assert rates.allows("0", 0.0)
