"""What is said of a name: where its traffic goes, what of that is not sure, and how fresh it all is. Pure.

The objects of `/explain.json` and `nodeagent explain --json`, and the words that other pages share with them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from balancer.statistics import NodeStatistics
from balancer.zones import zone_of
from namer.addr import Addr, AddrBound, AddrFailed, AddrNeg, AddrPending, Endpoint, show_address
from namer.cell import Cell
from namer.path import Path
from namer.steps import Step
from namer.watch import WatchStatistics

MAX_CHARS: Final = 1_000_000
"""How much JSON of bound names, and how much of steps, is shown: a table that multiplies makes gigabytes of it."""

Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Freshness:
    """How fresh an answer is, in the words of all pages; seconds.

    `age` is since the answer was last confirmed, None when it never was or need not be. `stale` is for how long its
    source has been failing, 0 while it does not or has never answered. `error` is what went wrong last, `error_age`
    ago: with the source or, when there is an age and `stale` is 0, with the answer itself, such as a line that cannot
    be read. `next_attempt` is in how long the source is asked again, None when that is not known.
    """

    age: float | None = None
    stale: float = 0.0
    error: str | None = None
    error_age: float | None = None
    next_attempt: float | None = None

    @staticmethod
    def of(source: Cell[Any] | WatchStatistics, now: float) -> Freshness:
        """That of a cell."""
        return Freshness(
            age=_since(source.updated_at, now),
            stale=_since(source.stale_since, now) or 0.0,
            error=source.error,
            error_age=_since(source.failed_at, now),
            next_attempt=None if source.retry_at is None else round(max(0.0, source.retry_at - now), 3),
        )

    def to_json(self) -> Json:
        """All of it."""
        return {"age": self.age, **self.trouble()}

    def trouble(self) -> Json:
        """All but the age."""
        return {
            "stale": self.stale,
            "error": self.error,
            "error_age": self.error_age,
            "next_attempt": self.next_attempt,
        }


@dataclass(frozen=True, slots=True)
class BoundName:
    """A concrete name that traffic may go to.

    `weight` is its share of the traffic. `version` counts the changes of its addresses. `state` is what a running
    agent knows of the endpoints, None where no agent has called it.
    """

    id: Path
    residual: Path
    weight: float
    addr: Addr
    version: int = 0
    freshness: Freshness = Freshness()
    state: tuple[NodeStatistics, ...] | None = None

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The addresses that are known."""
        return self.addr.endpoints if isinstance(self.addr, AddrBound) else ()

    def to_json(self) -> Json:
        """The leaf as in `explain --json`.

        What is wrong with it, `agents` by endpoint, `refused` addresses and `state` stand there only if there are any.
        """
        shown: Json = {
            "id": self.id.show(),
            "residual": self.residual.show(),
            "weight": self.weight,
            "addr": show_addr(self.addr),
            "endpoints": [endpoint.show() for endpoint in self.endpoints()],
            "version": self.version,
            "age": self.freshness.age,
        }
        if agents := {each.show(): show_address(*each.agent) for each in self.endpoints() if each.agent is not None}:
            shown["agents"] = agents
        if isinstance(self.addr, AddrBound) and self.addr.refused:
            shown["refused"] = [{"endpoint": each.endpoint.show(), "error": each.why} for each in self.addr.refused]
        if self.freshness.error is not None:
            shown |= self.freshness.trouble()
        if self.state is not None:
            shown["state"] = [show_node(node) for node in self.state]
        return shown


@dataclass(frozen=True, slots=True)
class Doubt:
    """What discovery has not said for sure.

    `state` is `pending` for a name, or the addresses of one, that nothing is known of yet; `neg` for a name that is
    not there by the last answer of a source that something is wrong with now.
    """

    path: Path
    state: str
    freshness: Freshness

    def to_json(self) -> Json:
        """As an object."""
        return {"path": self.path.show(), "state": self.state, **self.freshness.to_json()}


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a name resolves to: `outcome` is bound, neg, empty, fail, or error, of which `error` says more.

    `steps` are the rewrites in the order in which they were tried, each with what it came to. `left` are the concrete
    names that were met and get no traffic: they do not exist, or have no usable endpoint. `dtab` is how fresh the
    router's table is, when it is only the last good one.
    """

    name: Path
    outcome: str
    bound: tuple[BoundName, ...]
    error: str | None
    steps: tuple[Step, ...]
    left: tuple[BoundName, ...] = ()
    doubts: tuple[Doubt, ...] = ()
    dtab: Freshness | None = None

    @property
    def unknown(self) -> tuple[Path, ...]:
        """What is not known yet, so that all the rest may be otherwise in a moment."""
        return tuple(doubt.path for doubt in self.doubts if doubt.state == "pending")

    def to_json(self) -> Json:
        """The object of `explain --json`.

        `left`, `doubts`, `dtab_error` and `dtab_age` stand there only when there are any; `bound_left_out` and
        `steps_left_out` count what would be too much.
        """
        bound = _fitting(name.to_json() for name in self.bound)
        steps = _fitting({"path": step.path, "dentry": step.dentry, "to": step.to} for step in self.steps)
        shown: Json = {
            "name": self.name.show(),
            "outcome": self.outcome,
            "bound": bound,
            "error": self.error,
            "steps": steps,
        }
        if self.left:
            shown["left"] = _fitting(name.to_json() for name in self.left)
        if self.doubts:
            shown["doubts"] = _fitting(doubt.to_json() for doubt in self.doubts)
        if self.dtab is not None:
            shown |= {"dtab_error": self.dtab.error, "dtab_age": self.dtab.age}
        if len(bound) < len(self.bound):
            shown["bound_left_out"] = len(self.bound) - len(bound)
        if len(steps) < len(self.steps):
            shown["steps_left_out"] = len(self.steps) - len(steps)
        return shown


def show_addr(addr: Addr) -> str:
    """The state of an address in one word: bound, neg, pending or failed."""
    match addr:
        case AddrBound():
            return "bound"
        case AddrNeg():
            return "neg"
        case AddrPending():
            return "pending"
        case AddrFailed():
            return "failed"


def show_node(node: NodeStatistics) -> Json:
    """One endpoint as its balancer sees it; `reason` and what follows it only where there is something to tell."""
    shown: Json = {
        "endpoint": node.endpoint.show(),
        "health": node.health.value,
        "load": node.load,
        "pending": node.pending,
        "ejections": node.ejections,
    }
    if node.reason is not None:
        shown["reason"] = node.reason.value
    if node.kept:
        shown["kept"] = True
    if node.trouble:
        shown["error"] = node.trouble
    if node.endpoint.priority:
        shown["priority"] = node.endpoint.priority
    zone = zone_of(node.endpoint)
    if zone is not None:
        shown["zone"] = zone
    if node.transport is not None:
        shown["transport"] = node.transport
    return shown


def _since(then: float | None, now: float) -> float | None:
    return None if then is None else round(now - then, 3)


def _fitting(items: Iterable[Json]) -> list[Json]:
    """The first of these, as many as MAX_CHARS has room for."""
    room = MAX_CHARS
    fitting = []
    for item in items:
        room -= len(json.dumps(item))
        if room < 0:
            break
        fitting.append(item)
    return fitting
