"""Who is told of single requests, by the configuration: the recent requests of the admin port, and access logs."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from conf.router import AnyRouter
from conf.telemetry import AnyTelemeter, RecentRequests
from nodeagent.telemetry.exchange import Exchanges
from nodeagent.telemetry.recent import Recent
from nodeagent.telemetry.registry import Registry

if TYPE_CHECKING:
    from nodeagent.accesslog.writer import AccessLogWriter


def keep_recent(telemeters: Iterable[AnyTelemeter], exchanges: Exchanges, rng: random.Random) -> Recent | None:
    """Return what keeps the recent requests, and have it told of them; None when none are to be kept."""
    config = next((each for each in telemeters if isinstance(each, RecentRequests)), RecentRequests())
    if not config.capacity:
        return None
    recent = Recent(config.capacity, config.sample_rate, rng)
    exchanges.keep(recent.record)
    return recent


def write_access_logs(
    routers: Iterable[AnyRouter],
    exchanges: Exchanges,
    stats: Registry,
    to_epoch: Callable[[], float],
    rng: random.Random,
) -> tuple[AccessLogWriter, ...]:
    """Return what writes the access logs of `routers`, and have it told of their requests; they are to be run.

    `to_epoch` tells what turns trio's clock into seconds since 1970.
    """
    logged = [(router.label, router.logged) for router in routers if router.logged is not None]
    if not logged:
        return ()
    from nodeagent.accesslog.writer import make_writer  # most agents have none

    exchanges.describe = True
    writers = tuple(
        make_writer(config, label, counts=stats.access_log(label), to_epoch=to_epoch, rng=rng)
        for label, config in logged
    )
    for writer in writers:
        exchanges.watch(writer.record)
    return writers
