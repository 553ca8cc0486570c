"""The route of one request, in one place: identify, bind, then balance and dial inside the bound `Service`."""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Callable, Mapping
from logging import DEBUG
from typing import TYPE_CHECKING

import structlog
import trio

from balancer.response_class import ResponseClass
from namer.dtab import Dtab
from namer.grammar import NameSyntaxError
from namer.path import Path
from nodeagent.proxy import deadline
from nodeagent.proxy.bind import Bindings
from nodeagent.proxy.errors import (
    BadRequest,
    DestinationForbidden,
    InternalError,
    LoopDetected,
    ProxyError,
    to_response,
)
from nodeagent.proxy.identify import is_just_host, tunnel_names
from nodeagent.proxy.maxforwards import LastHop, forwards_left
from nodeagent.proxy.messages import VIA, Request, RequestHead, Response
from nodeagent.proxy.service import Service
from nodeagent.proxy.tunnel import Opened
from nodeagent.telemetry.exchange import Exchanges
from nodeagent.telemetry.registry import Registry
from nodeagent.telemetry.stats import ServiceStats
from nodeagent.telemetry.trace import request_id_line

if TYPE_CHECKING:
    from nodeagent.proxy.permits import Helper, Permits

log = structlog.get_logger("nodeagent.dispatch")
is_enabled = logging.getLogger("nodeagent.dispatch").isEnabledFor

_SUCCESS = ResponseClass.SUCCESS


class Router:
    """What requests to one router's listeners go through."""

    def __init__(
        self,
        label: str,
        *,
        prefix: Path,
        identify: Callable[[RequestHead], Path],
        bindings: Bindings,
        trace: Callable[[Mapping[bytes, bytes]], bytes],
        stats: Registry,
        max_error: int = 5 << 20,
        exchanges: Exchanges | None = None,
        permits: Permits | None = None,
    ) -> None:
        """`trace` turns a request's special fields into those that carry its trace on.

        `max_error` bounds the body of the agent's own errors, in bytes. `exchanges` hears of each request.
        `permits` says who may call what, None for everybody everything.
        """
        self.label = label
        self.prefix = prefix
        self.identify = identify
        self.bindings = bindings
        self.permits = permits
        self._stats = stats
        self._errors = stats.errors(label)
        self.tunnels = stats.tunnels(label)
        """Counts the tunnels, which whoever relays them tells."""
        self.exchanges = exchanges or Exchanges()
        self._only: Path | None = None
        self._max_error = max_error
        self._trace = trace
        self._now: Callable[[], float] = trio.lowlevel.current_clock().current_time

    @property
    def helpers(self) -> tuple[Helper, ...]:
        """What must run while there is traffic."""
        return () if self.permits is None else self.permits.helpers

    async def respond(self, request: Request, max_call_depth: int) -> Response:
        """Return the answer to `request`: the backend's, or the agent's own. Never raises but for cancellation.

        The caller owns the response's body. Cancelling ends whatever runs for the request.
        """
        try:
            # The guards come first: a request that circles must not cost a look-up each time round.
            context = self._context(request, max_call_depth)
            # identify: before bind, because the name is what is bound.
            request.name = name = self.identify(request.head)
            # policy: before bind, so that a refusal tells nothing of what there is.
            if self.permits is not None:
                await self.permits.check(request, name)
            # bind: waits for discovery only when the name is new.
            service = self.bindings.service_nowait(name, request.dtab)
            if service is None:
                service = await self._bound(request, name)
            request.service = service
            # The fields for the backend are put together once for all attempts; each adds its branch's own.
            request.fields = request.head.fields + context
            # balance and dial, retries included: composed when the name was bound.
            service.stats.pending += 1
            try:
                response = await service(request)
            finally:
                service.stats.pending -= 1
        except LastHop as here:
            return here.response
        except ProxyError as error:
            return self._failed(request, error)
        except Exception:
            log.exception("a bug: the request is answered with 500", name=request.name and request.name.show())
            return self._failed(request, InternalError("the agent failed; its log says more"))
        self._count(service.stats, request, response.verdict is _SUCCESS)
        self._finish(request, response)
        return response

    async def _bound(self, request: Request, name: Path) -> Service:
        """Wait until a name is bound, and note when."""
        try:
            return await self.bindings.service(name, request.dtab)
        finally:
            request.bound_at = self._now()

    def always(self, name: Path) -> Router:
        """Return this router as it serves a listener that stands for `name`, whatever is asked for."""
        one = copy.copy(self)
        one.identify = lambda head: name  # noqa: ARG005
        one._only = name
        return one

    async def tunnel(self, request: Request, max_call_depth: int) -> Opened:
        """Open what CONNECT asks for: a connection, and whom to tell when it is over.

        Raises ProxyError, counted against the name, but not as an answer.
        """
        try:
            request.fields = self._context(request, max_call_depth)
            names = self._tunnel_names(request.head)
            if self.permits is not None:
                await self.permits.check_any(request, names)
            request.name = name = await self._known_of(names, request)
            if self.permits is not None:
                await self.permits.check(request, name)
            request.service = service = await self._bound(request, name)
            tunnel = await service.connect(request)
        except ProxyError as error:
            self._note(request, error)
            raise
        except Exception:
            log.exception("a bug: the tunnel is refused", name=request.name and request.name.show())
            failure = InternalError("the agent failed; its log says more")
            self._note(request, failure)
            raise failure from None
        self._count(service.stats, request, True)
        return tunnel

    def _context(self, request: Request, max_call_depth: int) -> bytes:
        """Read what the caller says of the call, and return the fields that tell the next hop."""
        special = request.head.special
        request.trace = trace = self._trace(special)  # first: what is refused has an id, too
        fields = VIA
        if special:
            via = special.get(b"via")
            if via is not None:
                if via.count(b",") + 1 > max_call_depth:
                    raise LoopDetected(f"the request has passed through {via.count(b',') + 1} proxies")
                fields = _prolonged(via)
            if b"max-forwards" in special:
                fields += forwards_left(request.head)
            left = special.get(b"l5d-ctx-deadline")
            if left is not None:
                remaining = deadline.parse_remaining(left, time.time_ns())
                if remaining != math.inf:
                    request.deadline = request.received_at + remaining
            if b"l5d-dtab" in special or b"l5d-ctx-dtab" in special:
                request.dtab = local_dtab(special)
                if request.dtab is not None:
                    fields += b"l5d-ctx-dtab: %b\r\n" % request.dtab.show().encode("latin-1")
        if request.client is not None:
            fields += b"l5d-client-id: %b\r\n" % request.client.identity.encode()
        return fields + trace

    def _tunnel_names(self, head: RequestHead) -> tuple[Path, ...]:
        """Return what a CONNECT target may mean, in the order in which it is tried."""
        return tunnel_names(head.authority, self.prefix) if self._only is None else (self._only,)

    async def _known_of(self, names: tuple[Path, ...], request: Request) -> Path:
        """Return which of the names of a CONNECT target discovery knows."""
        if len(names) == 1:
            return names[0]
        plain, bound = names[-1], []
        for name in names:
            service = (await self.bindings.tree(name, request.dtab)).service
            if service is not None:
                if not all(is_just_host(client.id, plain) for client in service.clients):
                    return name
                bound.append(name)
        return bound[0] if bound else names[0]

    def refuse(self, error: ProxyError, request: Request | None = None) -> Response:
        """Return the agent's own answer for `error` to a request, None when it could not be read; count it."""
        self._errors[error.type] += 1
        response = to_response(error, self._max_error)
        if request is not None:
            request.failure = error
            request.trace = request.trace or self._trace(request.head.special)  # it was refused before it had one
            response.fields += request_id_line(request.trace)
        return response

    def broke_off(self, error: ProxyError) -> None:
        """Count an error that came too late for an answer of its own."""
        self._errors[error.type] += 1

    def _count(self, stats: ServiceStats, request: Request, success: bool) -> None:
        request.answered_at = now = self._now()
        stats.duration.observe(now - request.received_at)
        if success:
            stats.success += 1
        else:
            stats.failure += 1
        if request.tried:
            stats.retries_per_request.observe(len(request.tried))

    def _failed(self, request: Request, error: ProxyError) -> Response:
        self._note(request, error)
        return self.refuse(error, request)

    def _note(self, request: Request, error: ProxyError) -> None:
        """Count a request that failed against its name, and tell of an address that was refused."""
        name = request.name
        if name is not None:
            stats = self._stats.services.acquire(self.label, name.show(), _no_budget)
            self._count(stats, request, False)
            self._stats.services.release(stats, _no_budget)
        forbidden = isinstance(error, DestinationForbidden)
        if forbidden or is_enabled(DEBUG):
            shown = "" if name is None else name.show()
            say, event = (log.warning, "an address is refused") if forbidden else (log.debug, "a request failed")
            say(event, router=self.label, name=shown, error=error.message)

    def _finish(self, request: Request, response: Response) -> None:
        special = response.special
        via = special.get(b"via")
        success = special.get(b"l5d-success-class")
        if success is None:
            success = b"1.0" if response.verdict is _SUCCESS else b"0.0"
        response.fields += b"%b%bl5d-success-class: %b\r\n" % (
            VIA if via is None else _prolonged(via),
            request_id_line(request.trace),
            success,
        )
        if b"l5d-retryable" in special:
            response.fields += b"l5d-retryable: %b\r\n" % special[b"l5d-retryable"]


def _prolonged(via: bytes) -> bytes:
    return b"Via: %b, 1.1 nodeagent\r\n" % via


def _no_budget() -> float:
    return 0.0


def local_dtab(special: Mapping[bytes, bytes]) -> Dtab | None:
    """Return the caller's dentries: `l5d-ctx-dtab` from the hop before, then its own `l5d-dtab`.

    Raises BadRequest when they do not parse.
    """
    dtab = Dtab.EMPTY
    for field in (b"l5d-ctx-dtab", b"l5d-dtab"):
        text = special.get(field)
        if text:
            try:
                dtab += Dtab.parse(text.decode("latin-1"))
            except NameSyntaxError as error:
                raise BadRequest(f"identify: the {field.decode()} header is no dtab: {error}") from None
    return dtab if dtab.dentries else None
