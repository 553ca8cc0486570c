"""What holds for a balancer whatever happens to it, in any order."""

from collections.abc import Iterable, Sequence
from math import inf
from random import Random
from typing import get_args

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from balancer.accrual import OVERDUE, OVERLOOKED, Health, Reason
from balancer.backoff import EqualJitter
from balancer.ejection import kept, most_out
from balancer.node import Node
from balancer.params import AccrualParams, BalancerKind, BalancerParams, make_balancer
from balancer.response_class import ResponseClass
from balancer.rotation import AllDead
from tests.balancer.farm import endpoint

RANKS = st.tuples(st.sampled_from([1.0, 1.0, 2.0, 0.0]), st.sampled_from([0, 0, 1, 5]))
PORTS = st.dictionaries(st.integers(1, 6), RANKS, max_size=6)
Ports = dict[int, tuple[float, int]]
"""Weight and priority by port."""


def best(nodes: Iterable[Node]) -> set[Node]:
    """Return those of *nodes* that have the best priority."""
    all_nodes = set(nodes)
    return {each for each in all_nodes if each.endpoint.priority == min(n.endpoint.priority for n in all_nodes)}


def level(nodes: Sequence[Node], alive: Iterable[Node]) -> Sequence[Node]:
    """Return those of *nodes* that have the best priority of those that are *alive*, or all when none is."""
    priorities = {each.endpoint.priority for each in alive}
    return [each for each in nodes if not priorities or each.endpoint.priority == min(priorities)]


class AnyBalancer(RuleBasedStateMachine):
    """Updates, requests and the passing of time at random, beside a plain account of what is in flight."""

    @initialize(
        kind=st.sampled_from(get_args(BalancerKind)),
        ports=PORTS,
        failures=st.integers(1, 2),
        max_ejected=st.sampled_from([0.0, 0.5, 1.0]),
        all_dead=st.sampled_from(get_args(AllDead)),
        seed=st.integers(0, 100),
    )
    def start(
        self, kind: BalancerKind, ports: Ports, failures: int, max_ejected: float, all_dead: AllDead, seed: int
    ) -> None:
        accrual = AccrualParams(failures=failures, backoff=EqualJitter(5, 20))
        self.params = BalancerParams(kind=kind, max_ejected=max_ejected, all_dead=all_dead)
        self.balancer = make_balancer(self.params, accrual, Random(seed))
        self.now = 0.0
        self.out: list[tuple[Node, float]] = []
        self.all: set[Node] = set()
        self.probes: dict[Node, float] = {}
        """Endpoints whose probe has not told anything yet, and since when."""
        self.latest: dict[Node, float] = {}
        """When the latest probe of each endpoint began."""
        self.told = False
        """What the owner knows of ``usable``."""
        self.balancer.on_usable = self.hear
        self.before = self.balancer.statistics()
        self.update(ports)

    def hear(self) -> None:
        assert self.balancer.usable is not self.told, "only changes are told"
        self.told = self.balancer.usable

    @rule(ports=PORTS)
    def update(self, ports: Ports) -> None:
        old = {each.endpoint.port: each for each in self.balancer.nodes}
        removed = self.balancer.update([endpoint(port, *rank) for port, rank in ports.items()], self.now)
        self.all.update(self.balancer.nodes)
        assert {each.endpoint.port for each in self.balancer.nodes} == set(ports)
        assert {each.endpoint.port for each in removed} == set(old) - set(ports)
        for each in self.balancer.nodes:
            assert old.get(each.endpoint.port, each) is each
            assert (each.endpoint.weight, each.endpoint.priority) == ports[each.endpoint.port]

    @rule(avoided=st.sets(st.integers(1, 6)))
    def request(self, avoided: set[int]) -> None:
        nodes = self.balancer.nodes
        avoid = {each for each in nodes if each.endpoint.port in avoided}
        chosen = self.balancer.pick(self.now, avoid)
        alive = {each for each in nodes if each.accrual.health is Health.ALIVE}
        due = {each for each in nodes if each.accrual.retry_at <= self.now}
        if chosen is None:
            assert not nodes or (self.params.all_dead == "failFast" and not alive and not (due - avoid))
            return
        assert chosen in nodes
        if not avoid and self.balancer.pick_probe(self.now) is not None:
            assert chosen in due
        elif not alive and self.params.all_dead == "lastGood":
            assert avoid or chosen.accrual.dead_since == max(each.accrual.dead_since for each in nodes)
        else:
            assert chosen in self.expected(alive, due, avoid)
        self.begin(chosen)

    def spared(self, alive: set[Node]) -> set[Node]:
        if not alive and self.params.all_dead == "failFast":
            return set()
        return set(kept(level(self.balancer.nodes, alive), self.params.max_ejected))

    def expected(self, alive: set[Node], due: set[Node], avoid: set[Node]) -> set[Node]:
        nodes = self.balancer.nodes
        spared = self.spared(alive)
        if not avoid:
            connectable = [each for each in nodes if each.accrual.reason in OVERLOOKED]
            return best(alive | spared if alive else connectable or nodes)
        usable = alive | due | spared
        return best(alive - avoid or due - avoid or usable - avoid or usable or set(nodes) - avoid or nodes)

    @rule(key=st.binary(max_size=2), avoided=st.sets(st.integers(1, 6), max_size=3))
    def keyed_request(self, key: bytes, avoided: set[int]) -> None:
        nodes = self.balancer.nodes
        avoid = {each for each in nodes if each.endpoint.port in avoided}
        chosen = self.balancer.pick_for(key, self.now, avoid)
        alive = {each for each in nodes if each.accrual.health is Health.ALIVE}
        due = {each for each in nodes if each.accrual.retry_at <= self.now}
        if chosen is None:
            assert not nodes or (self.params.all_dead == "failFast" and not alive and not (due - avoid))
            return
        if not alive and self.params.all_dead == "lastGood":
            last = max(each.accrual.dead_since for each in nodes)
            assert avoid or chosen in due or chosen.accrual.dead_since == last
        elif avoid:
            assert chosen in self.expected(alive, due, avoid) | best(alive | self.spared(alive))
        else:
            assert chosen in due or chosen in self.expected(alive, due, avoid)
        self.begin(chosen)

    @rule()
    def probe(self) -> None:
        chosen = self.balancer.pick_probe(self.now)
        if chosen is None:
            return
        alive = [each for each in self.balancer.nodes if each.accrual.health is Health.ALIVE]
        assert not alive or chosen.endpoint.priority <= min(each.endpoint.priority for each in alive)
        self.begin(chosen)
        assert chosen in self.probes

    def begin(self, node: Node) -> None:
        health, probes = node.accrual.health, self.balancer.statistics().probes
        self.balancer.begin(node, self.now)
        self.out.append((node, self.now))
        if self.balancer.statistics().probes > probes:
            assert node.accrual.health is Health.PROBING
            assert health is Health.DEAD or self.now - self.latest[node] >= OVERDUE, "never two probes at once"
            self.probes.setdefault(node, self.now)
            self.latest[node] = self.now

    @precondition(lambda self: self.out)
    @rule(index=st.integers(0), outcome=st.sampled_from(ResponseClass))
    def end(self, index: int, outcome: ResponseClass) -> None:
        node, started = self.out.pop(index % len(self.out))
        self.balancer.end(node, started, self.now, outcome)
        if self.probes.get(node, inf) <= started:
            del self.probes[node]

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
            assert (each.accrual.health is Health.PROBING) == (each in self.probes)
            assert each.accrual.health is not Health.PROBING or each.pending >= 1

    @invariant()
    def usable_is_to_have_one_alive(self) -> None:
        alive = any(each.accrual.health is Health.ALIVE for each in self.balancer.nodes)
        assert self.balancer.usable is self.told is alive
        assert self.balancer.statistics().all_dead == (bool(self.balancer.nodes) and not alive)

    @invariant()
    def no_more_than_the_cap_is_out_for_failures(self) -> None:
        serving = self.balancer.statistics()
        nodes = [each for each in serving.nodes if each.endpoint.priority == serving.priority]
        if self.balancer.usable:
            allowed = most_out(len(nodes), self.params.max_ejected)
            others = [each for each in nodes if each.reason is not Reason.FAILURES or each.health is Health.PROBING]
            ejected = [each for each in nodes if each not in others and each.health is Health.DEAD]
            assert len(ejected) <= max(0, allowed)

    @rule(port=st.integers(1, 6), seconds=st.floats(0.1, 30))
    def asked_to_leave_it_alone(self, port: int, seconds: float) -> None:
        for each in self.balancer.nodes:
            if each.endpoint.port == port:
                self.balancer.leave_alone(each, seconds, self.now)

    @invariant()
    def a_due_endpoint_is_probed_unless_a_better_one_serves(self) -> None:
        now, serving = self.now, self.balancer.statistics()
        due = [
            each
            for each in self.balancer.nodes
            if each.accrual.retry_at <= now and (serving.all_dead or each.endpoint.priority <= (serving.priority or 0))
        ]
        assert (self.balancer.pick_probe(now) is not None) == bool(due)
        out = [each for each in self.balancer.nodes if each in self.probes and each.accrual.retry_at > now]
        assert self.balancer.probe_due(now) == (bool(due) and not out)

    @invariant()
    def statistics_add_up(self) -> None:
        now, before = self.balancer.statistics(), self.before
        assert now.alive + now.dead + now.probing == len(now.nodes) == now.adds - now.removes
        assert now.revivals <= now.ejections + now.refusals + now.asked
        for total in (
            "ejections",
            "refusals",
            "asked",
            "revivals",
            "probes",
            "max_effort_exhausted",
            "adds",
            "removes",
        ):
            assert getattr(now, total) >= getattr(before, total)
        self.before = now


TestAnyBalancer = AnyBalancer.TestCase
