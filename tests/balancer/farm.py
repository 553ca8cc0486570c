"""Endpoints to balance over, and a farm that serves requests in virtual time: a queue of events, no clock."""

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable
from itertools import count
from random import Random

from balancer.accrual import FailureAccrual
from balancer.accrual_policies import NeverFails
from balancer.backoff import ConstantBackoff
from balancer.balancer import Balancer
from balancer.load import LeastLoaded, Metric
from balancer.node import Node
from balancer.params import AccrualParams, BalancerKind, BalancerParams, make_balancer
from balancer.response_class import ResponseClass
from namer.addr import Endpoint

IMMORTAL = AccrualParams(kind="none")

Server = Callable[[float], tuple[float, ResponseClass]]
"""What happens to a request that arrives at some time: how long it takes and how it ends."""


def endpoint(port: int, weight: float = 1.0, priority: int = 0) -> Endpoint:
    return Endpoint("10.0.0.1", port, weight, priority=priority)


def endpoints(number: int) -> list[Endpoint]:
    """Return endpoints with ports 0, 1, 2 and so on."""
    return [endpoint(port) for port in range(number)]


def node(port: int = 0, *, pending: int = 0, weight: float = 1.0, metric: Metric | None = None) -> Node:
    """Return a node as a balancer would make it, ranked by its port."""
    accrual = FailureAccrual(NeverFails(), ConstantBackoff(1.0), Random(0))
    made = Node(endpoint(port, weight), metric or LeastLoaded(), accrual, rank=port)
    made.pending = pending
    return made


def balancer(
    number: int, kind: BalancerKind = "ewma", accrual: AccrualParams = IMMORTAL, seed: int = 1, max_ejected: float = 1.0
) -> Balancer:
    """Return a balancer over *number* endpoints. Unless told otherwise all may be ejected, as in linkerd 1.x."""
    made = make_balancer(BalancerParams(kind=kind, max_ejected=max_ejected), accrual, Random(seed))
    made.update(endpoints(number), 0.0)
    return made


def down(since: float, until: float, outcome: ResponseClass) -> Server:
    """Return a server that takes 10 ms, and from *since* to *until* ends at once with *outcome*."""
    return lambda now: (0.0, outcome) if since <= now < until else (0.010, ResponseClass.SUCCESS)


def steady(latency: float, outcome: ResponseClass = ResponseClass.SUCCESS) -> Server:
    """Return a server that always takes *latency* seconds and ends with *outcome*."""
    return lambda _: (latency, outcome)


class Farm:
    """Servers by port behind a balancer, and what became of the requests."""

    def __init__(self, balancer: Balancer, servers: dict[int, Server], seed: int = 7) -> None:
        self.balancer = balancer
        self.servers = servers
        self.served: Counter[int] = Counter()
        """Requests by port."""
        self.busy: defaultdict[int, float] = defaultdict(float)
        """Seconds of service by port: divided by the time, the mean number of requests in flight."""
        self._rng = Random(seed)
        self._now = 0.0
        self._order = count()
        self._ends: list[tuple[float, int, Node, float, ResponseClass]] = []

    def run(self, rate: float, seconds: float) -> None:
        """Let requests arrive at random, *rate* a second, for *seconds*; those under way stay under way."""
        until = self._now + seconds
        while (arrival := self._now + self._rng.expovariate(rate)) < until:
            self._finish(arrival)
            self._now = arrival
            self._arrive(arrival)
        self._finish(until)
        self._now = until

    def share(self, port: int) -> float:
        """Return the part of all requests that went to *port*."""
        return self.served[port] / self.served.total()

    def _arrive(self, now: float) -> None:
        chosen = self.balancer.pick(now)
        assert chosen is not None
        self.balancer.begin(chosen, now)
        port = chosen.endpoint.port
        latency, outcome = self.servers[port](now)
        self.served[port] += 1
        self.busy[port] += latency
        heapq.heappush(self._ends, (now + latency, next(self._order), chosen, now, outcome))

    def _finish(self, until: float) -> None:
        while self._ends and self._ends[0][0] <= until:
            end, _, chosen, started, outcome = heapq.heappop(self._ends)
            self.balancer.end(chosen, started, end, outcome)
