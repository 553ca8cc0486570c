"""Targets: entries with host names, followed until they are addresses."""

import gc
import random
import weakref

import pytest
import trio
from trio.testing import MockClock

from namer.addr import Addr, AddrBound, AddrFailed, AddrNeg, AddrPending, Endpoint
from namer.hosts import Hosts
from namer.targets import Target, Targets, combine
from namer.watch import Watches
from tests.namer.fakes import FakeResolver, running


def targets(*weights: float) -> list[Target]:
    return [Target(f"h{number}", 80, weight) for number, weight in enumerate(weights, 1)]


def bound(*endpoints: tuple[str, float]) -> AddrBound:
    return AddrBound(tuple(Endpoint(host, 80, weight) for host, weight in endpoints))


@pytest.mark.parametrize(
    ("addrs", "combined"),
    [
        pytest.param([], AddrBound(()), id="no targets"),
        pytest.param([bound(("a", 1)), bound(("b", 1))], bound(("a", 1), ("b", 2)), id="the weight of the target"),
        pytest.param([bound(("a", 1)), bound(("a", 1), ("b", 1))], bound(("a", 1), ("b", 2)), id="first met"),
        pytest.param([bound(("a", 1)), AddrPending()], bound(("a", 1)), id="what is known counts"),
        pytest.param([AddrNeg(), bound(("b", 1))], bound(("b", 2)), id="an unknown host takes away only itself"),
        pytest.param([AddrFailed("down"), AddrPending()], AddrPending(), id="nothing is known yet"),
        pytest.param([AddrNeg(), AddrFailed("down")], AddrFailed("down"), id="nothing could be found out"),
        pytest.param([AddrNeg(), AddrNeg()], bound(), id="no host exists: a name without endpoints"),
    ],
)
def test_targets_and_the_addresses_of_their_hosts(addrs: list[Addr], combined: Addr) -> None:
    assert combine(targets(*range(1, len(addrs) + 1)), addrs) == combined


def test_a_weight_may_be_divided_among_the_addresses_of_a_host() -> None:
    entries = [Target("h1", 80, 3, divided=True), Target("h2", 80, 1, divided=True)]
    addrs = [bound(("a", 1), ("b", 1)), bound(("c", 1))]

    assert combine(entries, addrs) == bound(("a", 1.5), ("b", 1.5), ("c", 1))


async def test_it_is_known_whether_all_hosts_are_known(autojump_clock: MockClock) -> None:
    resolver = FakeResolver(h1=("10.0.0.1",))
    resolver.slow["h2"] = 2.0
    async with running(resolver) as live:
        followed = Targets(live.hosts, lambda: None)
        assert not followed.pending

        followed.follow(targets(1, 1))
        await trio.sleep(1)
        assert followed.pending
        await trio.sleep(2)
        assert not followed.pending, "that a host does not exist is known too"
        followed.close()


async def test_who_was_told_of_changes_is_freed_when_it_closes() -> None:
    class Owner:
        def __init__(self, hosts: Hosts) -> None:
            self.targets = Targets(hosts, self.changed)

        def changed(self) -> None: ...

    owner = Owner(Hosts(Watches(random.Random(1))))
    owner.targets.follow([Target("10.0.0.1", 80)])
    owner.targets.close()
    held = weakref.ref(owner)
    gc.collect()
    gc.disable()
    try:
        del owner
        left = held()
    finally:
        gc.enable()

    assert left is None
