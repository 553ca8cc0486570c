"""Requests and responses as the route sees them: neither HTTP/1.1 nor HTTP/2.

A head's fields are one block of bytes, each line with its CRLF, as received: order, case and spelling survive. Most of
them only pass through, so the block is copied and not taken apart. The few that somebody asks for, the names in
`REQUEST_SPECIAL` and `RESPONSE_SPECIAL`, are taken out by the codec into `special` under their lower-case name, and
are written again only by the one who owns them. A repeated special field is joined with ", " (RFC 9110, 5.3), so a
second Host or Content-Length turns into a value that its grammar refuses. `special` may be shared between messages:
who changes it makes a new one.

A body is `bytes` when all of it came along with the head, else a `Body` that is read piece by piece.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from math import inf
from typing import TYPE_CHECKING, Protocol

from balancer.response_class import ResponseClass

if TYPE_CHECKING:
    import trio

    from balancer.node import Node
    from namer.dtab import Dtab
    from namer.path import Path
    from nodeagent.policy.decision import Decision
    from nodeagent.proxy.caller import Caller
    from nodeagent.proxy.errors import ProxyError
    from nodeagent.proxy.service import Service
    from nodeagent.proxy.wire import Wire
    from nodeagent.telemetry.exchange import Attempt
    from tls.peer import Peer

HOP_BY_HOP = frozenset({
    b"connection", b"keep-alive", b"proxy-connection", b"proxy-authenticate", b"proxy-authorization",
    b"te", b"trailer", b"transfer-encoding", b"upgrade", b"http2-settings",
})  # fmt: skip
"""Fields that end at this hop (RFC 9110, 7.6.1; RFC 9113, 3.1 for HTTP2-Settings): never forwarded."""

REQUEST_SPECIAL = HOP_BY_HOP | {
    b"host", b"content-length", b"expect", b"via", b"max-forwards",
    b"l5d-dtab", b"l5d-ctx-dtab", b"l5d-ctx-deadline", b"l5d-ctx-trace", b"l5d-sample", b"l5d-reqid",
    b"l5d-dst-service", b"l5d-dst-client", b"l5d-dst-residual",
    b"traceparent", b"tracestate", b"b3",
    b"x-b3-traceid", b"x-b3-spanid", b"x-b3-parentspanid", b"x-b3-sampled", b"x-b3-flags",
    b"l5d-client-id", b"x-forwarded-client-cert",
}  # fmt: skip
"""Request fields that the agent reads or owns."""

RESPONSE_SPECIAL = HOP_BY_HOP | {
    b"content-length", b"via", b"l5d-reqid", b"l5d-retryable", b"l5d-success-class",
}  # fmt: skip
"""Response fields that the agent reads or owns."""

VIA = b"Via: 1.1 nodeagent\r\n"

SAFE_METHODS = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE"})
"""RFC 9110, 9.2.1."""

IDEMPOTENT_METHODS = SAFE_METHODS | {b"PUT", b"DELETE"}
"""RFC 9110, 9.2.2."""


class Body(Protocol):
    """A body that streams. One reader; memory is bounded by the size of one piece."""

    length: int | None
    """Bytes that were announced, or None."""
    trailers: list[bytes]
    """Field lines that came after the body; complete once `read` returned b""."""

    async def read(self) -> bytes:
        """Return the next piece, b"" at the end. Cancelling loses nothing but breaks the message: close it.

        Raises ProxyError when the sender breaks off or breaks the framing.
        """
        ...

    async def pour(self, sink: Wire, moved: Callable[[int], None]) -> None:
        """Write to `sink` as it is what comes in bulk, at the kernel's speed if it can be had. Reading goes on after.

        `moved` hears of each piece. Cancelling breaks the message, as does what is raised: ProxyError as by `read`, and
        OSError when `sink` broke.
        """
        ...

    def close(self) -> None:
        """Give up what is not read, and free what the body holds. Idempotent."""
        ...


class ResponseBody(Body, Protocol):
    """A body whose end others want to hear of."""

    def then(self, over: Callable[[], None]) -> None:
        """Call `over` once: when the body was read to its end, broke, or was given up. To be asked before that."""
        ...


def lines_of(fields: bytes) -> list[bytes]:
    """Return the lines of a block, without their CRLF."""
    return fields.split(b"\r\n")[:-1]


def block_of(lines: Iterable[bytes]) -> bytes:
    """Return the block of `lines`: what `lines_of` takes apart."""
    return b"".join([line + b"\r\n" for line in lines])


def field_of(fields: bytes, name: bytes) -> bytes | None:
    """Look up a field by its lower-case name in a block; repeated ones are joined with ", " (RFC 9110, 5.3)."""
    named = [line.partition(b":") for line in lines_of(fields)]
    values = [value.strip(b" \t") for key, _, value in named if key.lower() == name]
    return b", ".join(values) if values else None


def without_fields(fields: bytes, drops: Callable[[bytes], bool]) -> bytes:
    """Return a block without the fields that `drops` says yes to, by their names as they were sent."""
    return block_of(line for line in lines_of(fields) if not drops(line.partition(b":")[0]))


class RequestHead:
    """What was asked for. `path` is in origin form ("/a?b"), or "*"; empty for CONNECT."""

    __slots__ = ("authority", "fields", "method", "path", "special", "version")

    def __init__(
        self,
        method: bytes,
        authority: bytes,
        path: bytes,
        version: int,
        fields: bytes,
        special: Mapping[bytes, bytes],
    ) -> None:
        self.method = method
        self.authority = authority
        """host[:port] as sent, checked; b"" only for HTTP/1.0 without Host."""
        self.path = path
        self.version = version
        """10, 11 or 20."""
        self.fields = fields
        """Field lines, each with its CRLF; without the special ones."""
        self.special = special

    def get(self, name: bytes) -> bytes | None:
        """Look up any field by its lower-case name; repeated ones are joined with ", "."""
        found = self.special.get(name)
        if found is not None:
            return found
        if name == b"host":
            return self.authority or None
        return field_of(self.fields, name)

    def __repr__(self) -> str:
        return f"<{self.method.decode()} {self.authority.decode()}{self.path.decode()}>"


class Request:
    """One request on its way: its head and body, and what the stages have found out so far."""

    __slots__ = (
        "answered_at", "attempts", "avoid", "body", "bound_at", "caller", "client", "deadline", "dtab", "failure",
        "fields", "fresh", "head", "interim", "lost", "name", "node", "nursery", "peer", "policy", "received_at",
        "service", "trace", "tried",
    )  # fmt: skip

    def __init__(
        self,
        head: RequestHead,
        body: bytes | Body,
        received_at: float,
        peer: str = "",
        client: Peer | None = None,
    ) -> None:
        self.head = head
        self.body = body
        self.received_at = received_at
        """When its head was read, in trio's clock."""
        self.peer = peer
        """Who called, as "ip:port"."""
        self.caller: Caller | None = None
        """The user of this host, or the address, that has opened the connection."""
        self.client = client
        """Who called, by a verified certificate; None without one."""
        self.dtab: Dtab | None = None
        """The caller's own dentries (l5d-dtab), tried before the router's."""
        self.deadline = inf
        """When the caller stops waiting, in trio's clock."""
        self.fields = head.fields
        """Field lines for the backend: the caller's, then the agent's."""
        self.nursery: trio.Nursery | None = None
        """Where a streaming body may be sent from while the response is read; there for such bodies only."""
        self.interim: Callable[[int, bytes], Awaitable[None]] | None = None
        """Passes a 1xx response (status, fields) on to the client at once."""
        self.node: Node | None = None
        """The endpoint that the last attempt was or is at."""
        self.lost = False
        """A copy of the attempt that is out was answered first, by another endpoint."""
        self.avoid: tuple[Node, ...] = ()
        """Endpoints that failed this request: tried again only when nothing else is usable."""
        self.fresh = False
        """Whether the next attempt is over a new connection, because a kept one was lost under the last."""
        self.tried: tuple[str, ...] = ()
        """What went wrong so far, one text for each attempt that failed."""
        # For whoever tells of it when it is over (records.py).
        self.trace = b""
        """The field lines that carry its trace on, `l5d-reqid` among them."""
        self.name: Path | None = None
        self.service: Service | None = None
        """What its name was bound to."""
        self.policy: Decision | None = None
        """What the rules say of it, where there are any."""
        self.attempts: tuple[Attempt, ...] = ()
        self.failure: ProxyError | None = None
        """What the agent answers it with, or what broke its answer off."""
        self.bound_at = 0.0
        """When its name was bound, or given up; 0 while that had not to be waited for."""
        self.answered_at = 0.0
        """When it was known what to answer."""


_NO_VERDICT = ResponseClass.IGNORABLE


class Response:
    """A response head with its body. Whoever holds it must read the body to its end or close it."""

    __slots__ = ("body", "fields", "length", "reason", "special", "status", "verdict")

    def __init__(
        self,
        status: int,
        reason: bytes,
        fields: bytes,
        special: Mapping[bytes, bytes],
        body: bytes | ResponseBody,
        length: int | None,
    ) -> None:
        self.status = status
        self.reason = reason
        self.fields = fields
        self.special = special
        self.body = body
        self.length = length
        """Bytes of body, None when no field told (of a body of bytes: it came in chunks); for HEAD and 304 what
        Content-Length would have been."""
        self.verdict = _NO_VERDICT
        """What the classifier says of it; an answer of the agent's own has none."""

    def close(self) -> None:
        """Free the backend connection when the body will not be read to its end."""
        if not isinstance(self.body, bytes):
            self.body.close()

    def __repr__(self) -> str:
        return f"<{self.status} {self.reason.decode('latin-1')}>"
