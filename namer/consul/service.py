"""The instances of one service, followed: what Consul says of them, held against the guard."""

from __future__ import annotations

from functools import partial
from typing import Final
from urllib.parse import quote

import trio

from namer.cell import Cell
from namer.consul.api import Consul, in_datacenter
from namer.consul.catalog import Entry, Instances, Rules, instances_of
from namer.consul.guard import Guard
from namer.httpapi import Reply
from namer.report import Report, Reporter

RECHECK: Final = 2.0  # seconds until Consul is asked again for what it said and is not believed yet


async def follow_service(
    consul: Consul, datacenter: str, service: str, rules: Rules, cell: Cell[Report[Instances]]
) -> None:
    """Keep the cell equal to what Consul says. Ends only by being cancelled."""
    query = dict(in_datacenter(datacenter))
    if rules.statuses == {"passing"}:
        query["passing"] = "1"  # Consul leaves the others out itself
    listener = _Listener(Reporter(cell, partial(consul.complain, f"{service} in {datacenter}")), rules)
    await consul.follow(f"/v1/health/service/{quote(service, safe='', errors='surrogateescape')}", query, listener)


class _Listener:
    def __init__(self, reporter: Reporter[Instances], rules: Rules) -> None:
        self._reporter = reporter
        self._rules = rules
        self._guard = Guard(reporter.answer or ())

    def heard(self, reply: Reply, steady: bool) -> float | None:
        found = instances_of(reply.json(list[Entry]), self._rules)
        now = trio.current_time()
        doubt = self._guard.judge(found, steady, now)
        if doubt is None:
            self._reporter.holds(found)
            return None
        self._reporter.doubtful(self._guard.kept(found), doubt, now + RECHECK)
        return RECHECK

    def failed(self, problem: str, retry_at: float) -> None:
        self._reporter.doubtful(self._reporter.answer, problem, retry_at)
