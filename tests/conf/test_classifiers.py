"""Response classifiers."""

from __future__ import annotations

import pytest

from conf.classifiers import (
    AllSuccessful,
    NonRetryable5XX,
    RetryableAll5XX,
    RetryableIdempotent5XX,
    RetryableRead5XX,
)
from conf.service import GlobalService
from tests.conf.texts import router, router_problems


@pytest.mark.parametrize(
    ("name", "classifier"),
    [
        ("nonRetryable5XX", NonRetryable5XX()),
        ("retryableRead5XX", RetryableRead5XX()),
        ("retryableIdempotent5XX", RetryableIdempotent5XX()),
        ("retryableAll5XX", RetryableAll5XX()),
        ("allSuccessful", AllSuccessful()),
    ],
)
@pytest.mark.parametrize("prefix", ["io.l5d.http.", ""])
def test_kinds(prefix: str, name: str, classifier: object) -> None:
    service = router(f"service: {{responseClassifier: {{kind: {prefix}{name}}}}}").service

    assert service == GlobalService(response_classifier=classifier)  # type: ignore[arg-type]


def test_the_kind_may_be_left_out() -> None:
    assert router("service: {responseClassifier: {}}").service == GlobalService(response_classifier=NonRetryable5XX())


def test_those_of_http2_come_later() -> None:
    (line,) = router_problems("service: {responseClassifier: {kind: io.l5d.h2.grpc.default}}")

    assert '"io.l5d.h2.grpc.default" is not provided yet (HTTP/2 and gRPC responses)' in line
