"""Response classifiers: was that a success, a failure, or a failure that may be tried again? Pure.

As linkerd 1.x: a 5xx is a failure; which failures are retryable depends on the kind and the method; the backend's own
`l5d-retryable: true` on a failure makes it retryable whatever the kind.
"""

from __future__ import annotations

from collections.abc import Callable

from balancer.response_class import ResponseClass
from nodeagent.proxy.messages import IDEMPOTENT_METHODS, SAFE_METHODS, Response

Classify = Callable[[bytes, Response], ResponseClass]
"""(method, response) -> class."""

_SUCCESS = ResponseClass.SUCCESS  # a plain global: looked up on its enum class a member costs several times as much

RETRYABLE_METHODS: dict[str, frozenset[bytes]] = {
    "io.l5d.http.nonRetryable5XX": frozenset(),
    "io.l5d.http.retryableRead5XX": SAFE_METHODS,
    "io.l5d.http.retryableIdempotent5XX": IDEMPOTENT_METHODS,
    "io.l5d.http.retryableAll5XX": IDEMPOTENT_METHODS | {b"POST", b"PATCH"},
    "io.l5d.http.allSuccessful": frozenset(),
}
"""Methods whose 5xx (and timeouts) the kind lets be retried."""


def make_classifier(kind: str) -> Classify:
    """Return the classifier of linkerd's name `kind`. Raises KeyError for an unknown one."""
    methods = RETRYABLE_METHODS[kind]
    if kind == "io.l5d.http.allSuccessful":
        return _always_success

    def classify(method: bytes, response: Response) -> ResponseClass:
        if response.status < 500:
            return _SUCCESS
        if method in methods or response.special.get(b"l5d-retryable", b"").lower() == b"true":
            return ResponseClass.RETRYABLE
        return ResponseClass.FAILURE

    return classify


def _always_success(method: bytes, response: Response) -> ResponseClass:  # noqa: ARG001
    return _SUCCESS
