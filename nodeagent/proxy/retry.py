"""Whether a failed attempt is made again. Pure: it decides, the route sleeps and sends.

    what failed                            is made again when
    the request was never sent             always, whatever the method
    the connection broke before a head     the method is idempotent (RFC 9110, 9.2.2) and the body can be sent again
    an attempt's own timeout               the classifier lets the method be retried, and the body can be sent again
    a response classed as retryable        the body can be sent again

and always: a budget pays (the concrete name's for what was never sent, the logical name's for the rest), and the
request was not tried MAX_ATTEMPTS times. A request whose
caller has gone, or whose total deadline has passed, is never tried again: its task is cancelled.
"""

from __future__ import annotations

from nodeagent.proxy.errors import (
    BadRequest,
    DeadlineExceeded,
    DestinationForbidden,
    LoopDetected,
    Overloaded,
    ProxyError,
    ResponseIncomplete,
)
from nodeagent.proxy.messages import IDEMPOTENT_METHODS, Request
from nodeagent.proxy.replay import ReplayBody

MAX_ATTEMPTS = 16
"""Attempts at one request; linkerd 1.x knew no such limit and could spin for hours."""


def may_repeat(error: ProxyError, request: Request, timeout_methods: frozenset[bytes]) -> bool:
    """Tell whether an attempt that ended in `error` is safe and useful to make again.

    `timeout_methods` are those for which the classifier allows a retry after an attempt's timeout.
    """
    if isinstance(error, BadRequest | DestinationForbidden | LoopDetected | Overloaded):
        return False  # another attempt would end the same way, or make it worse
    if error.unsent:
        return True
    if not can_replay(request):
        return False
    if isinstance(error, DeadlineExceeded):
        return request.head.method in timeout_methods
    return isinstance(error, ResponseIncomplete) and request.head.method in IDEMPOTENT_METHODS


def can_replay(request: Request) -> bool:
    """Tell whether the request's body can be sent once more."""
    body = request.body
    return isinstance(body, bytes) or (isinstance(body, ReplayBody) and body.replayable)


def rewind(request: Request) -> None:
    """Set a streaming body back to its first byte."""
    if isinstance(request.body, ReplayBody):
        request.body.rewind()
