"""Whose fault it is when a caller does not get what it should; pure.

Only what a caller or an endpoint breaks on purpose is theirs. All other endpoints answer everything, and none ends
before discovery has forgotten it and its requests are answered: so what else fails, the agent has failed.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


class Seen(enum.StrEnum):
    """What a caller saw."""

    OK = "whole answer"
    REFUSED = "502 or 504 by the agent"
    STATUS = "another status"
    CUT = "connection ended early"
    WRONG = "another body than was sent"
    LATE = "no answer in time"
    GONE = "went away itself"


class Culprit(enum.StrEnum):
    """Who did it."""

    NOBODY = "nobody"
    CALLER = "caller"
    BACKEND = "backend"
    NAMES = "discovery"
    AGENT = "agent"


EXCUSED: Mapping[str, Mapping[Seen, Culprit]] = {
    "unknown name": {Seen.REFUSED: Culprit.NAMES},
    "abort in request": {Seen.GONE: Culprit.CALLER},
    "abort in response": {Seen.GONE: Culprit.CALLER},
    "abort in tunnel": {Seen.GONE: Culprit.CALLER},
    "backend resets before": {Seen.REFUSED: Culprit.BACKEND},
    "backend resets within": {Seen.CUT: Culprit.BACKEND},
}
"""By kind of caller: what it is meant to see, if not a whole answer. Anything else is the agent's fault.

An answer for an unknown name would be wrong, and so would one for a backend that resets: see `attribute`.
"""


def attribute(kind: str, seen: Seen) -> Culprit:
    """Who made a caller of this *kind* see this."""
    excused = EXCUSED.get(kind)
    if excused is not None:
        return excused.get(seen, Culprit.AGENT)
    return Culprit.NOBODY if seen is Seen.OK else Culprit.AGENT


@dataclass(slots=True)
class Ledger:
    """What all callers saw, by kind; and the first few things that the agent is blamed for, in words."""

    counts: Counter[tuple[str, Seen]] = field(default_factory=Counter)
    details: list[str] = field(default_factory=list)

    MOST_DETAILS = 20

    def note(self, kind: str, seen: Seen, detail: str = "", count: int = 1) -> None:
        """A caller of this *kind* saw this; *detail* says more, for when the agent is to blame."""
        self.counts[kind, seen] += count
        if attribute(kind, seen) is Culprit.AGENT and len(self.details) < self.MOST_DETAILS:
            self.details.append(f"{kind}: {seen}: {detail}")

    def blamed(self, culprit: Culprit) -> int:
        """How often it was somebody's fault."""
        return sum(count for (kind, seen), count in self.counts.items() if attribute(kind, seen) is culprit)

    def rows(self) -> Iterable[tuple[str, str, str, int]]:
        """Kind, what was seen, who is to blame and how often; in the order of the kinds."""
        for (kind, seen), count in sorted(self.counts.items()):
            yield kind, seen, attribute(kind, seen), count
