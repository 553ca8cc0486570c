"""Classifiers: what is a failure, and which failure may be tried again."""

from __future__ import annotations

import pytest

from balancer.response_class import ResponseClass
from nodeagent.proxy.classify import RETRYABLE_METHODS, make_classifier
from nodeagent.proxy.messages import Response

OK, FAILED, AGAIN = ResponseClass.SUCCESS, ResponseClass.FAILURE, ResponseClass.RETRYABLE


@pytest.mark.parametrize(
    ("kind", "verdicts"),
    [
        ("nonRetryable5XX", {"GET": FAILED, "PUT": FAILED, "POST": FAILED}),
        ("retryableRead5XX", {"GET": AGAIN, "HEAD": AGAIN, "OPTIONS": AGAIN, "TRACE": AGAIN, "PUT": FAILED}),
        ("retryableIdempotent5XX", {"GET": AGAIN, "PUT": AGAIN, "DELETE": AGAIN, "POST": FAILED, "PATCH": FAILED}),
        ("retryableAll5XX", {"GET": AGAIN, "PUT": AGAIN, "POST": AGAIN, "PATCH": AGAIN, "PROPFIND": FAILED}),
        ("allSuccessful", {"GET": OK, "POST": OK}),
    ],
)
def test_a_5xx_by_kind_and_method(kind: str, verdicts: dict[str, ResponseClass]) -> None:
    classify = make_classifier(f"io.l5d.http.{kind}")
    response = Response(503, b"", b"", {}, b"", 0)

    assert {method: classify(method.encode(), response) for method in verdicts} == verdicts


@pytest.mark.parametrize("kind", RETRYABLE_METHODS)
@pytest.mark.parametrize("status", [200, 304, 404, 499])
def test_what_the_caller_did_wrong_is_no_failure_of_the_backend(kind: str, status: int) -> None:
    assert make_classifier(kind)(b"POST", Response(status, b"", b"", {}, b"", 0)) is OK


@pytest.mark.parametrize(("said", "verdict"), [(b"true", AGAIN), (b"True", AGAIN), (b"false", FAILED), (b"", FAILED)])
def test_a_backend_may_say_that_its_failure_can_be_retried(said: bytes, verdict: ResponseClass) -> None:
    classify = make_classifier("io.l5d.http.nonRetryable5XX")

    assert classify(b"POST", Response(500, b"", b"", {b"l5d-retryable": said}, b"", 0)) is verdict
