"""Strict least loaded."""

from hypothesis import given
from hypothesis import strategies as st

from balancer.heap import HeapLeastLoaded
from balancer.node import Node
from tests.balancer.farm import node


def begin(picker: HeapLeastLoaded, chosen: Node) -> Node:
    chosen.pending += 1
    picker.begun(chosen, 0.0)
    return chosen


def end(picker: HeapLeastLoaded, chosen: Node) -> None:
    chosen.pending -= 1
    picker.ended(chosen, 0.0)


def test_idle_nodes_take_turns() -> None:
    picker, order = HeapLeastLoaded(), []
    picker.rebuild([node(port) for port in range(3)])
    for _ in range(6):
        chosen = begin(picker, picker.pick(0.0))
        order.append(chosen.endpoint.port)
        end(picker, chosen)
    assert order == [0, 1, 2, 0, 1, 2]


def test_a_rebuild_counts_what_is_in_flight() -> None:
    picker = HeapLeastLoaded()
    picker.rebuild([node(0, pending=2), node(1, pending=1), node(2, pending=5)])
    assert begin(picker, picker.pick(0.0)).endpoint.port == 1
    assert begin(picker, picker.pick(0.0)).endpoint.port == 0


@given(st.lists(st.integers(0, 8), min_size=1, max_size=8), st.lists(st.integers(0, 7)))
def test_no_node_has_less_in_flight_than_the_one_picked(pending: list[int], steps: list[int]) -> None:
    """A step ends a request on the node of that number, or begins one where the picker says."""
    picker = HeapLeastLoaded()
    nodes = [node(port, pending=count) for port, count in enumerate(pending)]
    picker.rebuild(nodes)
    for step in steps:
        if step < len(nodes) and nodes[step].pending:
            end(picker, nodes[step])
        else:
            begin(picker, picker.pick(0.0))
        assert picker.pick(0.0).pending == min(each.pending for each in nodes)
