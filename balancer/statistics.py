"""A balancer at one moment, as admin pages and metrics see it."""

from dataclasses import dataclass

from balancer.accrual import Health, Reason
from namer.addr import Endpoint


@dataclass(frozen=True, slots=True)
class NodeStatistics:
    """One endpoint at one moment. *load* is in the unit of the metric, as of the balancer's last event."""

    endpoint: Endpoint
    pending: int
    load: float
    health: Health
    """ALIVE also for one that is kept."""
    reason: Reason | None
    """Why it is not alive; or, when it is, why it would not be if it were not kept."""
    ejections: int
    """Times that the failure accrual policy took it out; neither a refusal nor a failed probe is one."""
    kept: bool = False
    """It is dead, and gets traffic all the same."""
    trouble: str | None = None
    """What went wrong last, of one with a reason."""
    transport: str | None = None
    """How it was reached last, where that is not always the same."""


@dataclass(frozen=True, slots=True)
class BalancerStatistics:
    """A balancer at one moment. The second group of numbers only grows, whatever endpoints come and go."""

    nodes: tuple[NodeStatistics, ...]
    alive: int
    dead: int
    probing: int
    priority: int | None
    """The priority of the endpoints that get the traffic; None when there is no endpoint."""
    all_dead: bool
    """There are endpoints, and none of them is really alive."""
    local_share: float | None
    """The part of the traffic that goes to the preferred zone; None without a preference, or without an endpoint."""

    ejections: int
    refusals: int
    """Times that an endpoint was dead at once because it could not be connected to; no ejections."""
    asked: int
    """Times that an endpoint was dead because it asked to be left alone."""
    check_outs: int
    """Times that an endpoint was dead because its health checks failed; no ejections either."""
    revivals: int
    probes: int
    max_effort_exhausted: int
    """Picks that found no usable endpoint and took one regardless."""
    adds: int
    removes: int
