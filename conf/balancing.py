"""How an endpoint is chosen, when it is taken for dead, and the connections kept to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from msgspec import Meta

from conf.fields import CookieName, Count, CountFromZero, HeaderName, Label, Millis, Ratio, about, only
from conf.retries import AnyBackoff
from conf.section import Kinded, Section

_MaxEffort = Annotated[
    Count,
    Meta(le=1000),
    about("How often to pick again when a dead endpoint was picked.", why="then traffic flows to it all the same"),
]
_Choices = Annotated[int, Meta(ge=2, le=100)]
_Load = Annotated[float, Meta(ge=0.001, le=1_000_000.0)]


class LoadBalancer(Kinded, frozen=True):
    """How an endpoint is chosen among those of a name."""

    default_kind: ClassVar = "ewma"

    enable_probation: Annotated[
        bool,
        only(False, feature="keeping endpoints that discovery dropped"),
        about("Keep endpoints that discovery has dropped.", why="what discovery says is believed"),
    ] = False


class Ewma(LoadBalancer, frozen=True, tag="ewma"):
    """The best of a few choices by peak EWMA: the endpoint whose latency times load is lower.

    The default: it is the only kind that sees that an endpoint has become slow.
    """

    max_effort: _MaxEffort = 5
    choices: Annotated[
        _Choices,
        about(
            "How many endpoints are drawn to choose the best of.",
            why="where endpoints differ, two draws miss the fast ones too often; with all of them, agents that know "
            "the same would run together to the one that looks best",
            like="linkerd 1.x and Envoy: 2",
        ),
    ] = 3
    decay_time_ms: Annotated[
        Millis, about("How long a slow answer is remembered.", why="longer than a hiccup, shorter than a deployment")
    ] = 10_000


class P2c(LoadBalancer, frozen=True, tag="p2c"):
    """Power of two choices by load: of two endpoints the one with fewer requests under way."""

    max_effort: _MaxEffort = 5
    choices: Annotated[
        _Choices,
        about("How many endpoints are drawn to choose the best of.", why="two make loads nearly even already"),
    ] = 2


class ApertureBalancer(LoadBalancer, frozen=True, tag="aperture"):
    """Power of two choices among a few endpoints, as many as the load needs: fewer connections to large sets."""

    max_effort: _MaxEffort = 5
    smooth_window_ms: Annotated[Millis, about("Over how long the load is averaged.", why="longer than a burst")] = 5_000
    low_load: Annotated[
        _Load,
        about(
            "Requests under way per endpoint below which the set shrinks.",
            why="connections that are idle half of the time can be fewer",
        ),
    ] = 0.5
    high_load: Annotated[
        _Load,
        about(
            "Requests under way per endpoint above which the set grows.", why="at twice the load some wait for others"
        ),
    ] = 2.0
    min_aperture: Annotated[Count, about("The fewest endpoints to use.", why="a quiet client needs one connection")] = 1

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if self.high_load <= self.low_load:
            yield "highLoad", f"{self.high_load:g} must be above lowLoad, {self.low_load:g}"


class HeapBalancer(LoadBalancer, frozen=True, tag="heap"):
    """Always the endpoint with the fewest requests under way."""


class RoundRobinBalancer(LoadBalancer, frozen=True, tag="roundRobin"):
    """One endpoint after the other."""

    max_effort: _MaxEffort = 5


class RingHash(LoadBalancer, frozen=True, tag="ringHash"):
    """Affinity: requests with the same header or cookie go to the same endpoint, by consistent hashing.

    An endpoint that dies or leaves loses its requests to the others and gets them back; those of the others stay where
    they are. Every agent chooses alike. A request without a key goes to the one of two with fewer requests under way.
    """

    max_effort: _MaxEffort = 5
    header: Annotated[
        HeaderName | None,
        about(
            "The header whose value is the key.",
            why="only the operator knows it",
            unset="by cookie",
            like="Envoy's `ring_hash`",
        ),
    ] = None
    cookie: Annotated[
        CookieName | None,
        about(
            "The cookie whose value is the key.",
            why="only the operator knows it",
            unset="by header",
            like="Envoy's `ring_hash`",
        ),
    ] = None
    set_cookie: Annotated[
        bool,
        about(
            "Give a caller that has no such cookie one with a value by chance, so that it comes back to the endpoint "
            "that served it. Choose a name that the service does not use.",
            why="answers are left as they are unless that is asked for",
            like="HAProxy's `cookie NAME insert`; Envoy, with a `ttl`",
        ),
    ] = False

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if self.header is None and self.cookie is None:
            yield "header", "ringHash needs a header or a cookie to go by"
        if self.header is not None and self.cookie is not None:
            yield "cookie", f"the key is the header {self.header} already; give only one of both"
        if self.set_cookie and self.cookie is None:
            yield "setCookie", "there is no cookie to set; give its name as cookie"


AnyBalancer = Ewma | P2c | ApertureBalancer | HeapBalancer | RoundRobinBalancer | RingHash


class ZonePreference(Section, frozen=True):
    """The zone of this host takes the traffic while it can; what it cannot take goes to the others by their capacity.

    Which zone an endpoint is in is told by discovery: the zone of an EndpointSlice, the pair `zone` in the `Meta` of a
    Consul service or its node, or their `Locality`, `zone=NAME` in a file. One that it says nothing of is in another
    zone. Priorities come first: zones count among the endpoints of one priority.
    """

    zone: Annotated[
        Label | None,
        about(
            "The zone of this host.",
            why="all hosts may share one file; where neither is given, no zone is preferred",
            unset="the environment variable `NODE_ZONE`",
            like="Envoy's `--service-zone`",
        ),
    ] = None
    overprovisioning_percent: Annotated[
        int,
        Meta(ge=100, le=1000),
        about(
            "How much of its usual load the zone can take. It keeps everything while the usable part of its endpoints, "
            "by weight, times this is 100 % or more; below that it keeps so much.",
            why="the zone begins to give away when less than 72 % of its endpoints are usable",
            like="Envoy's `overprovisioning_factor`",
        ),
    ] = 140


class FailureAccrual(Kinded, frozen=True):
    """When an endpoint is taken for dead. It is tried again after a pause, with one request."""

    backoff: Annotated[
        AnyBackoff | None,
        about(
            "How long an endpoint stays dead, the first time and each time after.",
            why="a restart takes seconds, an outage minutes; jitter keeps agents from coming back together",
            unset="equal jitter from 5 s, doubling to 300 s",
        ),
    ] = None
    max_ejection_percent: Annotated[
        int,
        Meta(ge=0, le=100),
        about(
            "How many of the endpoints may be out at a time because they fail, or ask to be left alone. Beyond that, "
            "and for the last one of several, that has no effect until another one is back. 100 is no limit. "
            "Endpoints that cannot be connected to are out in any case.",
            why="what is left must carry the load, and when so many fail the trouble is mostly not theirs alone",
            like="Envoy: 10, of two it can be both; linkerd 1.x: 100",
        ),
    ] = 50


class ConsecutiveFailures(FailureAccrual, frozen=True, tag="io.l5d.consecutiveFailures"):
    """Dead after failures in a row."""

    failures: Annotated[
        Count,
        about(
            "How many.",
            why="fewer are chance where errors are a few per cent",
            like="finagle; linkerd 1.x wants it given",
        ),
    ] = 5


class SuccessRate(FailureAccrual, frozen=True, tag="io.l5d.successRate", kw_only=True):
    """Dead when the moving average over some requests falls below a rate."""

    success_rate: Annotated[Ratio, about("The least that is good enough.")]
    requests: Annotated[Count, about("How many requests are averaged.")]


class SuccessRateWindowed(FailureAccrual, frozen=True, tag="io.l5d.successRateWindowed", kw_only=True):
    """Dead when the moving average over some time falls below a rate."""

    success_rate: Annotated[Ratio, about("The least that is good enough.")]
    window: Annotated[Count, Meta(le=86_400), about("Over how long requests are averaged, in seconds.")]


class NoAccrual(FailureAccrual, frozen=True, tag="none"):
    """No endpoint is ever taken for dead."""


AnyAccrual = ConsecutiveFailures | SuccessRate | SuccessRateWindowed | NoAccrual


class HostConnectionPool(Section, frozen=True):
    """The connections kept to one endpoint."""

    min_size: Annotated[
        CountFromZero, about("Connections that idleness does not close.", why="a kept one may be stale by then")
    ] = 0
    max_size: Annotated[
        Count | None,
        about("The most connections.", why="what an endpoint can do is known to its owner", unset="no limit"),
    ] = None
    idle_time_ms: Annotated[
        Millis,
        about(
            "How long an unused connection is kept.",
            why="servers hang up on idle connections; linkerd 1.x kept them for ever and met closed ones",
            like="shorter than nginx's 60 s and Go's 90 s",
        ),
    ] = 30_000
    max_waiters: Annotated[
        CountFromZero | None,
        about(
            "Requests that may wait for a connection when `maxSize` is reached.",
            why="`maxWaitMs` bounds them",
            unset="no limit",
        ),
    ] = None
    max_wait_ms: Annotated[
        Millis | None,
        about(
            "How long a request may wait for a connection when `maxSize` is reached; then it goes to an endpoint with "
            "room, or is answered 503.",
            why="whether it waits for a place or for a handshake, it waits as long",
            like="HAProxy: `timeout queue` is `timeout connect`; linkerd 1.x: no limit",
            unset="as `connectTimeoutMs`",
        ),
    ] = None

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if self.max_size is not None and self.max_size < self.min_size:
            yield "maxSize", f"{self.max_size} is less than minSize, {self.min_size}"


class ClientSession(Section, frozen=True):
    """How long a connection to an endpoint may live, whatever the pool would keep."""

    idle_time_ms: Annotated[
        Millis | None, about("Closed after so long without use.", unset="as `hostConnectionPool.idleTimeMs`")
    ] = None
    life_time_ms: Annotated[Millis | None, about("Closed after so long, once unused.", unset="no limit")] = None
