"""Which responses are failures, and which failures may be retried."""

from __future__ import annotations

from typing import ClassVar

from conf.section import Kinded, not_yet


class ResponseClassifier(Kinded, frozen=True):
    """Tells successes from failures, and failures that may be retried from others.

    `l5d-retryable: true` on a failure makes it one that may be retried. Only a request whose body can be sent
    again is retried.
    """

    default_kind: ClassVar = "io.l5d.http.nonRetryable5XX"
    absent_kinds: ClassVar = {
        f"io.l5d.h2.{name}": not_yet("HTTP/2 and gRPC responses")
        for name in (
            "nonRetryable5XX",
            "retryableRead5XX",
            "retryableIdempotent5XX",
            "retryableAll5XX",
            "allSuccessful",
            "grpc.default",
            "grpc.compliant",
            "grpc.alwaysRetryable",
            "grpc.neverRetryable",
            "grpc.retryableStatusCodes",
        )
    }


class NonRetryable5XX(ResponseClassifier, frozen=True, tag="io.l5d.http.nonRetryable5XX"):
    """5xx and broken exchanges are failures; none is retried."""


class RetryableRead5XX(ResponseClassifier, frozen=True, tag="io.l5d.http.retryableRead5XX"):
    """The same failures; those of GET, HEAD, OPTIONS and TRACE are retried."""


class RetryableIdempotent5XX(ResponseClassifier, frozen=True, tag="io.l5d.http.retryableIdempotent5XX"):
    """The same failures; those of GET, HEAD, OPTIONS, TRACE, PUT and DELETE are retried."""


class RetryableAll5XX(ResponseClassifier, frozen=True, tag="io.l5d.http.retryableAll5XX"):
    """The same failures; those of POST and PATCH are retried as well. Only for backends where that does no harm."""


class AllSuccessful(ResponseClassifier, frozen=True, tag="io.l5d.http.allSuccessful"):
    """Every response is a success."""


AnyClassifier = NonRetryable5XX | RetryableRead5XX | RetryableIdempotent5XX | RetryableAll5XX | AllSuccessful
