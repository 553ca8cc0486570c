"""The experiments, as values: what the backends do, what the callers ask, and for how long.

`FIRST` is that of "Beyond Round Robin: Load Balancing for Latency" (Buoyant, 2016), `SECOND` that of "Making Things
Faster by Adding More Steps" (Buoyant, 2017). `SHARE` asks how soon an endpoint that has become slow is avoided.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Backend:
    """One endpoint: it answers after *delay* seconds, normally distributed with *deviation*.

    Of its answers *success* are 200, the others 500.
    """

    delay: float
    deviation: float = 0.0
    success: float = 1.0


@dataclass(frozen=True, slots=True)
class Slowness:
    """The first backend answers after *delay* seconds what it is asked from *start* until *end*.

    Both are parts of the counted time.
    """

    delay: float
    start: float
    end: float = 1.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """One experiment.

    *rate* is in requests/s over all callers. Without *workers* it is an open loop: independent callers at random
    times (Poisson). With them each worker asks at a steady rate and waits for its answer first. A caller gives up
    *timeout* seconds after it has asked and closes its connection. The requests of the first *warm_up* seconds are
    sent, and not counted; then come *seconds* that are.
    """

    name: str
    title: str
    backends: tuple[Backend, ...]
    rate: float
    timeout: float
    seconds: float
    warm_up: float = 0.0
    slowness: Slowness | None = None
    workers: int | None = None
    keep_alive: bool = True

    @property
    def slow_from(self) -> float:
        """When the first backend becomes slow, in seconds of counted time; never is infinity."""
        return self.slowness.start * self.seconds if self.slowness else float("inf")

    @property
    def slow_until(self) -> float:
        """When it is as before."""
        return self.slowness.end * self.seconds if self.slowness else float("inf")

    def lasting(self, seconds: float) -> Scenario:
        """The same for so many counted seconds; the times of the slowness move with it."""
        return replace(self, seconds=seconds)

    def quick(self) -> Scenario:
        """A few seconds of it: shows that everything works together, and says nothing about anybody."""
        return replace(self, seconds=3.0, warm_up=min(self.warm_up, 0.5))


FIRST = Scenario(
    name="first",
    title="Beyond round robin: 11 backends of 167 ms, one at 2 s for half of the time, callers wait for 1 s",
    backends=(Backend(0.167, 0.005),) * 11,
    rate=1000.0,
    timeout=1.0,
    seconds=60.0,
    slowness=Slowness(2.0, start=0.25, end=0.75),
)

SECOND = Scenario(
    name="second",
    title="Adding more steps: 10 backends of 0 ms to 2 s, two often fail, each request connects anew",
    backends=(
        *(Backend(milliseconds / 1000) for milliseconds in (0, 10, 20, 40, 80, 160, 320, 640)),
        Backend(1.0, success=0.6),
        Backend(2.0, success=0.4),
    ),
    rate=500.0,
    timeout=10.0,
    seconds=60.0,
    warm_up=10.0,
    workers=50,
    keep_alive=False,
)

SHARE = Scenario(
    name="share",
    title="An endpoint becomes slow: 10 backends of 5 ms, one at 500 ms from the middle on",
    backends=(Backend(0.005),) * 10,
    rate=500.0,
    timeout=5.0,
    seconds=20.0,
    warm_up=2.0,
    slowness=Slowness(0.5, start=0.5),
)

SCENARIOS: Mapping[str, Scenario] = {scenario.name: scenario for scenario in (FIRST, SECOND, SHARE)}
