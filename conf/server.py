"""The listeners of a router."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Annotated, ClassVar

from msgspec import Meta, field

from conf.access import Callers
from conf.fields import (
    ONE_OR_MANY,
    Count,
    FileMode,
    HeaderName,
    IpAddress,
    Label,
    LogicalName,
    Millis,
    Port,
    SocketPath,
    about,
)
from conf.section import Kinded, Section, not_here, not_yet
from conf.tls import ServerTlsKeys


class Labeler(Kinded, frozen=True):
    """How one end of a connection is named in the `Forwarded` header (RFC 7239)."""


class IpLabeler(Labeler, frozen=True, tag="ip"):
    """The address: `192.168.1.1`, `"[2001:db8::17]"`."""


class IpPortLabeler(Labeler, frozen=True, tag="ip:port"):
    """Address and port: `"192.168.1.1:80"`, `"[2001:db8::17]:80"`."""


class ConnectionRandomLabeler(Labeler, frozen=True, tag="connectionRandom"):
    """A random label, the same for all requests of a connection."""


class RequestRandomLabeler(Labeler, frozen=True, tag="requestRandom"):
    """A random label for each request."""


class RouterLabeler(Labeler, frozen=True, tag="router"):
    """The label of the router."""


class StaticLabeler(Labeler, frozen=True, tag="static"):
    """A fixed label."""

    label: Annotated[HeaderName, about("The label; it is sent with `_` before it.")]


AnyLabeler = IpLabeler | IpPortLabeler | ConnectionRandomLabeler | RequestRandomLabeler | RouterLabeler | StaticLabeler


class AddForwardedHeader(Section, frozen=True):
    """Adds a `Forwarded` header to requests; one that is there already is continued."""

    by: Annotated[
        AnyLabeler, about("Names the agent.", why="RFC 7239: no address is shown unless the operator says so")
    ] = RequestRandomLabeler()
    for_: Annotated[AnyLabeler, about("Names the caller.", why="the same")] = field(
        default=RequestRandomLabeler(), name="for"
    )


class SocketOptions(Section, frozen=True):
    """Options of the listening socket and of the connections it accepts."""

    absent: ClassVar = {
        "readTimeoutMs": not_yet("a time limit for one read"),
        "writeTimeoutMs": not_yet("a time limit for one write"),
    }

    no_delay: Annotated[bool, about("TCP_NODELAY.", why="small messages do not wait for each other")] = True
    reuse_addr: Annotated[bool, about("SO_REUSEADDR.", why="a restart binds the port again at once")] = True
    reuse_port: Annotated[
        bool, about("SO_REUSEPORT.", why="two processes on one port are more often a mistake than a hand-over")
    ] = False
    keep_alive: Annotated[bool, about("SO_KEEPALIVE.", why="idle callers are the caller's business")] = False
    backlog: Annotated[Count | None, about("Connections that may wait to be accepted.", unset="the system's limit")] = (
        None
    )


class ServerSession(Section, frozen=True):
    """How long a caller's connection may live."""

    idle_time_ms: Annotated[
        Millis,
        about(
            "Closed after so long without a request.",
            why="callers that vanished are let go; an app may pause between bursts",
            like="between nginx's 75 s and Envoy's 1 h; linkerd 1.x: no limit",
        ),
    ] = 600_000
    life_time_ms: Annotated[Millis | None, about("Closed after so long, once unused.", unset="no limit")] = None
    stream_idle_time_ms: Annotated[
        Millis,
        about(
            "Closed when nothing of a body, of a request or of a response, has moved for so long. Waiting for the head "
            "of a response does not count.",
            why="a backend or caller that has stopped in the middle is let go; a stream that is alive says something",
            like="Envoy; linkerd 1.x: no limit",
        ),
    ] = 300_000


class Listener(Section, frozen=True, kw_only=True):
    """What all listeners have in common."""

    port: Annotated[Port, about("TCP port; 0 takes any free one.")] = 4140
    ip: Annotated[
        IpAddress, about("Address to listen on; `0.0.0.0` is all of IPv4.", why="nothing is open unless told so")
    ] = "127.0.0.1"
    path: Annotated[
        SocketPath | None,
        about(
            "A Unix socket to listen on, in place of `ip` and `port`. What a dead process has left there is replaced.",
            like="Envoy, HAProxy",
            unset="a TCP port",
        ),
    ] = None
    mode: Annotated[
        FileMode,
        about(
            "Permissions of the Unix socket, in octal and in quotes.",
            why="whoever may write to it may call: its owner and its group",
            like="HAProxy's `mode`",
        ),
    ] = "0660"
    proxy_protocol: Annotated[
        bool,
        about(
            "Each connection begins with a header of the PROXY protocol (v1 or v2) that says who calls, and is closed "
            "if it does not. Only for a port that nobody reaches but through a load balancer: what the header says is "
            "believed.",
            why="whoever reaches the port could say to be anybody",
            like="HAProxy's `accept-proxy`, Envoy",
        ),
    ] = False
    label: Annotated[
        Label | None, about("Accepted, without effect: metrics and logs name a listener by its address.", unset="none")
    ] = None
    max_concurrent_requests: Annotated[
        Count | None,
        about(
            "Requests under way at once; one more is answered 503 immediately. A tunnel is one, and so is a connection "
            "to a `tcp` router, which is reset where it is one too many. A caller who has less than an equal part of "
            "them is let in all the same, up to an eighth beyond, and at least one.",
            why="a caller who takes them all does not keep out the others; one who is alone may have them all",
            unset="no limit",
        ),
    ] = None
    max_connections: Annotated[
        Count | None,
        about(
            "Connections at once; one more is closed with a 503 (on a `tcp` router reset). At the limit, connections "
            "that idle are closed, and a caller who has less than an equal part is let in, up to an eighth beyond.",
            why="the descriptors are the process's: a third is for connections to endpoints, and some are kept for the "
            "admin port and discovery",
            like="HAProxy's `maxconn`",
            unset="what the limit of open files allows for all listeners together",
        ),
    ] = None
    tls: Annotated[ServerTlsKeys | None, about("TLS: callers must speak it.", unset="plain")] = None
    callers: Annotated[
        Annotated[tuple[Callers, ...], Meta(min_length=1), ONE_OR_MANY] | None,
        about(
            "Who may connect: any of these. Everybody else's connection is closed, whatever it would ask for.",
            like="Envoy's RBAC network filter",
            unset="everybody",
        ),
    ] = None
    socket_options: Annotated[SocketOptions, about("Options of the socket.")] = SocketOptions()

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Identities where nobody is asked for one."""
        if any(each.claims for each in self.callers or ()):
            yield "callers", "a connection has no claims: requests have; ask for them in rules of the router"
        asks = self.tls is not None and self.tls.ca_cert_path is not None
        if not asks and any(each.identities is not None for each in self.callers or ()):
            yield "callers", "nobody who connects here has an identity: that needs tls with caCertPath"

    @property
    def address(self) -> tuple[str, int]:
        """Host and port; of a Unix socket its path and 0."""
        return (self.ip, self.port) if self.path is None else (self.path, 0)

    @property
    def without_effect(self) -> tuple[str, ...]:
        """The keys that say nothing, as it listens elsewhere."""
        return ("mode",) if self.path is None else ("ip", "port")


class Server(Listener, frozen=True, kw_only=True):
    """A listener: where requests come in."""

    absent: ClassVar = {
        "announce": not_here("announcing a listener to ZooKeeper"),
    }

    name: Annotated[
        LogicalName | None,
        about(
            "Makes this the port of one service: every request is for this name below `dstPrefix`, as `users` or "
            "`users/db`, whatever its `Host` says. The `Host` goes to the backend all the same.",
            like="Envoy's listener per service",
            unset="the identifier says what a request is for",
        ),
    ] = None
    clear_context: Annotated[
        bool,
        about(
            "For a listener at the edge: `l5d-*` headers are neither believed nor shown, errors have no body.",
            why="inside, context travels from agent to agent",
        ),
    ] = False
    trust_dtab_headers: Annotated[
        bool | None,
        about(
            "Whether callers may choose where their own requests go, by `l5d-dtab` and `l5d-ctx-dtab`; else these are "
            "dropped.",
            why="whoever reaches the port could reach every name and address that the agent can",
            like="linkerd 1.x: any caller may, unless `clearContext` is set",
            unset="true on a loopback address and on a Unix socket, false on any other",
        ),
    ] = None
    add_forwarded_header: Annotated[
        AddForwardedHeader | None, about("Adds `Forwarded` (RFC 7239) to requests.", unset="not added")
    ] = None
    timestamp_header: Annotated[
        HeaderName | None,
        about("A header with the time of arrival in milliseconds since 1970.", unset="not added"),
    ] = None
    max_call_depth: Annotated[Count, about("The most `Via` entries; a request with more runs in circles.")] = 1000
    server_session: Annotated[ServerSession, about("How long a caller's connection may live.")] = ServerSession()

    @property
    def trusts_dtabs(self) -> bool:
        """Whether the dtabs of callers are obeyed."""
        if self.trust_dtab_headers is not None:
            return self.trust_dtab_headers
        return self.path is not None or ip_address(self.ip).is_loopback


class TcpSession(Section, frozen=True):
    """How long a caller's connection may live."""

    idle_time_ms: Annotated[
        Millis,
        about(
            "Closed when nothing has moved on it for so long, in either direction.",
            why="many protocols say nothing between two requests, and connections are kept for long",
            like="Envoy",
        ),
    ] = 3_600_000


class TcpServer(Listener, frozen=True, kw_only=True):
    """A listener that stands for one name: each of its connections goes to an endpoint of that."""

    name: Annotated[
        LogicalName, about("The name below `dstPrefix`, as `users-db` or `users/db`.", like="Envoy's `tcp_proxy`")
    ]
    server_session: Annotated[TcpSession, about("How long a caller's connection may live.")] = TcpSession()
