"""The aperture and its load band."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.aperture import Aperture
from balancer.backoff import ConstantBackoff
from balancer.node import Node
from balancer.params import AccrualParams
from balancer.response_class import ResponseClass
from tests.balancer.farm import Farm, balancer, node, steady


def aperture(nodes: int, minimum: int = 1) -> tuple[Aperture, list[Node]]:
    made = Aperture(Random(1), smooth_window=5.0, low_load=0.5, high_load=2.0, minimum=minimum)
    members = [node(port) for port in range(nodes)]
    made.rebuild(members)
    return made, members


def hold(picker: Aperture, requests: int, now: float) -> list[Node]:
    """Begin so many requests and return where they went."""
    chosen = []
    for _ in range(requests):
        chosen.append(picker.pick(now))
        chosen[-1].pending += 1
        picker.begun(chosen[-1], now)
    return chosen


def finish(picker: Aperture, chosen: list[Node], now: float) -> None:
    for each in chosen:
        each.pending -= 1
        picker.ended(each, now)


def test_a_light_load_stays_on_the_first_by_rank() -> None:
    picker, _ = aperture(500)
    for second in range(100):
        (chosen,) = out = hold(picker, 1, float(second))
        assert chosen.endpoint.port == 0
        finish(picker, out, second + 0.01)
    assert picker.width == 1


def test_it_widens_at_high_load_and_narrows_at_low_load() -> None:
    picker, _ = aperture(20)
    widths, out = [picker.width], []
    for second in range(30):
        out += hold(picker, 1, float(second))
        widths.append(picker.width)
    assert widths == sorted(widths)
    assert 0.5 < 30 / picker.width <= 3
    widest = picker.width
    for second in range(30, 60):
        finish(picker, [out.pop()], float(second))
    assert picker.width < widest
    for second in range(60, 120):
        finish(picker, hold(picker, 1, float(second)), second + 0.001)
    assert picker.width == 1


@pytest.mark.parametrize(
    ("in_flight", "width"),
    [
        pytest.param(1, 3, id="below the band: narrower"),
        pytest.param(2, 3, id="at its lower end: narrower"),
        pytest.param(3, 4, id="within"),
        pytest.param(7, 4, id="within, nearly too much"),
        pytest.param(8, 5, id="at its upper end: wider"),
        pytest.param(9, 5, id="above: wider"),
    ],
)
def test_the_ends_of_the_band_count(in_flight: int, width: int) -> None:
    picker, _ = aperture(20)
    out = hold(picker, in_flight + 1, 0.0)
    picker.width = 4
    finish(picker, out[:1], 1000.0)  # long after the window, so that the average is what is in flight now
    assert picker.width == width


def test_it_is_never_narrower_than_the_minimum() -> None:
    picker, _ = aperture(20, minimum=4)
    for second in range(100):
        finish(picker, hold(picker, 1, float(second)), second + 0.01)
        assert picker.width == 4


def test_it_does_not_move_within_the_band() -> None:
    picker, _ = aperture(20, minimum=4)
    out = hold(picker, 4, 0.0)
    for second in range(1, 100):
        out += hold(picker, 1, float(second))
        finish(picker, [out.pop(0)], float(second))
    assert picker.width == 4


def test_dead_nodes_make_room_for_the_next_by_rank() -> None:
    picker, members = aperture(5, minimum=2)
    picker.rebuild(members[1:])
    assert {picker.pick(0.0).endpoint.port for _ in range(50)} <= {1, 2}
    picker.rebuild(members)
    assert {picker.pick(0.0).endpoint.port for _ in range(50)} <= {0, 1}


@given(
    st.integers(1, 10),
    st.integers(1, 12),
    st.lists(st.tuples(st.integers(-5, 5), st.floats(0, 10)), max_size=50),
)
def test_its_width_stays_within_bounds(minimum: int, count: int, steps: list[tuple[int, float]]) -> None:
    picker, members = aperture(count, minimum)
    out: list[Node] = []
    now = 0.0
    for change, pause in steps:
        now += pause
        if change > 0:
            out += hold(picker, change, now)
        else:
            finish(picker, out[:-change], now)
            del out[:-change]
        assert minimum <= picker.width <= max(minimum, count)
        assert picker.pick(now) in members


def test_five_hundred_endpoints_and_little_traffic_use_few_of_them() -> None:
    farm = Farm(balancer(500, "aperture"), {port: steady(0.010) for port in range(500)})
    farm.run(rate=100, seconds=60)
    assert len(farm.served) <= 20


def test_an_idle_caller_of_five_hundred_endpoints_knows_few_of_them_after_a_busy_time() -> None:
    farm = Farm(balancer(500, "aperture"), {port: steady(0.050) for port in range(500)})
    farm.run(rate=2000, seconds=60)
    assert len(farm.served) > 30
    farm.run(rate=1, seconds=200)
    farm.served.clear()
    farm.run(rate=1, seconds=3600)
    assert len(farm.served) == 1


def test_it_is_not_stuck_with_an_endpoint_that_dies() -> None:
    picker = balancer(500, "aperture", AccrualParams(failures=5, backoff=ConstantBackoff(60.0)))
    first = min(picker.nodes, key=lambda node: node.rank).endpoint.port
    servers = {port: steady(0.010) for port in range(500)}
    servers[first] = steady(0.001, ResponseClass.FAILURE)
    farm = Farm(picker, servers)
    farm.run(rate=1, seconds=600)
    assert farm.served[first] <= 5 + 10, "until it is dead, and then one probe a minute"
    assert len(farm.served) == 2


def test_it_finds_those_that_live_when_most_are_dead() -> None:
    picker = balancer(50, "aperture", AccrualParams(failures=1, backoff=ConstantBackoff(600.0)))
    by_rank = sorted(picker.nodes, key=lambda node: node.rank)
    dead = {node.endpoint.port for node in by_rank[:48]}
    servers = {
        port: steady(0.010, ResponseClass.REFUSED if port in dead else ResponseClass.SUCCESS) for port in range(50)
    }
    farm = Farm(picker, servers)
    farm.run(rate=10, seconds=60)
    assert sum(farm.served[port] for port in dead) < 1.5 * len(dead), "each is met once, or twice at the same time"
    farm.served.clear()
    farm.run(rate=10, seconds=60)
    assert not dead & set(farm.served)


def test_requests_that_are_given_up_leave_nothing_behind() -> None:
    farm = Farm(balancer(20, "aperture"), {port: steady(0.5, ResponseClass.IGNORABLE) for port in range(20)})
    farm.run(rate=40, seconds=60)
    farm.run(rate=0.1, seconds=1000)
    farm.served.clear()
    farm.run(rate=0.1, seconds=1000)
    assert len(farm.served) == 1
