"""What became of one request: everything that is known when it is over, as plain values.

When the answer of a request has gone out or cannot any more, all who stand in line at the `Exchanges` of the agent are
told of it. Whoever tells of single requests is one of them. Those who do so at once get an `Exchange`: the access log,
the tap, the spans. Those who keep it to be asked later, which is the recent requests of the admin port, get its
`Fields`: the same in a plain tuple, because to make an `Exchange` of them takes half a microsecond. Nothing is
formatted: that is up to whoever looks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import structlog

from balancer.accrual import Health
from balancer.response_class import ResponseClass
from namer.addr import Endpoint
from namer.dtab import Dtab
from namer.path import Path
from namer.steps import Step
from nodeagent.policy.decision import Decision

log = structlog.get_logger("nodeagent.exchange")

MAX_PATH = 1024
"""Bytes of a path that are kept: the rest of a long one says little, and there are many of them."""

SLOW = 1.0
"""Seconds from which a request is not like nearly all."""


GIVEN_UP = "given up"
"""The error of an attempt that was cancelled: by a copy that was sooner, a limit of time, or its caller."""


class Transport(NamedTuple):
    """How a connection to an endpoint was made, where TLS is configured."""

    kind: str
    """`mtls`: to the agent on its host, both sides verified. `tls`: to the endpoint itself. `plain`."""
    address: str
    """What was connected to."""
    version: str | None = None
    """What is spoken: `TLSv1.3`."""
    identity: str | None = None
    """The SPIFFE id of who is there, where that was verified."""
    why: str | None = None
    """Why it is plain."""

    def show(self) -> str:
        """All of it in a line."""
        if self.why is not None:
            return f"{self.kind}: {self.why}"
        return f"{self.kind} ({self.version}) with {self.identity or 'whoever'} at {self.address}"


Choice: TypeAlias = tuple[Path, Endpoint, Health, int, int, tuple[Any, ...], float]
"""The first seven of `Attempt`: what is known when an endpoint was chosen."""


class Attempt(NamedTuple):
    """One try at one endpoint. Times are in trio's clock."""

    client: Path
    """The concrete name."""
    endpoint: Endpoint
    health: Health
    """How it was held to be when it was chosen: a trial goes to one that is `PROBING`."""
    pending: int
    """Requests that were in flight at it just then."""
    endpoints: int
    """How many there were to choose from."""
    drawn: tuple[Any, ...]
    """What was compared: nodes of the balancer, each followed by its load; empty when nothing had to be."""
    started: float
    connected: float | None
    """When a connection was there: at once for one that was kept, None when none was had."""
    ended: float
    """When the response's head was there, or the attempt had failed."""
    status: int
    """Of the response; 0 without one."""
    verdict: ResponseClass | None
    """What the classifier said of the response."""
    error: str | None
    """What went wrong, as in the errors that callers get: `dial 10.0.0.7:80: connection refused`."""
    copy: bool = False
    """Whether it is the second copy of a hedged attempt."""
    span_id: int = 0
    """What the backend was told as the span above its own; 0 when that is the span of the request."""
    transport: Transport | None = None
    """How its connection was made; None for one that never stood, and where no TLS is configured."""


class Derivation(NamedTuple):
    """How a name had come to be bound as it was. Made when it is bound, and shared by its requests."""

    steps: tuple[Step, ...]
    branches: tuple[tuple[Path, float], ...]
    """Concrete names, each with its share of the traffic."""


class Described(NamedTuple):
    """What the head of a request says of who asks, and how."""

    version: int
    """10, 11 or 20, as of `RequestHead`."""
    user_agent: bytes
    referer: bytes


Fields: TypeAlias = tuple[Any, ...]
"""Those of an `Exchange`, all of them, in their order."""


class Exchange(NamedTuple):
    """One request and what became of it. Times are in trio's clock, sizes in bytes."""

    router: str
    server: str
    """The listener, as people write it."""
    peer: str
    """Who called, "ip:port" or "unix"."""
    method: bytes
    authority: bytes
    path: bytes
    """In origin form, at most MAX_PATH of it; empty for CONNECT, and when no request could be read."""
    trace: bytes
    """The field lines that carried the trace on, `l5d-reqid` among them."""
    name: str | None
    """The logical name; None when it was refused before it had one."""
    derivation: Derivation | None
    """None when the name was not bound."""
    dtab: Dtab | None
    """The caller's own dentries."""
    received_at: float
    """When its head was read."""
    bound_at: float
    """When its name was bound, or given up; 0 when that had not to be waited for."""
    deadline: float
    """When its caller, or the configuration, would have given it up; inf for never."""
    budget: int | None
    """Retries that could have been paid for when it ended; None where no name was bound."""
    attempts: tuple[Attempt, ...]
    answered_at: float
    """When it was known what to answer."""
    ended_at: float
    status: int
    """What the caller was told; 0 when the answer did not begin."""
    verdict: ResponseClass | None
    """What the classifier said of the answer; None when it is the agent's own."""
    error: str | None
    """The Proxy-Status type, when the answer is the agent's own or broke off."""
    message: str | None
    """What was wrong, in one line."""
    received: int
    """Of the request's body."""
    sent: int
    """Of the response's body; both ways of a tunnel are counted as of its caller."""
    whole: bool
    """Whether the caller got all of its answer."""
    plain: bool
    """Whether it went as nearly all do: one attempt, a success, soon, and not traced."""

    described: Described | None = None
    """How it said it was asked, where some watcher wants to know."""
    identity: str | None = None
    """Who called, by a verified certificate."""
    policy: Decision | None = None
    """What the rules of its router say of it, where it has any."""

    @classmethod
    def of(cls, fields: Fields) -> Exchange:
        """Return the exchange with these fields; by its own constructor it takes twice the time."""
        return tuple.__new__(cls, fields)

    @property
    def failed(self) -> bool:
        """Whether it went wrong for its caller, whoever is to blame."""
        return self.error is not None or self.status >= 500 or not self.whole or self.verdict in _FAILURES


_FAILURES = (ResponseClass.FAILURE, ResponseClass.RETRYABLE)

Watcher: TypeAlias = Callable[[Exchange], None]
"""Hears of each exchange in the middle of traffic: it must be quick, and never block."""

Keeper: TypeAlias = Callable[[Fields], None]
"""As a watcher, but for one that does not look at it now."""


class Exchanges:
    """Where all who want to hear of each request stand in line."""

    __slots__ = ("describe", "keepers", "watchers")

    def __init__(self) -> None:
        self.describe = False
        """Whether somebody wants to know of `Exchange.described`."""
        self.watchers: tuple[Watcher, ...] = ()
        self.keepers: tuple[Keeper, ...] = ()
        """While there are none of either, nobody need gather `Fields`."""

    def keep(self, keeper: Keeper) -> None:
        """Give `keeper` the fields of each request from now on."""
        self.keepers += (keeper,)

    def watch(self, watcher: Watcher) -> None:
        """Tell `watcher` of each request from now on."""
        self.watchers += (watcher,)

    def unwatch(self, watcher: Watcher) -> None:
        """Tell it no more. Raises ValueError when it does not watch."""
        watchers = list(self.watchers)
        watchers.remove(watcher)
        self.watchers = tuple(watchers)

    def tell(self, fields: Fields) -> None:
        """Tell all. One that fails is in the log, and harms neither the others nor the traffic."""
        for keeper in self.keepers:
            try:
                keeper(fields)
            except Exception:
                _log_bug(keeper)
        if not self.watchers:
            return
        exchange = Exchange.of(fields)
        for watcher in self.watchers:
            try:
                watcher(exchange)
            except Exception:
                _log_bug(watcher)


def _log_bug(of: Callable[..., None]) -> None:
    log.exception("a bug: a request is not recorded", watcher=repr(of))
