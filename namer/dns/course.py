"""Following a name of the DNS: what to believe of an answer, and when to ask again. Pure.

    found           believed; asked again when the TTL is over
    nothing         believed, but of a name that had records only when it is said twice, a second apart: servers say
                    so for a moment when they are loaded or reloaded, and believing it empties a pool
    failed          what is known stays; asked again after a delay that grows and is partly chance

Names whose TTL is long are looked up again every half minute all the same. That asks nobody, since the answer is
remembered, and sees what somebody wrote to /etc/hosts.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Final, Generic, TypeAlias

from namer.dns.answers import Answer, Failed, Found, Nothing, R

LOOK: Final = 30.0  # seconds between two looks at a name whose answer still holds
CONFIRM_AFTER: Final = 1.0
FIRST_DELAY: Final = 2.0  # of which at least half is waited
MAX_DELAY: Final = 30.0


@dataclass(frozen=True, slots=True)
class Believe(Generic[R]):
    """Take the answer, and look again at `next_at`."""

    answer: Found[R] | Nothing
    next_at: float


@dataclass(frozen=True, slots=True)
class Doubt:
    """Keep what is known, tell `reason`, and ask again at `next_at`."""

    reason: str
    next_at: float


Step: TypeAlias = Believe[R] | Doubt


class Course(Generic[R]):
    """How following one name goes. `newer_than` is what to ask the resolver with."""

    __slots__ = ("_failures", "_rng", "newer_than")

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._failures = 0
        self.newer_than = -math.inf

    def step(self, answer: Answer[R], now: float, *, has_records: bool) -> Step[R]:
        """What to make of an answer; `has_records` is whether the name is known to have some."""
        match answer:
            case Failed(reason):
                self._failures += 1
                return Doubt(reason, now + retry_delay(self._failures, self._rng))
            case Nothing(exists, at) if has_records and self.newer_than == -math.inf:
                self._failures = 0
                self.newer_than = at
                why = "has no records any more" if exists else "does not exist any more"
                return Doubt(f"{why}, says one answer", now + CONFIRM_AFTER * self._rng.uniform(0.75, 1.25))
            case _:
                self._failures = 0
                self.newer_than = -math.inf
                return Believe(answer, min(answer.expires, now + LOOK))


def retry_delay(failures: int, rng: random.Random) -> float:
    """Seconds to wait after so many failures in a row, from 1 to 30, partly by chance, so that askers spread out."""
    return min(MAX_DELAY, FIRST_DELAY * 2.0 ** min(failures - 1, 16)) * rng.uniform(0.5, 1.0)
