"""What the configuration wants to be told of single requests."""

from __future__ import annotations

import random
from collections.abc import Iterable

from conf.telemetry import AnyTelemeter, RecentRequests
from nodeagent.telemetry.recent import Recent


def make_recent(telemeters: Iterable[AnyTelemeter], rng: random.Random) -> Recent | None:
    """Return what keeps the recent requests, as the configuration wants it; None when none are to be kept."""
    kept = next((each for each in telemeters if isinstance(each, RecentRequests)), RecentRequests())
    return Recent(kept.capacity, kept.sample_rate, rng) if kept.capacity else None
