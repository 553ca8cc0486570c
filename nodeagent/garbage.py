"""The garbage collector of a process that holds much and makes few cycles.

CPython frees what nothing refers to at once; its collector only looks for objects that refer to each other in a
circle, and for that walks all that is alive: with ten thousand bound names two million objects, which holds up every
request for a second. But what names, endpoints and connections are made of leaves no circles behind (tests hold
that), so there is nothing to find. So a collection that took long has what it left alive frozen: it is not walked
again, and is freed as before when nothing refers to it any more. What comes later is collected as ever.

Since what is frozen was just found to be alive, the only garbage that could stay is a circle that frozen objects form
later on. Precedent: `gc.freeze` was made for the servers of Instagram.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

LONG: Final = 0.005
"""Seconds: a full collection that takes longer is the last that walks what it walked."""
THRESHOLDS: Final = (700, 5, 3)
"""Net allocations, and collections of the next younger generation, that start a collection: a full one comes after
10,000 objects that stay, of which 7 ms are spent, and not after 70,000."""
OLDEST: Final = 2
"""The generation whose collection walks everything."""


@contextmanager
def short_collections() -> Iterator[None]:
    """Keep the collections of this process short while inside; to be entered once everything is loaded."""
    started = 0.0

    def watch(phase: str, info: dict[str, int]) -> None:
        nonlocal started
        if info["generation"] != OLDEST:
            return
        now = time.perf_counter()
        if phase == "start":
            started = now
        elif now - started > LONG:
            gc.freeze()

    before = gc.get_threshold()
    gc.callbacks.append(watch)
    gc.set_threshold(*THRESHOLDS)
    try:
        gc.collect()
        gc.freeze()
        yield
    finally:
        gc.callbacks.remove(watch)
        gc.set_threshold(*before)
        gc.unfreeze()
