"""What a name resolves to, and how it came to that: what `nodeagent explain` and `/explain.json` answer.

A name is bound as a request would bind it, and then watched for a while, since what nobody watches is not
known: who explains subscribes to every answer that the binding rests on, and to the addresses it found, until
all of them are known or the time is up. What is not known by then is said to be so.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias, TypeVar

import trio

from balancer.balancer import BalancerStatistics, NodeStatistics
from namer.addr import Addr, AddrBound, AddrFailed, AddrNeg, AddrPending, Endpoint
from namer.binding import Namers, Outcome, Share, Step, bind, shares, verdict
from namer.cell import Cell
from namer.dtab import Dtab
from namer.grammar import NameSyntaxError
from namer.health import Assess, by_addresses
from namer.namer import Failure, Pending
from namer.path import Path
from namer.settle import Addresses, Settling, settle
from nodeagent.http1.head import check_authority
from nodeagent.proxy.errors import BadRequest
from nodeagent.proxy.identify import host_name, is_just_host, tunnel_names

MAX_CHARS: Final = 1_000_000
"""How much JSON of bound names, and how much of steps, is shown: a table that multiplies makes gigabytes of it."""

Json: TypeAlias = dict[str, Any]
S = TypeVar("S", bound=Settling)


@dataclass(frozen=True, slots=True)
class BoundName:
    """A concrete name that traffic may go to.

    `weight` is its share of the traffic. `version` counts the changes of its addresses, `age` is for how many
    seconds they were not confirmed, None when they never were or need not be. `error` is what went wrong with
    its source since then, `error_age` seconds ago. `state` is what a running agent knows of the endpoints, None
    where no agent has called it.
    """

    id: Path
    residual: Path
    weight: float
    addr: Addr
    error: str | None
    version: int = 0
    age: float | None = None
    error_age: float | None = None
    state: tuple[NodeStatistics, ...] | None = None

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The addresses that are known."""
        return self.addr.endpoints if isinstance(self.addr, AddrBound) else ()

    def to_json(self) -> Json:
        """The leaf as in `explain --json`; `error` and `state` stand there only when there are any."""
        shown: Json = {
            "id": self.id.show(),
            "residual": self.residual.show(),
            "weight": self.weight,
            "addr": show_addr(self.addr),
            "endpoints": [endpoint.show() for endpoint in self.endpoints()],
            "version": self.version,
            "age": self.age,
        }
        if self.error is not None:
            shown |= {"error": self.error, "error_age": self.error_age}
        if self.state is not None:
            shown["state"] = [show_node(node) for node in self.state]
        return shown


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a name resolves to: `outcome` is bound, neg, empty, fail, or error, of which `error` says more.

    `steps` are the rewrites in the order in which they were tried, each with what it came to.
    """

    name: Path
    outcome: str
    bound: tuple[BoundName, ...]
    error: str | None
    steps: tuple[Step, ...]

    def to_json(self) -> Json:
        """The object of `explain --json`; `bound_left_out` and `steps_left_out` count what would be too much."""
        bound = _fitting(name.to_json() for name in self.bound)
        steps = _fitting({"path": step.path, "dentry": step.dentry, "to": step.to} for step in self.steps)
        shown: Json = {
            "name": self.name.show(),
            "outcome": self.outcome,
            "bound": bound,
            "error": self.error,
            "steps": steps,
        }
        if len(bound) < len(self.bound):
            shown["bound_left_out"] = len(self.bound) - len(bound)
        if len(steps) < len(self.steps):
            shown["steps_left_out"] = len(self.steps) - len(steps)
        return shown


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One binding of the name, with the concrete names it came to."""

    outcome: Outcome
    found: tuple[Share, ...]

    @property
    def cells(self) -> tuple[Cell[Any], ...]:
        return self.outcome.cells + self._addresses.cells

    @property
    def pending(self) -> bool:
        return self.outcome.pending or self._addresses.pending

    @property
    def _addresses(self) -> Addresses:
        return Addresses.of([share.bound for share in self.found])


async def explain(
    namers: Namers,
    dtab: Dtab,
    path: Path,
    *,
    timeout: float,  # noqa: ASYNC109
    assess: Assess | None = by_addresses,
) -> Explanation:
    """Explain what `path` resolves to under `dtab`, waiting for discovery at most `timeout` seconds.

    `assess` is how healthy concrete names are, None where names alone decide. Addresses that are not known by then are
    pending; a name that is not, is an error. Cancelling is safe.
    """
    attempt = await known_within(timeout, lambda: _bind(path, dtab, namers, assess))
    outcome = verdict(attempt.outcome.state)
    if outcome == "bound" and not attempt.found:
        outcome = "empty"  # a union of nothing but Empty
    return Explanation(
        name=path,
        outcome="error" if outcome == "pending" else outcome,
        bound=tuple(_bound_name(share, trio.current_time()) for share in attempt.found),
        error=_error(path, attempt.outcome, timeout),
        steps=attempt.outcome.steps,
    )


async def known_within(seconds: float, compute: Callable[[], S]) -> S:
    """The first result of `compute` with nothing pending, or what it gives after so many seconds.

    The sources that it waits for run meanwhile. Cancelling is safe.
    """
    with trio.move_on_after(seconds):
        return await settle(compute)
    return compute()


def with_live_state(explanation: Explanation, statistics: Callable[[Path], BalancerStatistics | None]) -> Explanation:
    """The explanation with what a running agent knows of the endpoints; `statistics` is by concrete id."""
    return replace(explanation, bound=tuple(_with_state(name, statistics(name.id)) for name in explanation.bound))


async def explain_any(
    namers: Namers,
    dtab: Dtab,
    names: Sequence[Path],
    *,
    timeout: float,  # noqa: ASYNC109
    assess: Assess | None = by_addresses,
) -> Explanation:
    """Explain the one of `names` that a request takes: of those of a CONNECT target, the one that discovery knows.

    As `explain`.
    """
    explanations = [await explain(namers, dtab, name, timeout=timeout, assess=assess) for name in names]
    known = [each for each in explanations if not all(is_just_host(leaf.id, names[-1]) for leaf in each.bound)]
    bound = [each for each in explanations if each.bound]
    return (known or bound or explanations)[0]


def names_of(text: str, prefix: Path) -> tuple[Path, ...]:
    """The names that a text may stand for: a path stands for itself, a URL for what its requests are named.

    `http://users/x` is `/svc/users` where `prefix` is the router's dstPrefix `/svc`. `https://users/` is what its
    CONNECT asks for: `/svc/users:443`, or `/svc/users`. Raises NameSyntaxError.
    """
    scheme, mark, rest = text.strip().partition("://")
    if not mark:
        return (Path.parse(text),)
    match scheme.lower():
        case "http":
            return (prefix / host_name(_authority(rest, text)),)
        case "https":
            authority = _authority(rest, text)
            return tunnel_names(authority if _has_port(host_name(authority, b"")) else authority + b":443", prefix)
        case _:
            raise NameSyntaxError(f"{scheme}: is not the scheme of an HTTP URL: use http or https", text)


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


def seconds_since(then: float | None, now: float) -> float | None:
    """How long ago something was, for people and scripts; None for what never was."""
    return None if then is None else round(now - then, 3)


def show_node(node: NodeStatistics) -> Json:
    """One endpoint as its balancer sees it; `reason` and `priority` only where they are not the usual ones."""
    shown: Json = {
        "endpoint": node.endpoint.show(),
        "health": node.health.value,
        "load": node.load,
        "pending": node.pending,
        "ejections": node.ejections,
    }
    if node.reason is not None:
        shown["reason"] = node.reason.value
    if node.endpoint.priority:
        shown["priority"] = node.endpoint.priority
    return shown


def _bind(path: Path, dtab: Dtab, namers: Namers, assess: Assess | None) -> _Attempt:
    outcome = bind(path, dtab, namers, assess)
    state = outcome.state
    return _Attempt(outcome, () if isinstance(state, Pending | Failure) else shares(state))


def _bound_name(share: Share, now: float) -> BoundName:
    bound, cell = share.bound, share.bound.addr
    return BoundName(
        bound.id,
        bound.residual,
        share.weight,
        cell.value,
        error=cell.value.reason if isinstance(cell.value, AddrFailed) else cell.error,
        version=cell.version,
        age=seconds_since(cell.updated_at, now),
        error_age=seconds_since(cell.failed_at, now),
    )


def _with_state(name: BoundName, statistics: BalancerStatistics | None) -> BoundName:
    return name if statistics is None else replace(name, state=statistics.nodes)


def _error(path: Path, outcome: Outcome, waited: float) -> str | None:
    match outcome.state:
        case Failure(reason):
            return reason
        case Pending():
            failures = [cell.error for cell in outcome.cells if cell.error is not None]
            why = f": {'; '.join(failures)}" if failures else ""
            return f"{path.show()}: discovery gave no answer within {waited:g} s{why}"
        case _:
            return None


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


def _authority(rest: str, text: str) -> bytes:
    """HOST or HOST:PORT out of a URL, of which `rest` is what follows `://`."""
    authority = rest.replace("?", "/").replace("#", "/").partition("/")[0].encode("utf-8", "surrogateescape")
    try:
        check_authority(authority, "the URL's host")
    except BadRequest as error:
        raise NameSyntaxError(error.message, text) from None
    return authority


def _has_port(name: str) -> bool:
    return ":" in name and name.rpartition(":")[2].isdigit()
