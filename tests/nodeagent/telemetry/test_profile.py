"""Profiles of this process while it works."""

from __future__ import annotations

import signal
import time
from collections import Counter

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.telemetry.profile import (
    DEPTH,
    HZ,
    BusyError,
    Profile,
    Sampler,
    allocations,
    cpu_profile,
    heap,
    sampling,
)

NAMES = st.text("abc.<>_", min_size=1, max_size=8)


def burn(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        sum(range(100))


async def test_what_burns_is_seen_about_so_often() -> None:
    profile = Profile()

    async def look() -> None:
        nonlocal profile
        profile = await cpu_profile(0.2)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(look)
        await trio.testing.wait_all_tasks_blocked()
        burn(0.5)

    seen = sum(count for stack, count in profile.stacks.items() if any(name.endswith(".burn") for name in stack))
    assert 0.3 * 0.5 * HZ < seen <= 1.5 * 0.5 * HZ
    assert f"{burn.__module__}.burn" in profile.top()
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)


async def test_who_idles_is_not_seen() -> None:
    assert sum((await cpu_profile(0.2)).stacks.values()) < 10


async def test_one_at_a_time() -> None:
    with sampling(Sampler()), pytest.raises(BusyError, match="a profile is being made already"):
        await cpu_profile(0.1)
    await cpu_profile(0.01)


async def test_cancelling_ends_it() -> None:
    with trio.move_on_after(0.01):
        await cpu_profile(60)
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)
    signal.raise_signal(signal.SIGPROF)  # one that came late


def test_a_stack_without_end_is_cut() -> None:
    sampler = Sampler()

    def deeper(depth: int) -> None:
        if depth:
            deeper(depth - 1)
        else:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.raise_signal(signal.SIGPROF)

    with sampling(sampler):
        deeper(3 * DEPTH)
    assert max(map(len, sampler.profile().stacks)) == DEPTH


@given(st.dictionaries(st.lists(NAMES, min_size=1, max_size=4).map(tuple), st.integers(1, 1000)))
def test_collapsed_stacks_are_read_back(stacks: dict[tuple[str, ...], int]) -> None:
    profile = Profile(Counter(stacks))
    assert Profile.of(profile.collapsed()) == profile


def test_a_table_says_what_takes_most() -> None:
    profile = Profile(Counter({("main", "a"): 3, ("main", "a", "b"): 1, ("main", "a", "a"): 1}))
    assert profile.top().splitlines() == [
        "5 samples, 100 for each second of CPU time",
        "  self   total  function",
        " 80.0 % 100.0 %  a",
        " 20.0 %  20.0 %  b",
    ]
    assert Profile().top().splitlines()[0].startswith("0 samples")


def test_a_part_of_a_larger_one() -> None:
    assert Profile(Counter({("a",): 1})).under("worker 1").collapsed() == "worker 1;a 1\n"


class Held:
    """Something to find in memory."""


async def test_what_is_in_memory_is_counted_by_type() -> None:
    held = [Held() for _ in range(20_000)]
    found = await heap(30)
    kinds = {each["type"]: each["count"] for each in found["types"]}
    assert kinds[f"{__name__}.Held"] == len(held)
    assert found["objects"] > len(held)
    assert len(found["types"]) == 30


async def test_allocations_are_told_by_line_with_what_it_costs() -> None:
    kept: list[bytes] = []

    async def allocate() -> None:
        await trio.sleep(0.1)
        kept.append(b"x" * 12_345_678)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(allocate)
        found = await allocations(0.3, 5)
    assert found["lines"][0]["bytes"] >= 12_345_678
    assert __file__ in found["lines"][0]["line"]
    assert "twice as slow" in found["cost"]
