"""A node shows its state."""

from tests.balancer.farm import node


def test_its_repr_is_its_state_in_one_line() -> None:
    assert repr(node(8080, pending=3)) == "<Node 10.0.0.1:8080 alive pending=3>"
