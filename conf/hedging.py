"""When a request that takes long is sent a second time: hedging."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from conf.fields import MillisFromZero, about
from conf.section import Section


class Hedging(Section, frozen=True):
    """A GET, HEAD or OPTIONS without a body that takes longer than nearly all do, gets a copy at another endpoint.

    The first good answer is the caller's, and the other attempt is cancelled. How long nearly all take is learnt from
    the requests themselves, for each concrete name. The keys merge as one.
    """

    percentile: Annotated[
        float,
        Meta(ge=50.0, le=99.99),
        about(
            "Of a hundred requests, how many are answered before a copy would be sent.",
            why="five in a hundred take long, and that is what the budget allows",
            like='Dean and Barroso, "The Tail at Scale"',
        ),
    ] = 95.0
    max_extra_percent: Annotated[
        float,
        Meta(ge=0.0, le=100.0),
        about(
            "The most copies for a hundred requests, over 10 s. 0 is no hedging, for a prefix below one that has it.",
            why="when all endpoints become slow, they get little more load",
            like='Dean and Barroso, "The Tail at Scale"',
        ),
    ] = 5.0
    min_delay_ms: Annotated[
        MillisFromZero,
        about("No copy is sent sooner.", why="what takes less than that is not worth another request", like="finagle"),
    ] = 1
