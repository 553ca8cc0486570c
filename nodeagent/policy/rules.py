"""Rules in order, and what they decide. Pure.

The first rule that fits and allows or denies decides, as in nginx, HAProxy, Squid and packet filters: the rules of a
router are one list, by one hand, and who reads it from the top can stop at the first that fits. (Where a refusal beats
all, as in Istio and AWS, that is because the rules of many authors are put together in no order.)

An `audit` rule never decides; the search goes on as if it were not there. So it can be put anywhere, and opens nothing.

Where it cannot be told whether a rule fits, one that allows does not, and one that denies does: whatever the truth is,
nobody gets in whom the rules keep out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from nodeagent.policy.call import Call
from nodeagent.policy.conditions import Condition, Fits
from nodeagent.policy.decision import ALLOW, ASK, AUDIT, DENY, Decision

Conditions: TypeAlias = tuple[Condition, ...]
"""All of them must hold."""


class Tried(NamedTuple):
    """What was found of one rule."""

    rule: str
    action: str
    fits: Fits
    decides: bool
    why: str
    """What the call has, next to what is asked."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: any of `who` calls any of `what`; without any, whoever and whatever it is."""

    name: str
    action: str
    who: tuple[Conditions, ...] = ()
    what: tuple[Conditions, ...] = ()

    @property
    def needs(self) -> Fits:
        """How sure it must be that the rule fits."""
        return Fits.YES if self.action == ALLOW else Fits.MAYBE

    def fits(self, call: Call, *, static: bool = False) -> Fits:
        """Judge a call, if `static` as if all that other requests alike might have otherwise were as asked."""
        who = _any(self.who, call, static=static)
        return who and min(who, _any(self.what, call, static=static))

    @property
    def is_static(self) -> bool:
        """Whether all requests of one caller to one name by one method are equal to it."""
        return not any(each.by_request for conditions in (*self.who, *self.what) for each in conditions)

    def why(self, call: Call) -> str:
        """Say what the call has and the rule does not want, of the alternatives that come nearest."""
        wanting = [each for side in (self.who, self.what) for each in _nearest(side, call)]
        return "; ".join(f"{each.wants()}: {each.finds(call)}" for each in wanting)

    def covers(self, other: Rule) -> bool:
        """Tell whether this rule fits, for sure, whatever `other` fits; False where that cannot be seen."""
        return _cover(self.who, other.who) and _cover(self.what, other.what)


class Rules:
    """The rules of a router."""

    def __init__(self, rules: tuple[Rule, ...], default: Decision) -> None:
        self.rules = rules
        self.default = default

    def decide(self, call: Call) -> Decision:
        """Say what becomes of a call."""
        return self.decide_of(self.rules, call)

    def narrowed(self, call: Call) -> tuple[Rule, ...] | Decision:
        """Return what is left to try for calls of this caller to this name by this method; or what becomes of all."""
        left = []
        for rule in self.rules:
            if rule.fits(call, static=True) < rule.needs:
                continue
            left.append(rule)
            if rule.is_static and rule.action != AUDIT:
                break
        return tuple(left) if any(not rule.is_static for rule in left) else self.decide_of(tuple(left), call)

    def decide_of(self, rules: tuple[Rule, ...], call: Call) -> Decision:
        """As `decide`, of those of the rules that are left."""
        would: str | None = None
        for rule in rules:
            if rule.fits(call) < rule.needs:
                continue
            if rule.action == ASK:  # who is asked says yes to what he sees, which must be what there is
                certain = rule.fits(call) is Fits.YES
                return Decision(ASK, rule.name, None, would) if certain else Decision(DENY, rule.name)
            if rule.action != AUDIT:
                return passed_on(Decision(rule.action, rule.name), would)
            would = would or rule.name
        return passed_on(self.default, would)

    def tried(self, call: Call) -> Iterator[Tried]:
        """Tell of each rule what was found, the default last."""
        decided = False
        for rule in self.rules:
            fits = rule.fits(call)
            decides = not decided and rule.action != AUDIT and fits >= rule.needs
            decided = decided or decides
            yield Tried(rule.name, rule.action, fits, decides, rule.why(call))
        yield Tried(self.default.rule, self.default.verdict, Fits.YES, not decided, self.default.said or "")

    def shadowed(self) -> Iterator[tuple[int, Rule]]:
        """Yield the places of rules that never decide, each with the rule before it that decides instead."""
        for index, rule in enumerate(self.rules):
            for earlier in self.rules[:index]:
                if earlier.action != AUDIT and earlier.covers(rule):
                    yield index, earlier
                    break


def passed_on(last: Decision, would: str | None) -> Decision:
    """Return what becomes of a call by the rule that decides, and one before it that would refuse it."""
    return Decision(AUDIT, would, last.said) if would is not None and last.verdict != DENY else last


def _any(alternatives: tuple[Conditions, ...], call: Call, *, static: bool) -> Fits:
    if not alternatives:
        return Fits.YES
    best = Fits.NO
    for conditions in alternatives:
        least = Fits.YES
        for each in conditions:
            if not (static and each.by_request) and (fits := each.fits(call)) < least:
                least = fits
        if least > best:
            best = least
    return best


def _nearest(alternatives: tuple[Conditions, ...], call: Call) -> tuple[Condition, ...]:
    """The conditions that do not hold for sure, of the alternative that has the fewest."""
    wanting = [tuple(each for each in conditions if each.fits(call) < Fits.YES) for conditions in alternatives]
    return min(wanting, key=len, default=())


def _cover(mine: tuple[Conditions, ...], theirs: tuple[Conditions, ...]) -> bool:
    if not mine:
        return True
    return bool(theirs) and all(
        any(all(any(one.covers(other) for other in them) for one in me) for me in mine) for them in theirs
    )
