"""Who pays for sending once more what was never sent."""

from __future__ import annotations

from random import Random

import pytest

from balancer.backoff import ConstantBackoff
from balancer.balancer import Balancer
from balancer.node import Node
from balancer.params import AccrualParams, BalancerParams, RetryBudgetParams, make_balancer
from balancer.response_class import ResponseClass
from namer.addr import Endpoint
from nodeagent.proxy.messages import Request, RequestHead
from nodeagent.proxy.requeues import Requeues
from nodeagent.telemetry.stats import ClientStats


def balancer(endpoints: int, *, dead: int) -> Balancer:
    made = make_balancer(BalancerParams(), AccrualParams(failures=1, backoff=ConstantBackoff(60.0)), Random(7))
    made.update([Endpoint("10.0.0.1", port + 1) for port in range(endpoints)], 0.0)
    for node in made.nodes[:dead]:
        made.begin(node, 0.0)
        made.end(node, 0.0, 0.0, ResponseClass.FAILURE)
    return made


def request(tried: int = 0, avoid: tuple[Node, ...] = ()) -> Request:
    made = Request(RequestHead(b"POST", b"a", b"/", 11, b"", {}), b"", 0.0)
    made.tried, made.avoid = ("refused",) * tried, avoid
    return made


def requeues(params: RetryBudgetParams) -> tuple[Requeues, ClientStats]:
    stats = ClientStats("rt", "/#/web")
    return Requeues(params, stats), stats


NONE = RetryBudgetParams(10, 0, 0)


def counts(stats: ClientStats) -> tuple[int, int, int]:
    return stats.requeues, stats.requeue_limits, stats.requeue_budget_exhausted


def test_half_a_requeue_for_each_success_as_linkerd_counts_it() -> None:
    """Its own check: no reserve, and a success pays for half. Here no endpoint is usable."""
    made, stats = requeues(RetryBudgetParams(10, 0, 0.5))
    nodes = balancer(2, dead=2).nodes
    balances = []
    for _ in range(2):
        made.deposit(0.0)
        balances.append(made.balance(0.0))
    third = made.allow(request(), nodes, 0.0, always=False)
    made.deposit(0.0)
    balances.append(made.balance(0.0))
    fourth = made.allow(request(), nodes, 0.0, always=False)

    assert balances == [0, 1, 0]
    assert (third, fourth) == (True, False)
    assert counts(stats) == (1, 1, 0)


@pytest.mark.parametrize(
    ("endpoints", "dead", "avoided", "allowed"),
    [
        pytest.param(2, 0, 1, True, id="another one is alive"),
        pytest.param(2, 2, 1, False, id="another one is dead"),
        pytest.param(1, 0, 1, False, id="there is no other"),
        pytest.param(3, 1, 2, True, id="the third is alive"),
    ],
)
def test_an_empty_budget_keeps_no_request_from_a_usable_endpoint(
    endpoints: int, dead: int, avoided: int, allowed: bool
) -> None:
    made, _ = requeues(NONE)
    nodes = balancer(endpoints, dead=dead).nodes

    assert made.allow(request(avoid=tuple(nodes[:avoided])), nodes, 0.0, always=False) is allowed


def test_a_dead_endpoint_that_is_due_for_a_probe_is_usable() -> None:
    made, _ = requeues(NONE)
    nodes = balancer(1, dead=1).nodes

    assert not made.allow(request(), nodes, 59.0, always=False)
    assert made.allow(request(), nodes, 61.0, always=False)


def test_a_stale_connection_is_nobodys_to_pay() -> None:
    made, stats = requeues(NONE)

    assert made.allow(request(), (), 0.0, always=True)
    assert counts(stats) == (1, 0, 0)


@pytest.mark.parametrize(("balance", "most"), [(1, 1), (5, 1), (6, 2), (100, 20)])
def test_one_request_takes_a_fifth_of_the_budget(balance: int, most: int) -> None:
    made, stats = requeues(RetryBudgetParams(1, balance, 1.0))
    nodes = balancer(1, dead=1).nodes
    allowed = [made.allow(request(tried), nodes, 0.0, always=False) for tried in range(most + 3)]

    assert allowed == [True] * most + [False] * 3
    assert counts(stats) == (most, 3, 0)
