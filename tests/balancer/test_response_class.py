"""The verdicts on a request."""

from balancer.response_class import ResponseClass


def test_the_verdicts_are_finagles_and_four_of_our_own() -> None:
    finagle = {"success", "failure", "retryable", "ignorable"}
    assert {verdict.value for verdict in ResponseClass} == finagle | {"refused", "rejected", "lost", "given up"}
