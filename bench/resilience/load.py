"""Makes the load of a scenario and prints what its callers saw: `... resilience.load SCENARIO PORT BEGIN`.

BEGIN is the monotonic clock at which counted time begins; the warm-up lies before it. An open loop sends at random
times that were drawn beforehand, the same for every proxy, whatever became of the requests before. The latency counts
from the time that was drawn, so a load that falls behind shows in the latency, and is told beside it.
"""

from __future__ import annotations

import asyncio
import gc
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import msgspec

from bench.resilience.backends import PATH
from bench.resilience.caller import Call, Callers
from bench.resilience.scenario import Scenario

WARM_UP_PATH = "/warm-up"
SEED = 2016


@dataclass(slots=True)
class Seen:
    """What the callers saw of the counted requests, request by request, as each ended."""

    at: list[float] = field(default_factory=list)
    """When it was asked, in seconds of counted time."""
    latency: list[float] = field(default_factory=list)
    """Seconds until it ended, however it ended."""
    outcome: list[int] = field(default_factory=list)
    """Its status, TIMEOUT or BROKEN."""
    late: list[float] = field(default_factory=list)
    """Seconds by which each was sent later than it should have been, in the order of sending."""
    cpu: float = 0.0
    """Seconds of processor time that the load took, warm-up included."""


def poisson(rate: float, start: float, end: float, chance: random.Random) -> Iterator[float]:
    """The times of independent events between *start* and *end*, *rate* a second."""
    at = start + chance.expovariate(rate)
    while at < end:
        yield at
        at += chance.expovariate(rate)


def next_turn(due: float, period: float, now: float) -> tuple[float, float]:
    """When a worker that was *due* and is free *now* sends next, and which of its turns that is.

    It has a turn each *period*. One that it missed is made up for at once, further ones are lost: a worker that is
    held up falls behind, and does not catch up.
    """
    turn = due + period
    if turn >= now:
        return turn, turn
    missed = int((now - due) / period)
    return now, due + missed * period


class Load:
    """The callers of a scenario at work."""

    def __init__(self, scenario: Scenario, port: int, begin: float) -> None:
        self.seen = Seen()
        self._scenario = scenario
        self._callers = Callers(port, keep_alive=scenario.keep_alive, timeout=scenario.timeout)
        self._begin = begin
        self._loop = asyncio.get_running_loop()
        self._out = 0
        self._over = asyncio.Event()

    async def run(self) -> Seen:
        """Send everything and wait for the last to end."""
        if self._scenario.workers is None:
            await self._open_loop()
        else:
            await asyncio.gather(*(self._worker(number) for number in range(self._scenario.workers)))
        while self._out:
            self._over.clear()
            await self._over.wait()
        self._callers.hang_up()
        self.seen.cpu = time.process_time()
        return self.seen

    async def _open_loop(self) -> None:
        scenario = self._scenario
        for at in poisson(scenario.rate, -scenario.warm_up, scenario.seconds, random.Random(SEED)):
            if (ahead := self._begin + at - self._loop.time()) > 0.0:
                await asyncio.sleep(ahead)
            self._ask(at, self._ended)

    async def _worker(self, number: int) -> None:
        scenario = self._scenario
        assert scenario.workers is not None
        period = scenario.workers / scenario.rate
        at = turn = -scenario.warm_up + period * number / scenario.workers
        while at < scenario.seconds:
            if (ahead := self._begin + at - self._loop.time()) > 0.0:
                await asyncio.sleep(ahead)
            answered = asyncio.Event()
            self._ask(at, partial(self._ended_for, answered))
            await answered.wait()
            at, turn = next_turn(turn, period, self._loop.time() - self._begin)

    def _ask(self, at: float, done: Callable[[Call, int], None]) -> None:
        self._out += 1
        if at >= 0.0:
            self.seen.late.append(round(self._loop.time() - self._begin - at, 5))
        self._callers.ask(PATH if at >= 0.0 else WARM_UP_PATH, self._begin + at, done)

    def _ended(self, call: Call, outcome: int) -> None:
        at = call.at - self._begin
        if at >= 0.0:
            self.seen.at.append(round(at, 4))
            self.seen.latency.append(round(self._loop.time() - call.at, 5))
            self.seen.outcome.append(outcome)
        self._out -= 1
        self._over.set()

    def _ended_for(self, answered: asyncio.Event, call: Call, outcome: int) -> None:
        self._ended(call, outcome)
        answered.set()


async def load(scenario: Scenario, port: int, begin: float) -> Seen:
    """Call the proxy on *port* as *scenario* says."""
    return await Load(scenario, port, begin).run()


def main(arguments: list[str]) -> None:
    """Print what was seen as one line of JSON."""
    gc.disable()  # a pause would look like a slow proxy
    scenario, port, begin = arguments
    seen = asyncio.run(load(msgspec.json.decode(scenario, type=Scenario), int(port), float(begin)))
    sys.stdout.buffer.write(msgspec.json.encode(seen) + b"\n")


if __name__ == "__main__":
    main(sys.argv[1:])
