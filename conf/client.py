"""The policy towards a concrete name: balancing, health, connections, the time of one attempt.

A policy is one for all names (`io.l5d.global`) or a list of prefixes (`io.l5d.static`). In a list all that match
are applied in order, and a later one wins key by key; so "not set" is None, and differs from the default.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, TypeAlias, get_args

from balancer.rotation import AllDead
from conf.balancing import (
    AnyAccrual,
    AnyBalancer,
    ClientSession,
    ConsecutiveFailures,
    Ewma,
    HostConnectionPool,
    RingHash,
    ZonePreference,
)
from conf.checks import AnyHealthCheck, NoCheck
from conf.errors import KeyPath
from conf.fields import CountFromZero, Millis, MillisFromZero, about, one_of
from conf.retries import RetryBudget
from conf.section import Kinded, Section, laid_over, not_yet
from conf.tls import ClientTlsKeys
from namer.pattern import PathPattern

WhenAllDead = Annotated[AllDead, one_of(*get_args(AllDead))]

ProxyProtocol: TypeAlias = Literal["v1", "v2", "none"]
WhichProxyProtocol = Annotated[ProxyProtocol, one_of(*get_args(ProxyProtocol))]


@dataclass(frozen=True, slots=True)
class ClientParams:
    """What holds for one concrete name; the defaults are the documented ones."""

    load_balancer: AnyBalancer = Ewma()
    zone_preference: ZonePreference | None = None
    failure_accrual: AnyAccrual = ConsecutiveFailures()
    health_check: AnyHealthCheck = NoCheck()
    request_attempt_timeout_ms: int | None = None
    connect_timeout_ms: int = 3_000
    requeue_budget: RetryBudget = RetryBudget()
    host_connection_pool: HostConnectionPool = HostConnectionPool()
    client_session: ClientSession = ClientSession()
    fail_fast: bool = True
    slow_start_ms: int = 10_000
    when_all_dead: AllDead = "tryAll"
    max_retry_after_secs: int = 60
    proxy_protocol: ProxyProtocol = "none"
    forward_client_cert: bool = False
    tls: ClientTlsKeys | None = None
    """With what was captured filled in."""


class ClientKeys(Section, frozen=True):
    """What may be set for a concrete name."""

    absent: ClassVar = {
        "socketOptions": not_yet("socket options towards the endpoints"),
    }

    load_balancer: Annotated[
        AnyBalancer | None,
        about(
            "How an endpoint is chosen.",
            why="it is the only kind that avoids an endpoint that has become slow",
            like="linkerd2; linkerd 1.x: p2c",
        ),
    ] = None
    zone_preference: Annotated[
        ZonePreference | None,
        about(
            "Prefer the endpoints in the zone of this host.",
            why="zones may differ in size",
            like="Envoy, Istio",
            unset="zones do not count",
        ),
    ] = None
    failure_accrual: Annotated[
        AnyAccrual | None,
        about("When an endpoint is taken for dead.", why="one policy that needs no tuning: five in a row"),
    ] = None
    health_check: Annotated[
        AnyHealthCheck | None,
        about(
            "Active health checks.",
            why="requests already tell most, and each agent's checks are load for each endpoint",
            like="HAProxy, Envoy",
        ),
    ] = None
    request_attempt_timeout_ms: Annotated[
        Millis | None,
        about(
            "The time for one attempt; then another may be made, if the classifier allows.",
            why="some requests are meant to last",
            unset="no limit",
        ),
    ] = None
    connect_timeout_ms: Annotated[
        Millis | None,
        about(
            "The time to connect to an endpoint.",
            why="one lost SYN is survived, and a host that is gone is soon noticed",
            like="between finagle's 1 s and Envoy's 5 s",
        ),
    ] = None
    requeue_budget: Annotated[
        RetryBudget | None,
        about("How many requests that were never sent are sent elsewhere at once, for each concrete name."),
    ] = None
    host_connection_pool: Annotated[HostConnectionPool | None, about("The connections kept to each endpoint.")] = None
    client_session: Annotated[ClientSession | None, about("How long a connection to an endpoint may live.")] = None
    fail_fast: Annotated[
        bool | None,
        about(
            "Take an endpoint for dead when one connection fails, and try it again after 1 to 32 s. `false`: a failed "
            "connection is a failure like any other.",
            why="it serves nobody, and while nothing else is usable it gets traffic all the same",
            like="linkerd 1.x: false",
        ),
    ] = None

    slow_start_ms: Annotated[
        MillisFromZero | None,
        about(
            "Over how long an endpoint that is new, or alive again, comes to its whole share, from a tenth of it. 0 is "
            "at once. Endpoints that are all new do not wait for each other.",
            why="a cold process is slow, and looks idle to everybody",
            like="HAProxy and Envoy have it, off; linkerd 1.x: none",
        ),
    ] = None
    when_all_dead: Annotated[
        WhenAllDead | None,
        about(
            "Who gets the traffic when no endpoint is alive. `tryAll`: any of them. `lastGood`: the one that was alive "
            "last. `failFast`: none, the answer is 503 at once but for the requests that are probes.",
            why="the verdict may be wrong, and somebody has to find out that it is over",
            like="linkerd 1.x: as `tryAll`; linkerd2: as `failFast`",
        ),
    ] = None
    max_retry_after_secs: Annotated[
        CountFromZero | None,
        about(
            "The longest that an endpoint is left alone because it says `Retry-After` with 429 or 503; 0: "
            "it is not left alone. It counts as an ejection: others must be able to do its work.",
            why="it knows best, but a mistake must not last",
            like="linkerd2: 300; others do not heed it",
        ),
    ] = None
    proxy_protocol: Annotated[
        WhichProxyProtocol | None,
        about(
            "Tell each endpoint who calls, by the PROXY protocol: `v1`, `v2`, or `none`, which turns off what an "
            "earlier prefix turned on. A connection then serves one request, or one tunnel, because it tells of one "
            "caller.",
            why="who does not expect the header takes it for rubbish",
            like="HAProxy's `send-proxy`, Envoy",
        ),
    ] = None
    forward_client_cert: Annotated[
        bool | None,
        about(
            "Tell endpoints of the caller's certificate, in `X-Forwarded-Client-Cert`. What callers say there "
            "themselves is always removed.",
            why="names and serial numbers are nobody's business who did not ask",
        ),
    ] = None
    tls: Annotated[ClientTlsKeys | None, about("TLS to the endpoints.", unset="plain")] = None

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if self.zone_preference is not None and isinstance(self.load_balancer, RingHash):
            yield "zonePreference", "loadBalancer ringHash goes by its key, whatever the zone; leave one out"

    def over(self, below: ClientParams, captured: Mapping[str, str]) -> ClientParams:
        """These keys laid over others: what is not set here stays. *captured* is what the prefix remembered."""
        return ClientParams(
            load_balancer=laid_over(below.load_balancer, self.load_balancer),
            zone_preference=laid_over(below.zone_preference, self.zone_preference),
            failure_accrual=laid_over(below.failure_accrual, self.failure_accrual),
            health_check=laid_over(below.health_check, self.health_check),
            request_attempt_timeout_ms=laid_over(below.request_attempt_timeout_ms, self.request_attempt_timeout_ms),
            connect_timeout_ms=laid_over(below.connect_timeout_ms, self.connect_timeout_ms),
            requeue_budget=laid_over(below.requeue_budget, self.requeue_budget),
            host_connection_pool=laid_over(below.host_connection_pool, self.host_connection_pool),
            client_session=laid_over(below.client_session, self.client_session),
            fail_fast=laid_over(below.fail_fast, self.fail_fast),
            slow_start_ms=laid_over(below.slow_start_ms, self.slow_start_ms),
            when_all_dead=laid_over(below.when_all_dead, self.when_all_dead),
            max_retry_after_secs=laid_over(below.max_retry_after_secs, self.max_retry_after_secs),
            proxy_protocol=laid_over(below.proxy_protocol, self.proxy_protocol),
            forward_client_cert=laid_over(below.forward_client_cert, self.forward_client_cert),
            tls=below.tls if self.tls is None else self.tls.filled(captured),
        )


class ClientPolicy(Kinded, frozen=True):
    """The policy towards concrete names, which names are bound to: `/#/io.l5d.fs/users`."""

    default_kind: ClassVar = "io.l5d.global"


class GlobalClient(ClientPolicy, ClientKeys, frozen=True, tag="io.l5d.global"):
    """One policy for all concrete names."""

    @staticmethod
    def of(params: ClientParams) -> GlobalClient:
        """The policy that spells out *params*."""
        return GlobalClient(
            load_balancer=params.load_balancer,
            zone_preference=params.zone_preference,
            failure_accrual=params.failure_accrual,
            health_check=params.health_check,
            request_attempt_timeout_ms=params.request_attempt_timeout_ms,
            connect_timeout_ms=params.connect_timeout_ms,
            requeue_budget=params.requeue_budget,
            host_connection_pool=params.host_connection_pool,
            client_session=params.client_session,
            fail_fast=params.fail_fast,
            slow_start_ms=params.slow_start_ms,
            when_all_dead=params.when_all_dead,
            max_retry_after_secs=params.max_retry_after_secs,
            proxy_protocol=params.proxy_protocol,
            forward_client_cert=params.forward_client_cert,
            tls=params.tls,
        )


class ClientPrefix(ClientKeys, frozen=True, kw_only=True):
    """What is set for the concrete names that begin like this."""

    prefix: Annotated[PathPattern, about("The names it is for; `/` is all, `*` and `{any}` are any one label.")]


class StaticClient(ClientPolicy, frozen=True, tag="io.l5d.static"):
    """A policy by prefix: all that match apply in order, and a later one wins, key by key."""

    configs: Annotated[tuple[ClientPrefix, ...], about("The prefixes with what is set for them.")]


AnyClientPolicy = GlobalClient | StaticClient


def parts_of(policy: AnyClientPolicy) -> Iterator[tuple[KeyPath, ClientKeys]]:
    """The mappings that a policy is made of, each with its place below that of the policy."""
    match policy:
        case GlobalClient():
            yield (), policy
        case StaticClient(configs):
            yield from ((("configs", number), keys) for number, keys in enumerate(configs))
