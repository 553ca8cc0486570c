"""The namer `io.l5d.consul`: Consul's catalogue, live.

    /<datacenter>/[<tag>/]<service>[;<term>...]     the tag where the namer includes it; a subset by namer/subset.py

The datacenter `.local` is that of the Consul that is asked. Case does not matter in any part; the id keeps what was
written. Labels behind are the residual.

A service that nobody has registered is Neg, so the next alternative is tried, and so is a tag that no instance has, as
in linkerd 1.x. One whose instances may not serve, because they fail or cannot be dialled, is a name without endpoints,
and the error says why; so is a subset that no instance is in, and the error says how many others there are.

There is one blocking query for a service, whatever names, tags and subsets of it are used. When Consul cannot be
asked, what it said last holds; while it never said anything, names are a Failure, which the first answer replaces.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import trio

from namer.addr import Addr, AddrBound, AddrFailed, AddrNeg, AddrPending
from namer.cell import Cell
from namer.consul.agent import Agent, follow_agent
from namer.consul.api import Consul
from namer.consul.catalog import Registered, Rules, has_tag, none_may_serve
from namer.consul.service import follow_service
from namer.hosts import Hosts, fail_addr
from namer.namer import PENDING, Bound, Failure, NameState, Provenance
from namer.nametree import NEG, Leaf
from namer.path import Path
from namer.report import Follower, Report
from namer.settle import subscribed
from namer.subset import Meta, Subset, split
from namer.targets import Targets
from namer.watch import Cells, WatchKey

MAX_LABEL: Final = 255  # characters; what is longer is no name in Consul
AT_A_TIME: Final = 1000  # instances that are taken up without a break


@dataclass(frozen=True, slots=True)
class ConsulParams:
    """How the namer behaves: whether names have a tag, whether `Host` becomes Consul's name, how instances are read."""

    include_tag: bool = False
    set_host: bool = False
    rules: Rules = Rules()


@dataclass(frozen=True, slots=True)
class Asked:
    """A name as it was asked for; all but the paths in lower case. `written` is the part of it that is the id."""

    datacenter: str
    tag: str | None
    service: str
    subset: Subset | None
    written: Path
    residual: Path

    @staticmethod
    def parse(path: Path, include_tag: bool) -> Asked | None:
        """Read a name without the namer's prefix; None when it can be no name of Consul's."""
        count = 3 if include_tag else 2
        if len(path) < count or not all(map(_may_be, path[:count])):
            return None
        datacenter, *tag, label = (label.lower() for label in path[:count])
        service, subset = split(label)
        if not service:
            return None
        return Asked(datacenter, tag[0] if tag else None, service, subset, path[:count], path[count:])

    def tagged(self, found: Registered) -> Registered:
        """Those that have the tag, if one was asked for."""
        tag = self.tag
        return found if tag is None else _those(found, lambda meta: has_tag(meta, tag))

    def chosen(self, tagged: Registered) -> Registered:
        """Those that are in the subset, if one was asked for."""
        return tagged if self.subset is None else _those(tagged, self.subset.matches)

    def nobody(self, tagged: Registered) -> str:
        """What to tell people when none of those with the tag may serve this name."""
        chosen = self.chosen(tagged)
        if self.subset is not None and not chosen.barred:
            return self.subset.nobody(self.service, len(tagged.serving) + len(tagged.barred))
        terms = [f"the tag {self.tag}"] if self.tag else []
        terms += [str(self.subset)] if self.subset else []
        name = self.service + (f" with {' and '.join(terms)}" if terms else "")
        return none_may_serve(name, chosen.barred)


class ConsulNamer:
    """Names by the services of one Consul."""

    def __init__(self, prefix: Path, consul: Consul, params: ConsulParams, watches: Cells, hosts: Hosts) -> None:
        self._prefix = prefix
        self._consul = consul
        self._params = params
        self._watches = watches
        self._hosts = hosts

    def lookup(self, path: Path) -> Cell[NameState]:
        """Bound to a service while somebody has registered it, else Neg."""
        asked = Asked.parse(path, self._params.include_tag)
        if asked is None:
            return Cell.constant(NEG)
        unknown: NameState = PENDING
        return self._watches.cell(self._key("name", path), unknown, partial(self._feed_name, asked))

    def _key(self, what: str, path: Path) -> WatchKey:
        return WatchKey(self._prefix.show(), what, path.show())

    def _service(self, asked: Asked) -> Cell[Report[Registered]]:
        place = Path((asked.datacenter, asked.service))
        feed = partial(follow_service, self._consul, asked.datacenter, asked.service, self._params.rules)
        nothing: Report[Registered] = Report(None)
        return self._watches.cell(self._key("service", place), nothing, feed)

    def _agent(self) -> Cell[Report[Agent]]:
        return self._watches.cell(
            self._key("agent", Path(("self",))), Report(None), partial(follow_agent, self._consul)
        )

    def _addr(self, asked: Asked) -> Cell[Addr]:
        pending: Addr = AddrPending()
        return self._watches.cell(self._key("address", asked.written), pending, partial(self._feed_addr, asked))

    async def _feed_name(self, asked: Asked, cell: Cell[NameState]) -> None:
        service, agent = self._service(asked), self._agent() if self._params.set_host else None
        follower = Follower(cell)

        def derive() -> None:
            if agent is not None and agent.value.answer is None:
                follower.tell(_unknown(agent.value), agent)
            else:
                follower.tell(self._state(asked, service.value, agent.value.answer if agent else None), service)

        with subscribed([service, agent] if agent else [service], derive):
            derive()
            await trio.sleep_forever()

    def _state(self, asked: Asked, report: Report[Registered], agent: Agent | None) -> NameState:
        if report.answer is None:
            return _unknown(report)
        if asked.tagged(report.answer) == Registered():
            return NEG
        authority = agent.authority(asked.datacenter, asked.service, asked.tag) if agent else None
        return Leaf(
            Bound(
                self._prefix + asked.written,
                asked.residual,
                self._addr(asked),
                authority,
                provenance=Provenance.REGISTRY,
            )
        )

    async def _feed_addr(self, asked: Asked, cell: Cell[Addr]) -> None:
        service = self._service(asked)
        live = _LiveAddr(asked, service, cell, self._hosts)
        with subscribed([service], live.follow):
            try:
                await live.read_ahead()
                live.follow()
                await trio.sleep_forever()
            finally:
                live.close()


def _may_be(label: str) -> bool:
    """Whether a label may be the name of something in Consul: text that can be asked for."""
    return len(label) <= MAX_LABEL and label.isprintable() and label not in (".", "..")


def _those(found: Registered, suits: Callable[[Meta], bool]) -> Registered:
    return Registered(
        tuple(each for each in found.serving if suits(each.meta)),
        tuple(each for each in found.barred if suits(each.meta)),
    )


def _unknown(report: Report[Registered] | Report[Agent]) -> NameState:
    return PENDING if report.problem is None else Failure(report.problem)


class _LiveAddr:
    """Keeps an address equal to the instances of a service that were asked for."""

    def __init__(self, asked: Asked, service: Cell[Report[Registered]], cell: Cell[Addr], hosts: Hosts) -> None:
        self._asked = asked
        self._service = service
        self._cell = cell
        self._follower = Follower(cell)
        self._targets = Targets(hosts, self._publish)
        self._flaw: str | None = None  # why nobody serves it
        self._exists = False

    async def read_ahead(self) -> None:
        """Take up a large service in pieces, with a turn for others after each. Cancelling is safe."""
        answer = self._service.value.answer
        targets = [each.target for each in answer.serving] if answer else []
        for count in range(AT_A_TIME, len(targets), AT_A_TIME):
            self._targets.follow(targets[:count])
            await trio.lowlevel.checkpoint()

    def follow(self) -> None:
        """The report of the service has changed."""
        tagged = self._asked.tagged(self._service.value.answer or Registered())
        serving = self._asked.chosen(tagged).serving
        self._exists = tagged != Registered()
        self._flaw = self._asked.nobody(tagged) if self._exists and not serving else None
        self._targets.follow([each.target for each in serving])
        self._publish()

    def close(self) -> None:
        """Stop following hosts."""
        self._targets.close()

    def _publish(self) -> None:
        report = self._service.value
        if report.answer is None:
            if report.problem is not None:
                self._follower.tell(AddrFailed(report.problem), self._service)
            return
        addr = self._targets.addr() if self._exists else AddrNeg()
        match addr:
            case AddrPending():
                return
            case AddrFailed(reason):
                fail_addr(self._cell, reason, trio.current_time())
            case AddrBound() | AddrNeg():
                self._follower.tell(addr, self._service, self._flaw or self._unresolved())

    def _unresolved(self) -> str | None:
        return next((problem for problem in self._targets.unresolved() if problem), None)
