"""What a name resolves to, and how it came to that: what `nodeagent explain` and `/explain.json` answer.

A name is bound as a request would bind it, and then watched for a while, since what nobody watches is not
known: who explains subscribes to every answer that the binding rests on, and to the addresses it found, until
all of them are known or the time is up. What is not known by then is said to be so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import trio

from balancer.statistics import BalancerStatistics
from namer.addr import AddrFailed, AddrPending
from namer.binding import Namers, Outcome, Share, bind, shares, unique, verdict
from namer.cell import Cell
from namer.dtab import Dtab
from namer.dtabcell import DtabState
from namer.grammar import NameSyntaxError
from namer.health import Assess, Health, by_addresses
from namer.namer import Failure, Pending
from namer.nametree import Neg
from namer.path import Path
from namer.settle import Settling, settle
from nodeagent.explanation import BoundName, Doubt, Explanation, Freshness
from nodeagent.http1.target import check_authority
from nodeagent.proxy.errors import BadRequest
from nodeagent.proxy.guard import Guard, GuardPolicy
from nodeagent.proxy.identify import host_name, is_just_host, tunnel_names

S = TypeVar("S", bound=Settling)

UNGUARDED: Final = Guard(GuardPolicy(enabled=False))

_NOT_IN_PATHS: Final = re.compile(r"[^0-9A-Za-z_:.#$%/\\-]")


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One binding of the name under the table as it was, with the concrete names it came to."""

    table: DtabState
    outcome: Outcome
    found: tuple[Share, ...]
    cells: tuple[Cell[Any], ...]
    guard: Guard

    @property
    def pending(self) -> bool:
        """Whether anything that was read is not known: a union does without such a branch, but only for now."""
        return any(_is_unknown(cell.value) for cell in self.cells)

    def left(self) -> Iterator[Share]:
        """The concrete names that were met and get no traffic."""
        taken = {share.bound for share in self.found}
        for bound in (*self.outcome.unusable, *self.outcome.absent):
            if bound not in taken:
                yield Share(0.0, self.guard.guarded(bound))


async def explain(
    namers: Namers,
    table: Cell[DtabState],
    path: Path,
    *,
    local: Dtab = Dtab.EMPTY,
    timeout: float,  # noqa: ASYNC109
    assess: Assess | None = by_addresses,
    guard: Guard = UNGUARDED,
) -> Explanation:
    """Explain what `path` resolves to under the router's `table` and the caller's `local` dentries.

    Waits for discovery at most `timeout` seconds. `assess` is how healthy concrete names are, None where names alone
    decide; `guard` is who judges their addresses. Addresses that are not known by then are pending; a name that is not,
    or a table, is an error. Cancelling is safe.
    """
    attempt = await known_within(timeout, lambda: _bind(path, table, local, namers, assess, guard))
    outcome = verdict(attempt.outcome.state)
    if outcome == "bound" and not attempt.found:
        outcome = "empty"  # a union of nothing but Empty
    now = trio.current_time()
    return Explanation(
        name=path,
        outcome="error" if outcome == "pending" else outcome,
        bound=tuple(_bound_name(share, now) for share in attempt.found),
        error=_error(path, attempt, timeout),
        steps=attempt.outcome.steps,
        left=tuple(_bound_name(share, now) for share in attempt.left()),
        doubts=_doubts(path, attempt, namers, now),
        dtab=Freshness.of(table, now) if isinstance(attempt.table, Dtab) and table.error is not None else None,
    )


async def known_within(seconds: float, compute: Callable[[], S]) -> S:
    """The first result of `compute` with nothing pending, or what it gives after so many seconds.

    The sources that it waits for run meanwhile; others have a turn in any case. Cancelling is safe.
    """
    await trio.lowlevel.checkpoint()
    with trio.move_on_after(seconds):
        return await settle(compute)
    return compute()


def with_live_state(explanation: Explanation, statistics: Callable[[Path], BalancerStatistics | None]) -> Explanation:
    """The explanation with what a running agent knows of the endpoints; `statistics` is by concrete id."""

    def with_states(names: tuple[BoundName, ...]) -> tuple[BoundName, ...]:
        return tuple(_with_state(name, statistics(name.id)) for name in names)

    return replace(explanation, bound=with_states(explanation.bound), left=with_states(explanation.left))


async def explain_any(
    namers: Namers,
    table: Cell[DtabState],
    names: Sequence[Path],
    *,
    local: Dtab = Dtab.EMPTY,
    timeout: float,  # noqa: ASYNC109
    assess: Assess | None = by_addresses,
    guard: Guard = UNGUARDED,
) -> Explanation:
    """Explain the one of `names` that a request takes: of those of a CONNECT target, the one that discovery knows.

    As `explain`.
    """
    explanations = [
        await explain(namers, table, name, local=local, timeout=timeout, assess=assess, guard=guard) for name in names
    ]
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
        return (_path(text, prefix),)
    match scheme.lower():
        case "http":
            return (prefix / host_name(_authority(rest, text)),)
        case "https":
            authority = _authority(rest, text)
            return tunnel_names(authority if _has_port(host_name(authority, b"")) else authority + b":443", prefix)
        case _:
            raise NameSyntaxError(f"{scheme}: is not the scheme of an HTTP URL: use http or https", text)


def _bind(
    path: Path, table: Cell[DtabState], local: Dtab, namers: Namers, assess: Assess | None, guard: Guard
) -> _Attempt:
    dtab, judge = table.value, None if assess is None else _guarded(assess, guard)
    outcome = bind(path, dtab + local, namers, judge) if isinstance(dtab, Dtab) else Outcome(dtab, (), (), ())
    found = () if isinstance(outcome.state, Pending | Failure) else shares(outcome.state)
    found = tuple(replace(share, bound=guard.guarded(share.bound)) for share in found)
    cells = unique((table, *outcome.cells, *(share.bound.addr for share in found)))
    return _Attempt(dtab, outcome, found, cells, guard)


def _guarded(assess: Assess, guard: Guard) -> Assess:
    return lambda bound: assess(guard.guarded(bound))


def _is_unknown(value: object) -> bool:
    return isinstance(value, Pending | AddrPending) or value is Health.UNKNOWN


def _bound_name(share: Share, now: float) -> BoundName:
    bound, cell = share.bound, share.bound.addr
    freshness = Freshness.of(cell, now)
    if isinstance(cell.value, AddrFailed):
        freshness = replace(freshness, error=cell.value.reason)
    return BoundName(bound.id, bound.residual, share.weight, cell.value, cell.version, freshness)


def _with_state(name: BoundName, statistics: BalancerStatistics | None) -> BoundName:
    return name if statistics is None else replace(name, state=statistics.nodes)


def _doubts(path: Path, attempt: _Attempt, namers: Namers, now: float) -> tuple[Doubt, ...]:
    asked = dict.fromkeys(answer.path for answer in attempt.outcome.answers)
    doubts = [doubt for each in asked for doubt in _doubts_of_name(each, namers, now)]
    unresolved = (share.bound for share in attempt.found if isinstance(share.bound.addr.value, AddrPending))
    doubts += (Doubt(bound.id, "pending", Freshness.of(bound.addr, now)) for bound in unresolved)
    if attempt.pending and not any(doubt.state == "pending" for doubt in doubts):
        doubts.append(Doubt(path, "pending", Freshness()))
    return tuple(dict.fromkeys(doubts))


def _doubts_of_name(path: Path, namers: Namers, now: float) -> Iterator[Doubt]:
    for _, cell in namers.lookup(path):
        if isinstance(cell.value, Pending):
            yield Doubt(path, "pending", Freshness.of(cell, now))
        elif isinstance(cell.value, Neg) and cell.error is not None:
            yield Doubt(path, "neg", Freshness.of(cell, now))
        if not isinstance(cell.value, Neg):  # those behind it may not have been asked
            return


def _error(path: Path, attempt: _Attempt, waited: float) -> str | None:
    match attempt.outcome.state:
        case Failure(reason):
            return reason
        case Pending():
            who = (
                "the router's dtab was not there" if isinstance(attempt.table, Pending) else "discovery gave no answer"
            )
            failures = [cell.error for cell in attempt.cells if cell.error is not None]
            why = f": {'; '.join(failures)}" if failures else ""
            return f"{path.show()}: {who} within {waited:g} s{why}"
        case _:
            return None


def _path(text: str, prefix: Path) -> Path:
    try:
        return Path.parse(text)
    except NameSyntaxError as error:
        at = error.column - 1
        if text[at : at + 1] != ";":
            raise
        raise NameSyntaxError(f"{error.message}: ask {_instead(text.strip(), prefix)}", text, at) from None


def _instead(text: str, prefix: Path) -> str:
    """How to ask for a name with a `;` in it, which a path can only have escaped."""
    escaped = _NOT_IN_PATHS.sub(lambda found: "".join(f"\\x{byte:02x}" for byte in _bytes(found[0])), text)
    before, _, host = text.rpartition("/")
    return f"http://{host}/, or {escaped}" if before + "/" == f"{prefix.show()}/" else escaped


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _authority(rest: str, text: str) -> bytes:
    """HOST or HOST:PORT out of a URL, of which `rest` is what follows `://`."""
    authority = _bytes(rest.replace("?", "/").replace("#", "/").partition("/")[0])
    try:
        check_authority(authority, "the URL's host")
    except BadRequest as error:
        raise NameSyntaxError(error.message, text) from None
    return authority


def _has_port(name: str) -> bool:
    return ":" in name and name.rpartition(":")[2].isdigit()
