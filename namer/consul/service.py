"""The instances of one service, followed: what Consul says of them, held against the guard.

Consul is asked for all of them, also where only passing ones may serve: with `?passing`, a service that fails as a
whole would look like one that nobody has registered. That costs the bytes of the failing ones, about 1 KB each.

An empty list that ACLs have emptied is no answer: the token may not see the service, which may well be there. Consul
1.11 and newer say so, to those who send a token.
"""

from __future__ import annotations

from functools import partial
from typing import Final
from urllib.parse import quote

import trio

from namer.cell import Cell
from namer.consul.api import Consul, in_datacenter
from namer.consul.catalog import Entry, Registered, Rules, registered
from namer.consul.guard import Guard
from namer.httpapi import ApiError, Reply
from namer.report import Report, Reporter

RECHECK: Final = 2.0  # seconds until Consul is asked again for what it said and is not believed yet


async def follow_service(
    consul: Consul, datacenter: str, service: str, rules: Rules, cell: Cell[Report[Registered]]
) -> None:
    """Keep the cell equal to what Consul says. Ends only by being cancelled."""
    reporter = Reporter(cell, partial(consul.complaints.complain, f"{service} in {datacenter}"))
    path = f"/v1/health/service/{quote(service, safe='', errors='surrogateescape')}"
    await consul.follow(path, in_datacenter(datacenter), _Listener(consul, reporter, rules))


class _Listener:
    def __init__(self, consul: Consul, reporter: Reporter[Registered], rules: Rules) -> None:
        self._consul = consul
        self._reporter = reporter
        self._rules = rules
        self._guard = Guard(reporter.answer.serving if reporter.answer else ())

    async def heard(self, reply: Reply, steady: bool) -> float | None:
        found = await self._consul.read(reply, self._read)
        now = trio.current_time()
        doubt = self._guard.judge(found.serving, steady, now)
        if doubt is None:
            self._reporter.holds(found)
            return None
        self._reporter.doubtful(Registered(self._guard.kept(found.serving), found.barred), doubt, now + RECHECK)
        return RECHECK

    def _read(self, reply: Reply) -> Registered:
        found, before = registered(reply.elements(Entry), self._rules), self._reporter.answer
        if found == Registered() and reply.headers.get("x-consul-results-filtered-by-acls") == "true":
            raise ApiError(f"{reply.origin}: an empty answer, filtered by ACLs: the token may not read it")
        return before if found == before and before is not None else found  # which is compared soon, and often

    def failed(self, problem: str, retry_at: float) -> None:
        self._reporter.doubtful(self._reporter.answer, problem, retry_at)
