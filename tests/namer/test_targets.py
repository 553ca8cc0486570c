"""Targets: entries with host names, followed until they are addresses."""

import pytest

from namer.addr import Addr, AddrBound, AddrFailed, AddrNeg, AddrPending, Endpoint
from namer.targets import Target, combine


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
