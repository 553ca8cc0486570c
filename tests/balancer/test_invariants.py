"""What holds for a balancer whatever happens to it, in any order."""

from random import Random
from typing import get_args

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from balancer.accrual import Health
from balancer.backoff import EqualJitter
from balancer.node import Node
from balancer.params import AccrualParams, BalancerKind, BalancerParams, make_balancer
from balancer.response_class import ResponseClass
from tests.balancer.farm import endpoint

PORTS = st.dictionaries(st.integers(1, 6), st.sampled_from([1.0, 1.0, 2.0, 0.0]), max_size=6)


class AnyBalancer(RuleBasedStateMachine):
    """Updates, requests and the passing of time at random, beside a plain account of what is in flight."""

    @initialize(
        kind=st.sampled_from(get_args(BalancerKind)),
        ports=PORTS,
        failures=st.integers(1, 2),
        seed=st.integers(0, 100),
    )
    def start(self, kind: BalancerKind, ports: dict[int, float], failures: int, seed: int) -> None:
        accrual = AccrualParams(failures=failures, backoff=EqualJitter(5, 20))
        self.balancer = make_balancer(BalancerParams(kind=kind), accrual, Random(seed))
        self.now = 0.0
        self.out: list[tuple[Node, float]] = []
        self.all: set[Node] = set()
        self.before = self.balancer.statistics()
        self.update(ports)

    @rule(ports=PORTS)
    def update(self, ports: dict[int, float]) -> None:
        old = {each.endpoint.port: each for each in self.balancer.nodes}
        removed = self.balancer.update([endpoint(*item) for item in ports.items()], self.now)
        self.all.update(self.balancer.nodes)
        assert {each.endpoint.port for each in self.balancer.nodes} == set(ports)
        assert {each.endpoint.port for each in removed} == set(old) - set(ports)
        for each in self.balancer.nodes:
            assert old.get(each.endpoint.port, each) is each
            assert each.endpoint.weight == ports[each.endpoint.port]

    @rule(avoided=st.sets(st.integers(1, 6)))
    def request(self, avoided: set[int]) -> None:
        nodes = self.balancer.nodes
        avoid = {each for each in nodes if each.endpoint.port in avoided}
        chosen = self.balancer.pick(self.now, avoid)
        if chosen is None:
            assert not nodes
            return
        assert chosen in nodes
        usable = {each for each in nodes if each.accrual.available(self.now)}
        assert chosen in (usable - avoid or usable or set(nodes) - avoid or nodes)
        self.balancer.begin(chosen, self.now)
        self.out.append((chosen, self.now))

    @precondition(lambda self: self.out)
    @rule(index=st.integers(0), outcome=st.sampled_from(ResponseClass))
    def end(self, index: int, outcome: ResponseClass) -> None:
        node, started = self.out.pop(index % len(self.out))
        self.balancer.end(node, started, self.now, outcome)

    @rule(seconds=st.floats(0, 20))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def pending_is_what_is_in_flight(self) -> None:
        for each in self.all:
            assert each.pending == sum(node is each for node, _ in self.out)

    @invariant()
    def a_probe_is_in_flight_while_probing(self) -> None:
        for each in self.balancer.nodes:
            if each.accrual.health is Health.PROBING:
                assert each.pending >= 1

    @invariant()
    def statistics_add_up(self) -> None:
        now, before = self.balancer.statistics(), self.before
        assert now.alive + now.dead + now.probing == len(now.nodes) == now.adds - now.removes
        assert now.revivals <= now.probes
        assert now.revivals <= now.ejections
        for total in ("ejections", "revivals", "probes", "max_effort_exhausted", "adds", "removes"):
            assert getattr(now, total) >= getattr(before, total)
        self.before = now


TestAnyBalancer = AnyBalancer.TestCase
