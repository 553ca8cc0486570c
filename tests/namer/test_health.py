"""Fallback by health: an Alt passes over a branch that has no usable endpoint, a Union shares it out."""

from __future__ import annotations

import random

import pytest

from namer.addr import Addr, AddrBound, AddrFailed, AddrNeg, AddrPending, Endpoint
from namer.binding import Namers, Outcome, bind, shares, verdict
from namer.builtin import builtin_namers
from namer.cell import Cell
from namer.dtab import Dtab
from namer.health import by_addresses
from namer.hosts import Hosts
from namer.namer import Failure, Pending
from namer.path import Path
from namer.watch import Watches
from tests.namer.fakes import FakeNamer

UP = AddrBound((Endpoint("10.0.0.1", 80),))
STATES: dict[str, Addr] = {
    "up": UP,
    "up2": UP,
    "empty": AddrBound(()),
    "empty2": AddrBound(()),
    "gone": AddrNeg(),
    "broken": AddrFailed("the source is down"),
    "new": AddrPending(),
}


def bound(dst: str, *, failover: bool = True) -> Outcome:
    """How /svc binds to `dst`, where each word is a name whose address is in that state."""
    namer = FakeNamer("/#/x", *STATES)
    for word, addr in STATES.items():
        namer.addrs[Path((word,))] = Cell(addr)
    namer.cell("sick").set(Failure("down"), 0.0)
    namer.cell("late")
    rules = "".join(f"/{word} => /#/x/{word} ;" for word in (*STATES, "sick", "late"))
    dtab = Dtab.parse(f"{rules} /teapot => /$/io.buoyant.http.status/418 ; /nobody => /$/nil ; /svc => {dst}")
    namers = Namers([(namer.prefix, namer)], BUILTIN)
    return bind(Path(("svc",)), dtab, namers, by_addresses if failover else None)


def traffic(outcome: Outcome) -> str:
    if isinstance(outcome.state, Pending | Failure) or verdict(outcome.state) != "bound":
        return verdict(outcome.state)
    found = [f"{share.weight:.3g} {share.bound.id[-1]}" for share in shares(outcome.state)]
    return " + ".join(each.removeprefix("1 ") for each in found)


@pytest.mark.parametrize(
    ("dst", "by_health", "by_names"),
    [
        pytest.param("/up | /up2", "up", "up", id="the first that is usable"),
        pytest.param("/empty | /up", "up", "empty", id="no endpoints"),
        pytest.param("/broken | /up", "up", "broken", id="addresses could not be found"),
        pytest.param("/sick | /up", "up", "error", id="its source fails"),
        pytest.param("/gone | /up", "up", "gone", id="an unknown host is Neg"),
        pytest.param("/gone", "neg", "gone", id="an unknown host alone"),
        pytest.param("/new | /up", "new", "new", id="not known yet: waited for"),
        pytest.param("/empty | /new", "new", "empty", id="what may be usable is waited for"),
        pytest.param("/empty | /empty2", "empty", "empty", id="nothing is usable: the first"),
        pytest.param("/gone | /empty | /gone", "empty", "gone", id="nothing is usable: the first that exists"),
        pytest.param("/empty | /sick", "empty", "empty", id="nothing is usable: an error comes last"),
        pytest.param("/empty | ! | /up", "fail", "empty", id="Fail ends it"),
        pytest.param("/empty | /nobody | /up", "empty", "empty", id="Empty ends it: that was asked for"),
        pytest.param("/teapot | /up", "418", "418", id="an answer needs no endpoint"),
        pytest.param("9 * /up & 1 * /empty", "up", "0.9 up + 0.1 empty", id="a union gives the share away"),
        pytest.param(
            "2 * /up & 2 * /up2 & 4 * /broken",
            "0.5 up + 0.5 up2",
            "0.25 up + 0.25 up2 + 0.5 broken",
            id="by weight",
        ),
        pytest.param("9 * /empty & 1 * /empty2", "0.9 empty + 0.1 empty2", "0.9 empty + 0.1 empty2", id="all unusable"),
        pytest.param("8 * /up & 1 * /nobody & 1 * /empty", "0.889 up", "0.8 up + 0.1 empty", id="Empty keeps its"),
        pytest.param(
            "1 * /empty & 0 * /up", "empty + 0 up", "empty + 0 up", id="a branch of weight 0 takes nothing over"
        ),
        pytest.param("1 * /empty & 0 * /up | /up2", "up2", "empty + 0 up", id="so the alternative does"),
        pytest.param("1 * /late & 1 * /nobody", "pending", "empty", id="a share of nobody does not end the waiting"),
        pytest.param("1 * /new & 1 * /empty", "new", "0.5 new + 0.5 empty", id="a union waits"),
        pytest.param("(1 * /empty & 1 * /sick) | /up", "up", "empty", id="a whole union is passed over"),
        pytest.param("(/empty | /gone) | (1 * /empty & 1 * /up2)", "up2", "empty", id="nested"),
    ],
)
def test_where_traffic_goes(dst: str, by_health: str, by_names: str) -> None:
    assert traffic(bound(dst)) == by_health
    assert traffic(bound(dst, failover=False)) == by_names


def test_rules_are_alternatives_too() -> None:
    assert traffic(bound("/gone ; /svc => /empty")) == "empty"
    assert traffic(bound("/up ; /svc => /empty")) == "up"


def test_what_was_passed_over_is_told_and_followed() -> None:
    outcome = bound("/empty | /gone | /up | /up2")

    assert [each.id.show() for each in outcome.unusable] == ["/#/x/empty"]
    assert [each.id.show() for each in outcome.absent] == ["/#/x/gone"]
    assert [step.result for step in outcome.steps] == ["bound", "unusable", "neg", "bound"]
    addresses = [cell.value for cell in outcome.cells if isinstance(cell.value, AddrBound | AddrNeg)]
    assert addresses == [AddrBound(()), AddrNeg(), UP]  # up2 is not asked for


BUILTIN = builtin_namers(Hosts(Watches(random.Random(1))))
