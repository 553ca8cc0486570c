"""The aperture and its load band."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from balancer.aperture import Aperture
from balancer.node import Node
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
