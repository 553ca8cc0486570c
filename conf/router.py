"""Routers: one protocol, one dtab, some listeners and the policies between them and the endpoints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Final

from msgspec import Meta, field

from conf.access import AccessPolicy
from conf.accesslog import AccessLog
from conf.client import AnyClientPolicy, GlobalClient
from conf.fields import ONE_OR_MANY, Count, Kilobytes, Label, LogFile, Millis, Text, about, one_of, only
from conf.guard import AddressGuard
from conf.identifiers import AnyIdentifier, HeaderToken
from conf.interpreters import AnyInterpreter, DefaultInterpreter
from conf.section import Kinded, Section, not_here, not_yet
from conf.server import Server, TcpServer
from conf.service import AnyServicePolicy, GlobalService
from namer.dtab import Dtab
from namer.path import Path

Failover = Annotated[str, one_of("health", "names")]


class BindingCache(Section, frozen=True):
    """How much is remembered of names that were bound. A full cache makes a request slower, never fail."""

    paths: Annotated[Count, about("Logical names.")] = 1000
    trees: Annotated[Count, about("Accepted, without effect: kept with the logical name.")] = 1000
    bounds: Annotated[Count, about("Accepted, without effect: kept with the logical name.")] = 1000
    clients: Annotated[Count, about("Concrete names with their balancers.")] = 1000
    idle_ttl_secs: Annotated[Count, about("Seconds without use after which something is forgotten.")] = 600


class TracePropagator(Kinded, frozen=True):
    """The headers that carry the identity of a trace."""


class DefaultTracePropagator(TracePropagator, frozen=True, tag="io.l5d.default"):
    """W3C's `traceparent` and linkerd's `l5d-ctx-trace`; B3 if the caller sent it."""


class ZipkinTracePropagator(TracePropagator, frozen=True, tag="io.l5d.zipkin"):
    """The same, and Zipkin's B3 headers always."""


AnyTracePropagator = DefaultTracePropagator | ZipkinTracePropagator


class Router(Kinded, frozen=True, tag_field="protocol", kw_only=True):
    """A protocol with its listeners, names and policies."""

    absent_kinds: ClassVar = {
        "h2": not_yet("a router that speaks HTTP/2 to its backends"),
        "thrift": not_here("Thrift"),
        "mux": not_here("Mux"),
        "thriftmux": not_here("ThriftMux"),
    }

    dtab: Annotated[Dtab, about("The base delegation table; a request's own rules come after it.")] = Dtab.EMPTY
    dst_prefix: Annotated[Path, about("Stands before what the identifier makes of a request.")] = Path(("svc",))
    interpreter: Annotated[AnyInterpreter, about("Who resolves names.")] = DefaultInterpreter()
    service: Annotated[AnyServicePolicy, about("The policy towards logical names.")] = GlobalService()
    client: Annotated[AnyClientPolicy, about("The policy towards concrete names.")] = GlobalClient()
    address_guard: Annotated[
        AddressGuard, about("Where the agent may connect for names that come from outside.", like="none")
    ] = AddressGuard()
    policy: Annotated[
        AccessPolicy | None,
        about(
            "Who may call what.", like="Istio's AuthorizationPolicy; none in 1.x", unset="everybody may call everything"
        ),
    ] = None
    originator: Annotated[
        bool, about("Marks the first agent on the way of a request, for those who add up metrics.")
    ] = False
    failover: Annotated[
        Failover,
        about(
            "What makes an alternative (`|`, or an earlier rule) take over. `health`: that the one before is unknown, "
            "fails, or has no usable endpoint, for as long as that is so. `names`: only that it is unknown.",
            why="a name whose every endpoint is dead serves nobody",
            like="linkerd 1.x: as `names`",
        ),
    ] = "health"
    binding_timeout_ms: Annotated[
        Millis, about("The time to resolve a name; after it the answer is 504.", why="discovery may be starting")
    ] = 10_000
    binding_cache: Annotated[BindingCache, about("How much is remembered of bound names.")] = BindingCache()
    access_log: Annotated[
        AccessLog | None,
        about(
            "A line for each request; of a tunnel or a connection, when it ends.",
            like="linkerd 1.x: `httpAccessLog`",
            unset="none",
        ),
    ] = None
    experimental: Annotated[bool, about("Accepted, never needed.")] = False

    @property
    def logged(self) -> AccessLog | None:
        """The access log, by whichever key it was given."""
        return self.access_log


class HttpRouter(Router, frozen=True, tag="http", kw_only=True):
    """HTTP/1.0 and HTTP/1.1."""

    absent: ClassVar = {
        "announcers": not_here("announcing listeners to ZooKeeper"),
        "requestAuthorizers": not_here("Istio's mixer"),
        "loggers": not_here("Istio's mixer"),
        "maxChunkKB": not_here("chunks stream, whatever their size"),
        "maxRequestKB": not_here("bodies stream, whatever their size; linkerd 1.7 has dropped the key"),
        "maxResponseKB": not_here("bodies stream, whatever their size; linkerd 1.7 has dropped the key"),
    }

    label: Annotated[Label, about("Name of the router in metrics and on the admin pages; unique.")] = "http"
    servers: Annotated[tuple[Server, ...], Meta(min_length=1), about("The listeners.")]
    identifier: Annotated[
        tuple[AnyIdentifier, ...],
        Meta(min_length=1),
        ONE_OR_MANY,
        about("How a request gets its name: the first of the list that finds one.", why="`http_proxy` just works"),
    ] = (HeaderToken(),)
    max_headers_kb: Annotated[Kilobytes, about("The most that the headers of a request may have; above it 431.")] = (
        field(default=8, name="maxHeadersKB")
    )
    max_initial_line_kb: Annotated[
        Kilobytes, about("The most that the first line of a request may have; above it 414.")
    ] = field(default=4, name="maxInitialLineKB")
    max_err_response_kb: Annotated[
        Kilobytes, about("The most that the body of an error of the agent itself may have.")
    ] = field(default=5120, name="maxErrResponseKB")
    streaming_enabled: Annotated[
        bool,
        only(True, feature="holding bodies back"),
        about(
            "Bodies stream, with bounded memory.",
            why="holding them back costs time and memory",
        ),
    ] = True
    stream_after_content_length_kb: Annotated[
        Kilobytes | None,
        about(
            "Accepted, without effect: linkerd 1.x held shorter bodies back.",
            unset="every body streams",
        ),
    ] = field(default=None, name="streamAfterContentLengthKB")
    compression_level: Annotated[
        int,
        Meta(ge=-1, le=9),
        only(0, feature="compression of responses"),
        about(
            "Compression of responses; 0 is none.",
            why="it costs more time than it saves between neighbours",
            like="linkerd 1.x: -1, textual types at level 6",
        ),
    ] = 0
    trace_propagator: Annotated[AnyTracePropagator, about("The headers that carry traces.")] = DefaultTracePropagator()
    http_access_log: Annotated[
        LogFile | None,
        about("A file for an access log in the combined format: short for `accessLog`.", unset="none"),
    ] = None
    http_access_log_roll_policy: Annotated[
        Text,
        only("never", feature="rolling by the agent itself: let logrotate do it, with SIGHUP"),
        about("When the agent itself begins a new file: never; it opens the file anew at SIGHUP."),
    ] = "never"
    http_access_log_append: Annotated[
        bool,
        only(True, feature="a log that begins anew at each start"),
        about("What is in the file already stays.", why="what a restart deletes is what one wants to read after it"),
    ] = True
    http_access_log_rotate_count: Annotated[
        int,
        Meta(ge=-1, le=2**31 - 1),
        about("Accepted, without effect: how many files are kept is up to whoever rotates them."),
    ] = -1

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Two access logs."""
        if self.http_access_log is not None and self.access_log is not None:
            yield "httpAccessLog", "is short for accessLog, which is there as well; leave one of them out"

    @property
    def logged(self) -> AccessLog | None:
        """The access log, by whichever key it was given."""
        if self.http_access_log is None:
            return self.access_log
        return AccessLog(to=self.http_access_log, format="combined")


FOR_REQUESTS: Final[Mapping[object, tuple[str, ...]]] = {
    "client": ("requestAttemptTimeoutMs", "hostConnectionPool", "clientSession", "maxRetryAfterSecs"),
    "service": ("totalTimeoutMs", "responseClassifier", "retries", "hedging"),
}
"""Keys of the policies that are about requests: they have no place where connections are passed on."""


class TcpRouter(Router, frozen=True, tag="tcp", kw_only=True):
    """Any protocol on TCP: each listener stands for one name, and each connection goes to one of its endpoints.

    The agent dials at once, before the caller has said anything. A connection is one request in all numbers. Of the
    policies, what reads requests or sends them again has no place here: of `service` there is only `concurrency`.
    """

    label: Annotated[Label, about("Name of the router in metrics and on the admin pages; unique.")] = "tcp"
    servers: Annotated[tuple[TcpServer, ...], Meta(min_length=1), about("The listeners.")]


AnyRouter = HttpRouter | TcpRouter
