"""The verdicts on a request."""

from balancer.response_class import ResponseClass


def test_the_verdicts_are_finagles_and_refused() -> None:
    assert {verdict.value for verdict in ResponseClass} == {"success", "failure", "retryable", "refused", "ignorable"}
