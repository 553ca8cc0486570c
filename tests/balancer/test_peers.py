"""Several processes balance over the same endpoints, and have one view of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from math import inf
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.accrual import COURTESY, Health, Reason, Verdict
from balancer.backoff import ConstantBackoff
from balancer.balancer import Balancer
from balancer.node import Node
from balancer.params import AccrualParams, BalancerParams, make_balancer
from balancer.response_class import ResponseClass
from namer.addr import Endpoint

SUCCESS, FAILURE, REFUSED = ResponseClass.SUCCESS, ResponseClass.FAILURE, ResponseClass.REFUSED
PAUSE = 5.0
ENDPOINTS = [Endpoint("10.0.0.1", 1), Endpoint("10.0.0.1", 2)]


@dataclass
class Column:
    """What one process has told of one endpoint."""

    pending: float = 0
    cost: float = 0.0
    verdict: Verdict | None = None


@dataclass
class Desk:
    """What all processes have told, by endpoint and process."""

    told: dict[int, dict[str, Column]] = field(default_factory=dict)
    room: bool = True

    def peers(self, process: str, drift: float = 0.0) -> DeskPeers:
        return DeskPeers(self, process, drift)


@dataclass
class DeskPeers:
    desk: Desk
    process: str
    drift: float

    def seat(self, endpoint: Endpoint) -> DeskSeat | None:
        return DeskSeat(self.desk, self.process, endpoint.port, self.drift) if self.desk.room else None


class DeskSeat:
    def __init__(self, desk: Desk, process: str, port: int, drift: float) -> None:
        self._columns = desk.told.setdefault(port, {})
        self._process, self._drift = process, drift
        self._mine = self._columns[process] = Column()

    def _others(self) -> list[Column]:
        return [column for process, column in self._columns.items() if process != self._process]

    def put_pending(self, count: int) -> None:
        self._mine.pending = count

    def pending_elsewhere(self) -> float:
        return sum(column.pending for column in self._others())

    def put_cost(self, seconds: float) -> None:
        self._mine.cost = seconds

    def cost_elsewhere(self) -> float:
        return max((column.cost for column in self._others()), default=0.0)

    def put_verdict(self, verdict: Verdict) -> None:
        retry_at, dead_since = verdict.retry_at + self._drift, verdict.dead_since + self._drift
        self._mine.verdict = replace(verdict, retry_at=retry_at, dead_since=dead_since)

    def newest_elsewhere(self) -> Verdict | None:
        verdicts = [column.verdict for column in self._others() if column.verdict is not None]
        newest = max(verdicts, key=lambda verdict: verdict.version, default=None)
        if newest is None:
            return None
        retry_at, dead_since = newest.retry_at - self._drift, newest.dead_since - self._drift
        return replace(newest, retry_at=retry_at, dead_since=dead_since)

    def version(self, now: float) -> float:
        return now + self._drift

    def leave(self) -> None:
        del self._columns[self._process]


def process(desk: Desk, name: str, *, kind: str = "ewma", drift: float = 0.0) -> Balancer:
    """One process that balances over two ports, with its view of the others."""
    params = BalancerParams(kind, max_ejected=1.0, slow_start=0.0)  # type: ignore[arg-type]
    accrual = AccrualParams(failures=3, backoff=ConstantBackoff(PAUSE))
    made = make_balancer(params, accrual, Random(1), desk.peers(name, drift))
    made.update(ENDPOINTS, 0.0)
    return made


def node(of: Balancer, port: int) -> Node:
    return next(each for each in of.nodes if each.endpoint.port == port)


def send(of: Balancer, port: int, at: float, took: float = 0.01, outcome: ResponseClass = SUCCESS) -> None:
    of.begin(node(of, port), at)
    of.end(node(of, port), at, at + took, outcome)


def eject(of: Balancer, port: int, at: float = 1.0) -> None:
    for _ in range(3):
        send(of, port, at, 0.0, FAILURE)


def picks(of: Balancer, at: float, count: int = 100) -> Counter[int]:
    chosen: Counter[int] = Counter()
    for _ in range(count):
        picked = of.pick(at)
        assert picked is not None
        chosen[picked.endpoint.port] += 1
    return chosen


def exchange(at: float, *all_of_them: Balancer) -> None:
    """Two rounds: one to tell, one to hear."""
    for _ in range(2):
        for each in all_of_them:
            each.exchange(at)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_what_another_process_has_under_way_counts_at_once(desk: Desk) -> None:
    one, two = process(desk, "one", kind="p2c"), process(desk, "two", kind="p2c")
    one.begin(node(one, 1), 0.0)

    assert picks(two, 0.0) == Counter({2: 100})

    one.end(node(one, 1), 0.0, 0.1, SUCCESS)

    assert picks(two, 0.1)[1] > 0


def test_a_picker_that_follows_load_still_hears_of_it_and_so_do_the_others(desk: Desk) -> None:
    one = process(desk, "one", kind="heap")
    one.begin(node(one, 1), 0.0)

    assert picks(one, 0.0) == Counter({2: 100})
    assert desk.told[1]["one"].pending == 1


def test_what_is_slow_for_one_gets_less_from_the_other(desk: Desk) -> None:
    one, two = process(desk, "one"), process(desk, "two")
    for port, took in ((1, 1.0), (2, 0.01)):
        send(one, port, 0.0, took)
        send(two, port, 0.0, 0.01)
    exchange(1.0, one, two)

    assert picks(two, 1.0) == Counter({2: 100})


def test_a_request_that_is_overdue_elsewhere_makes_the_endpoint_slow(desk: Desk) -> None:
    one, two = process(desk, "one"), process(desk, "two")
    for port in (1, 2):
        send(two, port, 0.0)
        send(one, port, 0.0)
    one.begin(node(one, 1), 1.0)
    exchange(2.0, one, two)

    assert node(two, 1).metric.load(0, 2.0) == pytest.approx(2.0)  # a second, and one that is before the next
    assert picks(two, 2.0) == Counter({2: 100})


def test_who_has_no_experience_of_its_own_goes_by_that_of_the_others(desk: Desk) -> None:
    one = process(desk, "one")
    send(one, 1, 0.0, 0.2)
    send(one, 2, 0.0, 0.1)
    one.exchange(0.2)

    late = process(desk, "late")
    late.begin(node(late, 2), 0.2)

    assert node(late, 1).metric.load(0, 0.2) == pytest.approx(0.2, rel=0.05)
    assert node(late, 2).metric.load(1, 0.2) == pytest.approx(0.2, rel=0.05), "no caution: it is known"


def test_what_was_learnt_does_not_echo(desk: Desk) -> None:
    one, two = process(desk, "one"), process(desk, "two")
    send(one, 1, 0.0, 1.0)
    for tick in range(1000):
        exchange(1.0 + tick / 10, one, two)

    assert node(two, 1).metric.load(0, 101.0) < 0.001, "the cost has faded for both"


def test_an_ejection_counts_for_all_and_is_counted_once(desk: Desk) -> None:
    one, two = process(desk, "one"), process(desk, "two")
    eject(one, 1)
    exchange(1.1, one, two)

    assert node(two, 1).accrual.health is Health.DEAD
    assert node(two, 1).accrual.reason is Reason.FAILURES
    assert node(two, 1).accrual.dead_since == 1.0
    assert picks(two, 1.1) == Counter({2: 100})
    assert (one.statistics().ejections, two.statistics().ejections) == (1, 0)


def test_that_all_are_dead_is_told_to_whoever_has_an_alternative(desk: Desk) -> None:
    one, two = process(desk, "one"), process(desk, "two")
    heard: list[bool] = []
    two.on_usable = lambda: heard.append(two.usable)
    eject(one, 1)
    eject(one, 2)
    exchange(1.1, one, two)

    assert heard == [False]


def test_one_process_probes_and_all_hear_what_it_finds(desk: Desk) -> None:
    one, two = process(desk, "one"), process(desk, "two")
    eject(one, 1)
    exchange(1.1, one, two)
    due = 1.0 + PAUSE + 0.01

    assert not two.probe_due(due)
    probe = one.pick(due)
    assert probe is node(one, 1)
    one.begin(probe, due)
    exchange(due + 0.1, one, two)
    assert not two.probe_due(due + 2 * COURTESY), "it is being tried"

    one.end(probe, due, due + 0.2, SUCCESS)
    exchange(due + 0.3, one, two)

    assert node(two, 1).accrual.health is Health.ALIVE
    assert (one.statistics().revivals, two.statistics().revivals) == (1, 0)


def test_a_lost_probe_puts_off_the_next_one_of_all(desk: Desk) -> None:
    one, two = process(desk, "one"), process(desk, "two")
    eject(one, 1)
    exchange(1.1, one, two)
    send(one, 1, 1.0 + PAUSE + 0.01, 0.1, FAILURE)
    exchange(1.2 + PAUSE, one, two)

    assert node(two, 1).accrual.retry_at == pytest.approx(1.0 + 2 * PAUSE + COURTESY, abs=0.2)


def test_another_process_probes_when_the_one_that_found_out_has_no_traffic(desk: Desk) -> None:
    one, two = process(desk, "one"), process(desk, "two")
    eject(one, 1)
    exchange(1.1, one, two)
    due = 1.0 + PAUSE + COURTESY + 0.01

    assert two.pick(due) is node(two, 1)
    send(two, 1, due, 0.1, SUCCESS)
    exchange(due + 0.2, one, two)

    assert node(one, 1).accrual.health is Health.ALIVE


def test_what_was_found_outlives_who_found_it(desk: Desk) -> None:
    one, two = process(desk, "one"), process(desk, "two")
    send(two, 2, 1.0)
    eject(one, 1)
    exchange(1.1, one, two)
    one.update((), 1.2)

    replacement = process(desk, "one")

    assert node(replacement, 1).accrual.health is Health.DEAD


@pytest.mark.parametrize("drift", [0.0, 1 / 3, -1e5 / 3])
def test_a_verdict_that_comes_back_is_the_same(desk: Desk, drift: float) -> None:
    one, two = process(desk, "one"), process(desk, "two", drift=drift)
    eject(one, 1)
    for tick in range(20):
        exchange(1.1 + tick / 10, one, two)

    assert node(one, 1).accrual.retry_at == 1.0 + PAUSE, "who found it has not followed itself"


def test_the_newest_verdict_counts(desk: Desk) -> None:
    one, two = process(desk, "one"), process(desk, "two")
    eject(one, 1)
    exchange(1.1, one, two)
    send(one, 1, 1.0 + PAUSE + 0.01)
    exchange(1.2 + PAUSE, one, two)
    eject(two, 1, 2.0 + PAUSE)
    exchange(2.1 + PAUSE, one, two)

    assert [node(each, 1).accrual.health for each in (one, two)] == [Health.DEAD, Health.DEAD]
    assert [each.statistics().ejections for each in (one, two)] == [1, 1]


def test_a_refusal_is_shared_too(desk: Desk) -> None:
    one, two = process(desk, "one"), process(desk, "two")
    send(one, 1, 1.0, 0.0, REFUSED)
    exchange(1.1, one, two)

    assert node(two, 1).accrual.reason is Reason.REFUSED
    assert (one.statistics().refusals, two.statistics().refusals) == (1, 0)


def test_what_active_checks_find_is_each_processs_own(desk: Desk) -> None:
    one, two = process(desk, "one"), process(desk, "two")
    one.checked(node(one, 1), False, 1.0)
    eject(two, 1, 2.0)
    exchange(2.1, one, two)

    assert node(one, 1).accrual.reason is Reason.CHECKS
    one.checked(node(one, 1), True, 3.0)
    exchange(3.1, one, two)
    assert [node(each, 1).accrual.health for each in (one, two)] == [Health.ALIVE, Health.ALIVE]


def test_an_endpoint_that_is_gone_takes_back_what_was_told_of_it(desk: Desk) -> None:
    one, two = process(desk, "one", kind="p2c"), process(desk, "two", kind="p2c")
    gone = node(one, 1)
    one.begin(gone, 0.0)
    one.update([Endpoint("10.0.0.1", 2)], 0.1)
    one.end(gone, 0.0, 0.2, SUCCESS)

    assert set(desk.told[1]) == {"two"}
    assert picks(two, 0.2)[1] > 0


def test_an_endpoint_for_which_there_is_no_room_is_balanced_as_by_one_process(desk: Desk) -> None:
    desk.room = False
    one = process(desk, "one", kind="p2c")
    one.begin(node(one, 1), 0.0)
    exchange(0.1, one)

    assert picks(one, 0.1) == Counter({2: 100})
    assert node(one, 1).accrual.retry_at == inf


EVENTS = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 2]),
        st.sampled_from(["success", "failures", "refusal", "pause", "leave and return"]),
        st.floats(0.0, 2 * PAUSE),
    ),
    max_size=30,
)


@given(EVENTS)
def test_whatever_happens_all_agree_in_the_end(events: list[tuple[int, str, float]]) -> None:
    desk, now = Desk(), 0.0
    all_of_them = [process(desk, str(number), drift=100.0 * number) for number in range(3)]
    for who, what, after in events:
        now += after + 0.01
        one = all_of_them[who]
        match what:
            case "success":
                send(one, 1, now, 0.0)
            case "failures":
                eject(one, 1, now)
            case "refusal":
                send(one, 1, now, 0.0, REFUSED)
            case "leave and return":
                one.update((), now)
                one.update(ENDPOINTS, now)
        exchange(now + 0.001, *all_of_them)
    exchange(now + 0.002, *all_of_them)

    found = [node(each, 1).accrual for each in all_of_them]
    assert len({each.health is Health.ALIVE for each in found}) == 1
    assert len({each.reason for each in found}) == 1
