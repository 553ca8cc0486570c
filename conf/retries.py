"""How often is tried again, and after what pause: retry budgets and backoffs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from msgspec import Meta

from conf.fields import CountFromZero, Millis, MillisFromZero, about
from conf.section import Kinded, Section


class RetryBudget(Section, frozen=True):
    """How many retries are paid for: a part of the requests of the last `ttlSecs`, and some per second besides."""

    min_retries_per_sec: Annotated[
        CountFromZero,
        about("Retries per second that are always allowed.", why="a quiet service can retry, too"),
    ] = 10
    percent_can_retry: Annotated[
        float,
        Meta(ge=0.0, le=1000.0),
        about(
            "Retries for each request: 0.2 is one for five, 2.0 is two for each.",
            why="a backend that fails gets a fifth more load, not a multiple",
        ),
    ] = 0.2
    ttl_secs: Annotated[
        int,
        Meta(ge=1, le=60),
        about(
            "How long a request pays for retries, in seconds.",
            why="a short burst of failures can be paid",
            like="linkerd 1.x, with finagle's bounds",
        ),
    ] = 10


class Backoff(Kinded, frozen=True):
    """The pauses before retries, or before an endpoint that failed is tried again."""

    absent_kinds: ClassVar = {}


class ConstantBackoff(Backoff, frozen=True, tag="constant"):
    """Always the same pause."""

    ms: Annotated[MillisFromZero, about("The pause.")] = 0


class JitteredBackoff(Backoff, frozen=True, tag="jittered"):
    """Decorrelated jitter: from `minMs`, each pause is chosen at random up to three times the last one."""

    min_ms: Annotated[Millis, about("The shortest pause.")]
    max_ms: Annotated[Millis, about("The longest pause.")]

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if self.max_ms < self.min_ms:
            yield "maxMs", f"{self.max_ms} is less than minMs, {self.min_ms}"


class FullJitterBackoff(Backoff, frozen=True, tag="fullJitter"):
    """Anything from none to `minMs`, then to twice, four times it and so on, at most to `maxMs`."""

    min_ms: Annotated[Millis, about("The longest first pause.", why="a hiccup is shorter", like="Envoy, linkerd2")] = 25
    max_ms: Annotated[
        Millis,
        about(
            "The longest pause.", why="a caller waits; it is for a backend to catch its breath", like="Envoy, linkerd2"
        ),
    ] = 250

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if self.max_ms < self.min_ms:
            yield "maxMs", f"{self.max_ms} is less than minMs, {self.min_ms}"


AnyBackoff = ConstantBackoff | JitteredBackoff
AnyRetryBackoff = ConstantBackoff | JitteredBackoff | FullJitterBackoff
"""A dead endpoint is left alone for a while at least, so that its pauses are not drawn from zero on."""


class Retries(Section, frozen=True):
    """When a failed request is sent again. Budget, backoff and maximum merge apart."""

    budget: Annotated[RetryBudget | None, about("How many retries are paid for, for each service.")] = None
    backoff: Annotated[
        AnyRetryBackoff | None,
        about(
            "The pause before each retry; what was never sent is sent elsewhere without one.",
            why="callers of one backend do not come back together",
            like="Envoy's 25 to 250 ms; linkerd 1.x: none",
            unset="kind fullJitter",
        ),
    ] = None
    max_per_request: Annotated[
        CountFromZero | None,
        about(
            "Retries of one request, those aside that were never sent.",
            why="a loop of retries ends",
            like="linkerd 1.x: no limit",
            unset="5",
        ),
    ] = None
