"""What a user may choose about balancing, as checked values, and the things made from them.

The defaults are linkerd 1.x's unless a field says otherwise. All times are in seconds. A value out of range
raises ValueError with the name of the field.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import inf
from random import Random
from typing import Literal

from balancer.accrual import AccrualPolicy, FailureAccrual
from balancer.accrual_policies import ConsecutiveFailures, NeverFails, SuccessRate, SuccessRateWindowed
from balancer.aperture import Aperture
from balancer.backoff import Backoff, EqualJitter
from balancer.balancer import Balancer, Parts
from balancer.budget import RetryBudget
from balancer.ewma import PeakEwma
from balancer.heap import HeapLeastLoaded
from balancer.load import LeastLoaded, Metric
from balancer.p2c import PowerOfChoices
from balancer.peers import Peers
from balancer.picker import Picker
from balancer.rotation import AllDead
from balancer.round_robin import RoundRobin
from balancer.zones import ZoneParams

BalancerKind = Literal["ewma", "p2c", "aperture", "heap", "roundRobin", "ringHash"]
AccrualKind = Literal["consecutiveFailures", "successRate", "successRateWindowed", "none"]

MAX_SHARED = 256
"""Balancers that are made alike share what makes their parts, for as many different ones."""

DEFAULT_BACKOFF = EqualJitter(5.0, 300.0)
REFUSAL_BACKOFF = EqualJitter(1.0, 32.0)
"""For endpoints that cannot be connected to; finagle's 1, 2, 4 and so on to 32 s, with jitter."""


@dataclass(frozen=True, slots=True)
class BalancerParams:
    """How an endpoint is chosen. A kind leaves alone the fields it does not use."""

    kind: BalancerKind = "ewma"
    """Peak EWMA: it alone sees that an endpoint is slow. linkerd 1.x's default was p2c."""
    max_effort: int = 5
    choices: int = 3
    """ewma, p2c: how many endpoints are drawn to choose from. linkerd 1.x draws two."""
    slow_start: float = 10.0
    """Over how long a new endpoint comes to its whole share; 0 is at once."""
    max_ejected: float = 0.5
    """The part of the endpoints, 0 to 1, that failure accrual may take out at a time."""
    all_dead: AllDead = "tryAll"
    decay: float = 10.0
    """ewma: time constant of the average."""
    smooth_window: float = 5.0
    """aperture: over how long the load is averaged."""
    low_load: float = 0.5
    high_load: float = 2.0
    min_aperture: int = 1
    zones: ZoneParams | None = None
    """The zone to prefer, by any kind; a request with a key goes by the ring, which knows no zones."""

    def __post_init__(self) -> None:
        _check_above(0, max_effort=self.max_effort, decay=self.decay, smooth_window=self.smooth_window)
        _check_above(0, low_load=self.low_load, min_aperture=self.min_aperture)
        _check_above(self.low_load, high_load=self.high_load)
        _check_above(1, choices=self.choices)
        _check_within(0, inf, slow_start=self.slow_start)
        _check_within(0, 1, max_ejected=self.max_ejected)


@dataclass(frozen=True, slots=True)
class AccrualParams:
    """When an endpoint is taken for dead, and how long. A kind leaves alone the fields it does not use."""

    kind: AccrualKind = "consecutiveFailures"
    failures: int = 5
    success_rate: float = 0.8
    """successRate, successRateWindowed: the least that is good enough, 0 to 1; linkerd2-proxy's threshold."""
    requests: int = 20
    """successRate: how many requests are averaged."""
    window: float = 10.0
    """successRateWindowed: over how long requests are averaged; linkerd2-proxy's window."""
    backoff: Backoff = DEFAULT_BACKOFF
    fail_fast: bool = True
    """Whether one refused connection is enough; never with kind none."""

    def __post_init__(self) -> None:
        _check_above(0, failures=self.failures, requests=self.requests, window=self.window)
        _check_within(0, 1, success_rate=self.success_rate)


@dataclass(frozen=True, slots=True)
class RetryBudgetParams:
    """How many retries are paid for, see ``RetryBudget``."""

    ttl: float = 10.0
    min_per_sec: int = 10
    percent_can_retry: float = 0.2

    def __post_init__(self) -> None:
        _check_within(1, 60, ttl=self.ttl)
        _check_within(0, inf, min_per_sec=self.min_per_sec)
        _check_within(0, 1000, percent_can_retry=self.percent_can_retry)


def make_balancer(params: BalancerParams, accrual: AccrualParams, rng: Random, peers: Peers | None = None) -> Balancer:
    """Return a balancer without endpoints; all its chance comes from *rng*. It shares what it learns with *peers*."""
    return Balancer(_parts(params, accrual, rng), rng, peers)


@lru_cache(MAX_SHARED)
def _parts(params: BalancerParams, accrual: AccrualParams, rng: Random) -> Parts:
    return Parts(
        picker=_picker_factory(params, rng),
        metric=_metric_factory(params),
        accrual=lambda: make_accrual(accrual, rng),
        max_effort=params.max_effort,
        slow_start=params.slow_start,
        max_ejected=params.max_ejected,
        all_dead=params.all_dead,
        zones=params.zones,
    )


def make_accrual(params: AccrualParams, rng: Random) -> FailureAccrual:
    """Return the health of a new endpoint. Kind ``none`` takes no endpoint for dead, not even one that refuses."""
    refusal_backoff = REFUSAL_BACKOFF if params.fail_fast and params.kind != "none" else None
    return FailureAccrual(_make_policy(params), params.backoff, rng, refusal_backoff)


def make_retry_budget(params: RetryBudgetParams) -> RetryBudget:
    """Return a budget with its reserve only."""
    return RetryBudget(params.ttl, params.min_per_sec, params.percent_can_retry)


def _picker_factory(params: BalancerParams, rng: Random) -> Callable[[], Picker]:
    match params.kind:
        case "ewma" | "p2c" | "ringHash":  # a request without a key goes by load
            return lambda: PowerOfChoices(rng, params.choices)
        case "aperture":
            return lambda: Aperture(rng, params.smooth_window, params.low_load, params.high_load, params.min_aperture)
        case "heap":
            return HeapLeastLoaded
        case "roundRobin":
            return RoundRobin


def _metric_factory(params: BalancerParams) -> Callable[[], Metric]:
    if params.kind == "ewma":
        return lambda: PeakEwma(params.decay)
    return LeastLoaded


def _make_policy(params: AccrualParams) -> AccrualPolicy:
    match params.kind:
        case "consecutiveFailures":
            return ConsecutiveFailures(params.failures)
        case "successRate":
            return SuccessRate(params.success_rate, params.requests)
        case "successRateWindowed":
            return SuccessRateWindowed(params.success_rate, params.window)
        case "none":
            return NeverFails()


def _check_above(bound: float, **values: float) -> None:
    """Raise ValueError unless each of *values* is above *bound* and finite."""
    for name, value in values.items():
        if not bound < value < inf:
            raise ValueError(f"{name} must be above {bound}, not {value}")


def _check_within(low: float, high: float, **values: float) -> None:
    """Raise ValueError unless each of *values* is between *low* and *high*, inclusive."""
    for name, value in values.items():
        if not low <= value <= high:
            raise ValueError(f"{name} must be within {low} and {high}, not {value}")
