"""Whether a failed attempt is made again. Pure: it decides, the route sleeps and sends.

    what failed                              is made again when
    connecting, or no endpoint to connect to there is another endpoint or branch that has not failed this request
    a full endpoint                          there is another one that is alive and has room, or a place in its queue
                                             unless the request has waited already
    a kept connection that was closed        always, over a new one: nothing was sent
    the connection, before a response head   the method is idempotent (RFC 9110, 9.2.2) and the body can be sent again;
                                             MAX_LOST times, because the request itself may be what breaks its backends
    a trial that got no answer in time       always: only what can be repeated has such a limit
    an attempt's own timeout                 the classifier lets the method be retried, and the body can be sent again
    a response classed as retryable          the body can be sent again

What may have reached a backend is repeated at most `retries.maxPerRequest` times, from a budget, after a pause, and
only while some endpoint is usable: to ask again where all fail is load without hope. What was never sent is repeated at
once, while another endpoint is usable even when the budget is empty, MAX_ATTEMPTS attempts at most. A request whose
caller has gone, or whose total deadline has passed, is never tried again: its task is cancelled.
"""

from __future__ import annotations

from nodeagent.proxy.errors import (
    BadRequest,
    ConnectionStale,
    ConnectTimeout,
    DeadlineExceeded,
    DestinationForbidden,
    EndpointFull,
    LoopDetected,
    Overloaded,
    ProxyError,
    ResponseIncomplete,
    TrialTimeout,
)
from nodeagent.proxy.messages import IDEMPOTENT_METHODS, Request
from nodeagent.proxy.replay import ReplayBody

MAX_ATTEMPTS = 26
"""Attempts at one request, those included that never left; finagle repeats such 25 times."""

MAX_CONNECT_TIMEOUTS = 6
"""Attempts after which a connect that gets no answer is the last: each costs the caller `connectTimeoutMs`."""

MAX_LOST = 2
"""Repeats of a request whose connection broke while it was answered."""


def may_repeat(
    error: ProxyError,
    request: Request,
    timeout_methods: frozenset[bytes],
    attempt: int,
    *,
    repeats: int,
    elsewhere: bool,
    hope: bool,
) -> bool:
    """Tell whether the `attempt`-th attempt, which ended in `error`, is safe and useful to make again.

    `repeats` of the attempts repeated what may have reached a backend. `timeout_methods` are those for which the
    classifier allows a retry after an attempt's timeout; `elsewhere` tells whether there is an endpoint or branch that
    has not failed this request, and of a full endpoint, one with room; `hope`, whether what may have reached a backend
    can go to a usable endpoint, and was not repeated too often.
    """
    body = request.body
    if attempt >= MAX_ATTEMPTS or (isinstance(body, ReplayBody) and not body.restartable):
        return False
    if isinstance(error, EndpointFull):
        return elsewhere
    if isinstance(error, BadRequest | DestinationForbidden | LoopDetected | Overloaded):
        return False  # another attempt would end the same way, or make it worse
    if error.unsent and (elsewhere or isinstance(error, ConnectionStale)):
        return not (isinstance(error, ConnectTimeout) and attempt >= MAX_CONNECT_TIMEOUTS)
    if isinstance(error, TrialTimeout):
        return True
    if not hope:
        return False
    if isinstance(error, DeadlineExceeded):
        return request.head.method in timeout_methods and can_replay(request)
    if isinstance(error, ResponseIncomplete):
        return is_repeatable(request) and repeats < MAX_LOST
    return False


def is_repeatable(request: Request) -> bool:
    """Tell whether it does no harm to send the request twice. CONNECT sends nothing."""
    method = request.head.method
    return (method in IDEMPOTENT_METHODS and can_replay(request)) or method == b"CONNECT"


def can_replay(request: Request) -> bool:
    """Tell whether the request's body can be sent once more."""
    body = request.body
    return isinstance(body, bytes) or (isinstance(body, ReplayBody) and body.replayable)


def rewind(request: Request) -> None:
    """Set a streaming body back to its first byte."""
    if isinstance(request.body, ReplayBody):
        request.body.rewind()
