"""The policy towards a logical name: total time, classification, retries.

A policy is one for all names (`io.l5d.global`) or a list of prefixes (`io.l5d.static`). In a list all that match
are applied in order, and a later one wins key by key; so "not set" is None, and differs from the default.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from conf.classifiers import AnyClassifier, NonRetryable5XX
from conf.concurrency import AnyConcurrency
from conf.fields import Millis, about
from conf.hedging import Hedging
from conf.retries import AnyRetryBackoff, FullJitterBackoff, Retries, RetryBudget
from conf.section import Kinded, Section, laid_over
from namer.pattern import PathPattern


@dataclass(frozen=True, slots=True)
class ServiceParams:
    """What holds for one logical name; the defaults are the documented ones."""

    total_timeout_ms: int | None = None
    response_classifier: AnyClassifier = NonRetryable5XX()
    retry_budget: RetryBudget = RetryBudget()
    retry_backoff: AnyRetryBackoff = FullJitterBackoff()
    max_retries: int = 5
    hedging: Hedging | None = None
    concurrency: AnyConcurrency | None = None


class ServiceKeys(Section, frozen=True):
    """What may be set for a logical name."""

    total_timeout_ms: Annotated[
        Millis | None,
        about(
            "The time for the whole request, retries included; after it the answer is 504.",
            why="some requests are meant to last",
            unset="no limit",
        ),
    ] = None
    response_classifier: Annotated[
        AnyClassifier | None, about("Which responses are failures, and which may be retried.")
    ] = None
    retries: Annotated[Retries | None, about("When a failed request is sent again.")] = None
    hedging: Annotated[
        Hedging | None,
        about(
            "When a request that takes long is sent a second time, to another endpoint. `{}` takes the defaults.",
            why="it sends requests that nobody asked for",
            like="finagle's backup requests, gRPC's hedging",
            unset="never",
        ),
    ] = None
    concurrency: Annotated[
        AnyConcurrency | None,
        about(
            "How many requests to a name may be under way at once.",
            why="what a service can do is known to its owner; a wrong guess fails requests that it could serve",
            like="linkerd 1.x: none; Envoy: 1024",
            unset="no limit",
        ),
    ] = None

    def over(self, below: ServiceParams) -> ServiceParams:
        """These keys laid over others: what is not set here stays."""
        retries = self.retries or Retries()
        return ServiceParams(
            total_timeout_ms=laid_over(below.total_timeout_ms, self.total_timeout_ms),
            response_classifier=laid_over(below.response_classifier, self.response_classifier),
            retry_budget=laid_over(below.retry_budget, retries.budget),
            retry_backoff=laid_over(below.retry_backoff, retries.backoff),
            hedging=laid_over(below.hedging, self.hedging),
            max_retries=laid_over(below.max_retries, retries.max_per_request),
            concurrency=laid_over(below.concurrency, self.concurrency),
        )


class ServicePolicy(Kinded, frozen=True):
    """The policy towards logical names, which requests are given by the identifier: `/svc/users`."""

    default_kind: ClassVar = "io.l5d.global"


class GlobalService(ServicePolicy, ServiceKeys, frozen=True, tag="io.l5d.global"):
    """One policy for all logical names."""

    @staticmethod
    def of(params: ServiceParams) -> GlobalService:
        """The policy that spells out *params*."""
        return GlobalService(
            total_timeout_ms=params.total_timeout_ms,
            response_classifier=params.response_classifier,
            hedging=params.hedging,
            retries=Retries(
                budget=params.retry_budget, backoff=params.retry_backoff, max_per_request=params.max_retries
            ),
            concurrency=params.concurrency,
        )


class ServicePrefix(ServiceKeys, frozen=True, kw_only=True):
    """What is set for the logical names that begin like this."""

    prefix: Annotated[PathPattern, about("The names it is for; `/` is all, `*` and `{any}` are any one label.")]


class StaticService(ServicePolicy, frozen=True, tag="io.l5d.static"):
    """A policy by prefix: all that match apply in order, and a later one wins, key by key."""

    configs: Annotated[tuple[ServicePrefix, ...], about("The prefixes with what is set for them.")]


AnyServicePolicy = GlobalService | StaticService
