"""Lets the balancers of a worker learn from the others, a few times a second."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

import trio

from nodeagent.proxy.dispatch import Router

PERIOD: Final = 0.1
"""Seconds between two rounds, if a round is short."""
PART: Final = 0.05
"""Of a worker's time that rounds may take: with thousands of endpoints they come less often."""
AT_A_TIME: Final = 20
"""Concrete names before others get their turn."""


class Running(Protocol):
    """A router of the worker."""

    router: Router


async def exchange(routers: Iterable[Running]) -> None:
    """Exchange what was learnt until cancelled."""
    while True:
        began = trio.current_time()
        for running in routers:
            for number, client in enumerate(tuple(running.router.bindings.clients.values())):
                if number % AT_A_TIME == 0:
                    await trio.lowlevel.checkpoint()
                client.balancer.exchange(trio.current_time())
        await trio.sleep(max(PERIOD, (trio.current_time() - began) / PART))
