"""Round robin."""

from balancer.round_robin import RoundRobin
from tests.balancer.farm import node


def test_in_order_and_round_again() -> None:
    picker = RoundRobin()
    picker.rebuild([node(port) for port in range(3)])
    assert [picker.pick(0.0).endpoint.port for _ in range(7)] == [0, 1, 2, 0, 1, 2, 0]


def test_a_change_of_the_nodes_goes_on_where_it_was() -> None:
    picker = RoundRobin()
    nodes = [node(port) for port in range(4)]
    picker.rebuild(nodes)
    assert [picker.pick(0.0).endpoint.port for _ in range(2)] == [0, 1]
    picker.rebuild(nodes[:3])
    assert [picker.pick(0.0).endpoint.port for _ in range(3)] == [2, 0, 1]
