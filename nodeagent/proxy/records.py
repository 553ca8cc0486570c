"""What one listener tells of its requests when they are over."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import trio

from balancer.response_class import ResponseClass
from nodeagent.proxy.errors import ProxyError
from nodeagent.proxy.messages import Request, RequestHead, field_of
from nodeagent.proxy.tunnel import Tunnel
from nodeagent.telemetry.exchange import MAX_PATH, SLOW, Described, Exchanges
from nodeagent.telemetry.trace import is_recorded

_SUCCESS = ResponseClass.SUCCESS

MEMO = 256
"""Blocks of fields that are remembered."""

MEMO_BYTES = 2048
"""Of a block that is."""

_UNREAD = RequestHead(b"", b"", b"", 11, b"", {})
"""The head of what could not be read as a request."""


MAX_FIELD = 256
"""Bytes of a field that are kept, like those of a path."""


def describe(head: RequestHead) -> Described:
    """Return what a head says of who asks. Programs repeat their fields, so it is remembered."""
    fields = head.fields
    return _describe(head.version, fields) if len(fields) <= MEMO_BYTES else _describe.__wrapped__(head.version, fields)


@lru_cache(MEMO)
def _describe(version: int, fields: bytes) -> Described:
    user_agent, referer = field_of(fields, b"user-agent"), field_of(fields, b"referer")
    return Described(version, (user_agent or b"")[:MAX_FIELD], (referer or b"")[:MAX_FIELD])


class Records:
    """Makes the fields of an `Exchange` of each request to a listener."""

    __slots__ = ("_exchanges", "_now", "_router", "_server")

    def __init__(self, exchanges: Exchanges, router: str, server: str) -> None:
        """`server` is the listener's address as people write it."""
        self._exchanges = exchanges
        self._router = router
        self._server = server
        self._now: Callable[[], float] = trio.lowlevel.current_clock().current_time

    def settle(
        self,
        request: Request,
        status: int,
        received: int,
        sent: int,
        whole: bool,
        verdict: ResponseClass | None = None,
    ) -> None:
        """Tell of a request that is over: what its caller was told, and how much of it.

        `status` is 0 when no answer began; `whole` tells whether the caller got all of it.
        """
        exchanges = self._exchanges
        if not (exchanges.keepers or exchanges.watchers):
            return
        head, service, failure, client = request.head, request.service, request.failure, request.client
        now = self._now()
        error = message = derivation = None
        if failure is not None:
            error, message, derivation = failure.type, failure.message, failure.derivation
        if service is not None:
            label: str | None = service.label
            derivation, budget = service.derivation, service.budget.balance(now)
        else:
            label, budget = None if request.name is None else request.name.show(), None
        attempts, trace, received_at = request.attempts, request.trace, request.received_at
        plain = verdict is _SUCCESS and whole and len(attempts) == 1 and now - received_at < SLOW
        exchanges.tell(
            (
                self._router,
                self._server,
                request.peer,
                head.method,
                head.authority,
                head.path[:MAX_PATH],
                trace,
                label,
                derivation,
                request.dtab,
                received_at,
                request.bound_at,
                request.deadline,
                budget,
                attempts,
                request.answered_at or now,
                now,
                status,
                verdict,
                error,
                message,
                received,
                sent,
                whole,
                plain and not is_recorded(trace),
                describe(head) if exchanges.describe else None,
                None if client is None else client.identity,
                request.policy,
            )
        )

    def settle_tunnel(self, request: Request, tunnel: Tunnel, status: int = 200) -> None:
        """Tell of a tunnel that is over, whose caller was told `status`."""
        # What it calls sent came from the caller, as a request's body does.
        received, sent = tunnel.sent, tunnel.received
        self.settle(request, status, received=received, sent=sent, whole=not tunnel.broken, verdict=_SUCCESS)

    def refused(self, peer: str, error: ProxyError, sent: int) -> None:
        """Tell of what was refused before it was a request, with the answer that `error` is, of so many bytes."""
        request = Request(_UNREAD, b"", self._now(), peer)
        request.failure = error
        self.settle(request, error.status, received=0, sent=sent, whole=True)
