"""The namer `io.l5d.dnssrv`: `/_http._tcp.users.example.org` is what the SRV records of that name say (RFC 2782).

The first label is the name, in full: no search list is applied, as in linkerd 1.x. The labels after it are the
residual. Each target is followed as any host is, with the port of its record; addresses that came along unasked are
not used. Priorities become ranks: 0 is tried first. No such name, no record, or the target `.` is Neg, so that an
alternative is tried. A failure changes nothing but the error. One task follows a name, however many residuals use it.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Final
from weakref import WeakValueDictionary

import structlog
import trio

from namer.addr import Addr, AddrBound, AddrFailed, AddrNeg, AddrPending
from namer.cell import Cell
from namer.derived import Derived
from namer.dns.answers import Found, Srv
from namer.dns.course import Course, Doubt, Step
from namer.dns.resolver import Resolves
from namer.dns.settings import is_name
from namer.hosts import Hosts, fail_addr
from namer.namer import PENDING, Bound, Failure, NameState, Provenance
from namer.nametree import NEG, Leaf
from namer.path import Path
from namer.targets import Target, Targets
from namer.watch import Cells, WatchKey

NO_SERVICE: Final = "."
PATIENCE: Final = 1.0  # seconds that new targets are waited for, so that the first one does not get all the requests

log = structlog.get_logger(__name__)


class DnsSrvNamer:
    """Names by their SRV records, which `resolver` finds; `hosts` finds the addresses of their targets."""

    def __init__(self, prefix: Path, watches: Cells, resolver: Resolves, hosts: Hosts, rng: random.Random) -> None:
        self._prefix = prefix
        self._watches = watches
        self._resolver = resolver
        self._hosts = hosts
        self._rng = rng
        self._names: WeakValueDictionary[Path, Cell[NameState]] = WeakValueDictionary()

    def lookup(self, path: Path) -> Cell[NameState]:
        """Bound to the records of the first label, Neg while there are none."""
        if not path or not is_name(path[0]):
            return Cell.constant(NEG)
        cell = self._names.get(path)
        if cell is None:
            addr = self._addr(path[0].rstrip(".").lower())
            bound = Bound(self._prefix + path[:1], path[1:], addr, provenance=Provenance.REGISTRY)
            cell = self._names[path] = Derived(partial(_name_state, bound), addr)
        return cell

    def _addr(self, name: str) -> Cell[Addr]:
        pending: Addr = AddrPending()
        key = WatchKey(self._prefix.show(), "address", name)
        return self._watches.cell(key, pending, partial(self._follow, name))

    async def _follow(self, name: str, cell: Cell[Addr]) -> None:
        course: Course[Srv] = Course(self._rng)
        service = _Service(name, cell, self._hosts)
        try:
            while True:
                known = isinstance(cell.value, AddrBound)
                answer = await self._resolver.services(name, course.newer_than, known=known)
                step = course.step(answer, trio.current_time(), has_records=known)
                service.take(step)
                await trio.sleep_until(min(service.patient_until, step.next_at))
                service.publish()
                await trio.sleep_until(step.next_at)
        finally:
            service.close()


def _name_state(bound: Bound, addr: Addr) -> NameState:
    match addr:
        case AddrPending():
            return PENDING
        case AddrNeg():
            return NEG
        case AddrFailed(reason):
            return Failure(reason)
        case AddrBound():
            return Leaf(bound)


class _Service:
    """Keeps an address equal to what the records said last and what their targets resolve to now."""

    def __init__(self, name: str, cell: Cell[Addr], hosts: Hosts) -> None:
        self._name = name
        self._cell = cell
        self._targets = Targets(hosts, self.publish)
        self._found: Found[Srv] | None = None
        self._doubt: Doubt | None = None
        self._followed: tuple[Target, ...] = ()
        self.patient_until = -math.inf

    def take(self, step: Step[Srv]) -> None:
        """What following the records says now."""
        if isinstance(step, Doubt):
            self._fail(step)
            return
        self._doubt = None
        found = step.answer if isinstance(step.answer, Found) else None
        targets = targets_of(found.records) if found else ()
        self._found = found if targets else None
        if targets != self._followed:
            self._followed = targets
            self.patient_until = trio.current_time() + PATIENCE
            self._targets.follow(targets)
        if targets:
            self.publish()
        else:
            self._cell.set(AddrNeg(), step.answer.at)

    def publish(self) -> None:
        """Set the address, unless there are targets to be patient with."""
        patient = trio.current_time() < self.patient_until and self._targets.pending
        if self._found is None or patient:
            return
        match self._targets.addr():
            case AddrPending():
                pass
            case AddrFailed(reason):
                fail_addr(self._cell, reason, trio.current_time())
            case addr if self._doubt is None:
                self._cell.set(addr, self._found.at, self._flaw(self._found))
            case addr if isinstance(self._cell.value, AddrBound):
                self._cell.replace(addr)  # the records are as old as they were

    def close(self) -> None:
        """Stop following the targets."""
        self._targets.close()

    def _fail(self, doubt: Doubt) -> None:
        if self._doubt is None and isinstance(self._cell.value, AddrBound):  # anybody can make up others
            log.warning("service not resolved", name=self._name, error=doubt.reason)
        self._doubt = doubt
        fail_addr(self._cell, f"cannot resolve {self._name}: {doubt.reason}", trio.current_time(), doubt.next_at)

    def _flaw(self, found: Found[Srv]) -> str | None:
        unresolved = [why for why in self._targets.unresolved() if why]
        if not unresolved:
            return found.flaw
        more = f" and {len(unresolved) - 1} more" if len(unresolved) > 1 else ""
        return f"target not resolved: {unresolved[0]}{more}"


def targets_of(records: Sequence[Srv]) -> tuple[Target, ...]:
    """The targets to follow, best priority first; a port 0 or a target `.` is none.

    Weights are relative within a priority. Where some are 0, those share the chance of a weight of 1, which is what the
    procedure of RFC 2782 gives them; where all are 0, they are equal.
    """
    usable = sorted(record for record in records if record.target != NO_SERVICE and record.port)
    ranks = {priority: rank for rank, priority in enumerate(sorted({record.priority for record in usable}))}
    zeros = Counter(record.priority for record in usable if not record.weight)
    weighted = {record.priority for record in usable if record.weight}
    return tuple(
        Target(
            record.target,
            record.port,
            record.weight or (1 / zeros[record.priority] if record.priority in weighted else 1.0),
            priority=ranks[record.priority],
            divided=True,
        )
        for record in usable
    )
