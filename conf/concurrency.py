"""How many requests of a logical name may be under way at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from msgspec import Meta

from conf.fields import Count, CountFromZero, Millis, about
from conf.section import Kinded

_LIKE = "linkerd 1.x: none"


class Concurrency(Kinded, frozen=True):
    """How many requests may be under way at once, streams and tunnels to their end; one more is answered 503."""

    default_kind: ClassVar = "fixed"

    max_waiters: Annotated[
        CountFromZero,
        about(
            "Requests that may wait for one to end.",
            why="a queue makes all slower and helps with short bursts only",
            like="Envoy's `max_requests`; linkerd 1.x: none",
        ),
    ] = 0
    max_wait_ms: Annotated[
        Millis,
        about("How long one may wait.", why="longer than a burst", like="linkerd2's failfast; linkerd 1.x: none"),
    ] = 1_000


class FixedConcurrency(Concurrency, frozen=True, tag="fixed", kw_only=True):
    """A number."""

    limit: Annotated[Count, about("The most requests.", like=_LIKE)]


class GradientConcurrency(Concurrency, frozen=True, tag="gradient", kw_only=True):
    """A number that follows latency: it shrinks while answers take longer than they do without a queue.

    That is measured every ten seconds, for a few round trips, with fewer requests under way.
    """

    min_limit: Annotated[
        Count, about("Never fewer.", why="a little traffic always flows", like="Envoy: 3, Netflix: 20")
    ] = 5
    max_limit: Annotated[
        Count, about("Never more.", why="a bound for what is learnt by mistake", like="Envoy's adaptive concurrency")
    ] = 1_000
    initial_limit: Annotated[
        Count,
        about(
            "So many at first; it grows while it is used.",
            why="enough for a quiet service",
            like="Netflix's concurrency-limits",
        ),
    ] = 20
    tolerance: Annotated[
        float,
        Meta(ge=1.0, le=10.0),
        about(
            "How many times the latency without a queue is normal.",
            why="requests differ",
            like="Netflix's concurrency-limits",
        ),
    ] = 1.5

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if self.max_limit < self.min_limit:
            yield "maxLimit", f"{self.max_limit} is less than minLimit, {self.min_limit}"
        elif self.initial_limit < self.min_limit:
            yield "initialLimit", f"{self.initial_limit} is less than minLimit, {self.min_limit}"
        elif self.max_limit < self.initial_limit:
            yield "maxLimit", f"{self.max_limit} is less than initialLimit, {self.initial_limit}"


AnyConcurrency = FixedConcurrency | GradientConcurrency
