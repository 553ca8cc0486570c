"""When an answer takes away too much at once to be believed at once. Pure.

A registry that has lost its data, its leader, or sight of a network answers with status 200 and a short list. So:

    suspicious   none is left of three or more, or fewer than half of six or more; or none of any number, in the first
                 answer after trouble (an error, an index that went backwards: Consul was restarted)
    of           the most instances that were believed in at one time in the last HOLD seconds: a loop that deregisters
                 one after the other is a mass removal too
    kept         those instances, beside new ones, for as long as the answers stay suspicious
    believed     as soon as an answer is no longer suspicious, or after HOLD seconds of nothing else

An endpoint that is really gone costs little meanwhile, because it refuses connections and is ejected. Less than that is
obeyed at once: one instance of many, the last of a small service, three scaled down to one. The idea is Envoy's panic
threshold and consul-template's `-wait`, for the registry's own word.
"""

from __future__ import annotations

from typing import Final

from namer.consul.catalog import Instances

MIN_EMPTIED: Final = 3  # one or two instances end together every day: a restart, a move
MIN_HALVED: Final = 6  # as fewer are scaled down
HOLD: Final = 15.0
"""Seconds: longer than an election of Consul's leader or the restart of an agent takes, shorter than people wait."""


class Guard:
    """The instances of one service that are believed in."""

    def __init__(self, good: Instances) -> None:
        """`good` were the last ones that were believed in."""
        self._good = good
        self._past: list[tuple[float, Instances]] = []  # believed in until then, of late, and more than those after
        self._since: float | None = None
        self._shaken = False

    def judge(self, found: Instances, steady: bool, now: float) -> str | None:
        """None when the instances found are to be believed; else why not yet. `steady`: no trouble came before."""
        self._shaken = not steady or (self._shaken and self._since is not None)
        if self._since is None:
            self._past = [(until, past) for until, past in self._past if now - until < HOLD]
        if not self._is_suspicious(found):
            self._believe(found, now)
            return None
        if self._since is None:
            self._since = now
        left = self._since + HOLD - now
        if left <= 0:
            self._past, self._good, self._since = [], found, None
            return None
        return (
            f"Consul names only {len(found)} instances of late, and named {len(self._most)} before; "
            f"those are kept for {left:.0f} s more"
        )

    def kept(self, found: Instances) -> Instances:
        """The instances found and, beside them, those that are known and not found."""
        present = {(each.node, each.id) for each in found}
        return found + tuple(each for each in self._most if (each.node, each.id) not in present)

    @property
    def _most(self) -> Instances:
        return self._past[0][1] if self._past else self._good

    def _is_suspicious(self, found: Instances) -> bool:
        known = len(self._most)
        if not found:
            return known >= MIN_EMPTIED or (self._shaken and known > 0)
        return known >= MIN_HALVED and 2 * len(found) < known

    def _believe(self, found: Instances, now: float) -> None:
        before = [*self._past, (now, self._good)]
        self._past = [(until, past) for until, past in before if len(past) > len(found)]
        self._good = found
        self._since = None
