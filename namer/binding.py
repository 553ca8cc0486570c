"""Binding: a name is rewritten by the dtab and the namers until nothing but bound names is left.

A path goes to the dtab first. Only when the dtab has nothing for it (or one rule that says `~`) are the
namers asked: the configured ones by their prefix, the last configured first, then the built-in ones under
`/$/`. Every path that comes out is looked up again. The rules are linkerd 1.x's and finagle's
(`com.twitter.finagle.Namer`):

    Alt     from the left: Neg goes on; bound, Empty, Fail, a failure and "not known yet" end it
    Union   every branch; those that are bound or Empty are kept with their weights. Only when no branch is
            known at all does "not known yet", or else the first failure, decide
    health  whoever binds may say how the endpoints are (namer/health.py). Then an Alt also goes on after a branch
            that has no usable endpoint, or whose source fails, and comes back to the first such one when nothing
            else is usable. A Union gives the share of such a branch to the others that have a weight, and waits for
            what is not known yet while it has nothing else to offer. A name that turned out not to exist is Neg.
            This goes beyond linkerd 1.x, and is what twitter/finagle#653 asks for
    origin  each label of a name is the request's or the table's own word, and so is the host that a bound name spells
            out (namer.Provenance). A label that a namer rewrote is the request's if any label of that name was
    limits  a chain of rewrites that does not end is a failure like any other; a table that asks for too much
            work fails the whole binding, at once (namer/limits.py)

Binding is pure: it reads the cells as they are, says which it read, and is done again when one of them
changes.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Final, TypeAlias

from namer.cell import Cell
from namer.dtab import Dentry, Dtab
from namer.health import Assess, Health
from namer.limits import MAX_DEPTH, LimitExceededError, check_limits, extend, too_deep
from namer.namer import PENDING, Bound, Failure, Namer, NameState, Pending, Provenance
from namer.nametree import NEG, Alt, Empty, Fail, Leaf, NameTree, Neg, Union, Weighted, simplify, union_of
from namer.path import Path
from namer.steps import Answer, Step

BoundState: TypeAlias = Pending | Failure | NameTree[Bound]


class Namers:
    """The namers there are, and which of them a path concerns."""

    def __init__(
        self,
        configured: Sequence[tuple[Path, Namer]],
        builtin: Mapping[str, Namer],
        given: Collection[Path] = (),
    ) -> None:
        """`configured` are namers with their prefixes, in configured order; `builtin` those under `/$/`.

        `given` are beginnings of names that the configuration puts before what a request asks for, or in its place.
        """
        self._configured = tuple(reversed(configured))
        self._builtin = builtin
        self._given = tuple(sorted(given, key=len, reverse=True))

    def lookup(self, path: Path) -> Iterator[tuple[Path, Cell[NameState]]]:
        """The answers for a path, in the order in which they count, each with the prefix of its namer.

        They are looked up one by one: whoever is content with one leaves the others unasked.
        """
        for prefix, namer in self._configured:
            if path.startswith(prefix):
                yield prefix, namer.lookup(path[len(prefix) :])
        if len(path) >= 2 and path[0] == "$":
            builtin = self._builtin.get(path[1])
            yield path[:2], builtin.lookup(path[2:]) if builtin else Cell.constant(self._unknown(path))

    def asked(self, path: Path) -> int:
        """How many labels at the end of a name are what a request asks for."""
        return len(path) - next((len(given) for given in self._given if path.startswith(given)), 0)

    def _unknown(self, path: Path) -> Failure:
        return Failure(f"there is no namer {path[:2]}; there are {', '.join(sorted(self._builtin))}", lasting=True)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a name is bound to now, and how that came about.

    `cells` are the answers it rests on: subscribe to them, and bind again when one changes. `unusable` are the
    concrete names that were met and have no usable endpoint now, `absent` those that turned out not to exist.
    """

    state: BoundState
    cells: tuple[Cell[Any], ...]
    steps: tuple[Step, ...]
    answers: tuple[Answer, ...]
    unusable: tuple[Bound, ...] = ()
    absent: tuple[Bound, ...] = ()

    @property
    def pending(self) -> bool:
        """Whether the outcome waits for a cell."""
        return isinstance(self.state, Pending)


@dataclass(frozen=True, slots=True)
class Share:
    """A bound name that traffic may go to, and its share of it, at most 1."""

    weight: float
    bound: Bound


def bind(path: Path, dtab: Dtab, namers: Namers, assess: Assess | None = None) -> Outcome:
    """Bind a name by what is known now.

    `assess` tells the health of concrete names; without it, names alone decide, as in linkerd 1.x.
    """
    binder = _Binder(dtab, namers, assess)
    try:
        state = binder.evaluate(Leaf(path), Path(), namers.asked(path), depth=0, nesting=0).state
    except LimitExceededError as problem:
        state = Failure(str(problem), lasting=True)
    return Outcome(
        state,
        unique(binder.cells),
        tuple(binder.steps),
        tuple(binder.answers),
        tuple(dict.fromkeys(binder.unusable)),
        tuple(dict.fromkeys(binder.absent)),
    )


def shares(tree: NameTree[Bound]) -> tuple[Share, ...]:
    """The bound names that traffic may go to, in branch order.

    Shares add up to 1, less what Empty branches keep. A branch of weight 0 has the share 0, and where all
    branches of a union have it, all its shares are 0.
    """
    return tuple(_shares(simplify(tree), 1.0))


def verdict(state: BoundState) -> str:
    """The state in one word: bound, neg, empty, fail, error, or pending."""
    match state:
        case Pending():
            return "pending"
        case Failure():
            return "error"
        case Neg():
            return "neg"
        case Empty():
            return "empty"
        case Fail():
            return "fail"
        case _:
            return "bound"


def union_state(branches: Sequence[tuple[float, BoundState]]) -> BoundState:
    """What a Union comes to, from the weights and states of its branches."""
    known = [Weighted(weight, state) for weight, state in branches if not isinstance(state, (Pending, Failure))]
    if known or not branches:
        return union_of(known)
    states = [state for _, state in branches]
    return PENDING if PENDING in states else states[0]


@dataclass(frozen=True, slots=True)
class _Result:
    """What a tree came to, and whether an Alt around it ends there."""

    state: BoundState
    ends: bool


_NEG: Final = _Result(NEG, ends=False)
_ALL: Final = sys.maxsize
"""Labels that are the request's, whatever comes of them."""


class _Binder:
    """One binding: walks the table and the namers, and notes what it met.

    `asked` counts the labels at the end of a name that are the request's word, `depth` the rewrites that led to where
    it is, `nesting` the trees it is inside of.
    """

    def __init__(self, dtab: Dtab, namers: Namers, assess: Assess | None) -> None:
        self._dtab = dtab
        self._namers = namers
        self._assess = assess
        self._evaluated = 0
        self.cells: list[Cell[Any]] = []
        self.steps: list[Step] = []
        self.answers: list[Answer] = []
        self.unusable: list[Bound] = []
        self.absent: list[Bound] = []

    def evaluate(self, tree: NameTree[Path | Bound], residual: Path, asked: int, depth: int, nesting: int) -> _Result:
        """What a tree comes to, with `residual` behind each path in it."""
        self._evaluated += 1
        check_limits(self._evaluated, nesting)
        match tree:
            case Leaf(value):
                if isinstance(value, Bound):
                    return self._arrive(_with_provenance(value, given=0))
                return self._follow(extend(value, residual), asked, depth, nesting)
            case Alt(trees):
                return _first(self.evaluate(each, residual, asked, depth, nesting + 1) for each in trees)
            case Union(branches):
                results = [
                    (each.weight, self.evaluate(each.tree, residual, asked, depth, nesting + 1)) for each in branches
                ]
                return _united(results, by_health=self._assess is not None)
            case Neg():
                return _NEG
            case Empty() | Fail():
                return _Result(tree, ends=True)

    def _arrive(self, bound: Bound) -> _Result:
        if self._assess is None:
            return _Result(Leaf(bound), ends=True)
        health, cell = self._assess(bound)
        self.cells.append(cell)
        match health:
            case Health.ABSENT:
                self.absent.append(bound)
                return _NEG
            case Health.UNUSABLE:
                self.unusable.append(bound)
                return _Result(Leaf(bound), ends=False)
            case Health.USABLE | Health.UNKNOWN:
                return _Result(Leaf(bound), ends=True)

    def _follow(self, path: Path, asked: int, depth: int, nesting: int) -> _Result:
        if depth >= MAX_DEPTH:
            return self._failed(too_deep(path))
        rules = rules_for(path, self._dtab)
        if rules is None:
            return _first(self._ask_namers(path, asked, depth, nesting))
        steps = (Step(path, rule, rule.dst, rule.residual(path)) for rule in rules)
        return _first(self._rewrite(step, min(asked, len(step.residual)), depth, nesting) for step in steps)

    def _rewrite(self, step: Step, asked: int, depth: int, nesting: int) -> _Result:
        place = len(self.steps)
        self.steps.append(step)
        result = self.evaluate(step.tree, step.residual, asked, depth + 1, nesting)
        self.steps[place] = replace(step, result=_verdict(result))
        return result

    def _ask_namers(self, path: Path, asked: int, depth: int, nesting: int) -> Iterator[_Result]:
        for namer, cell in self._namers.lookup(path):
            self.cells.append(cell)
            result = self._answer(path, namer, cell.value, asked, depth, nesting)
            self.answers.append(Answer(path, namer, _verdict(result)))
            yield result
            if not isinstance(cell.value, Neg) and (self._assess is None or result.ends):
                return

    def _answer(self, path: Path, namer: Path, state: NameState, asked: int, depth: int, nesting: int) -> _Result:
        match state:
            case Leaf(Bound() as bound):
                return self._arrive(_with_provenance(bound, given=len(path) - asked))
            case Pending():
                return _Result(state, ends=True)
            case Failure():
                return self._failed(state)
            case Neg():
                return _NEG
            case Empty() | Fail():
                return _Result(state, ends=True)
            case tree:
                return self._rewrite(Step(path, namer, tree, Path()), _ALL if asked else 0, depth, nesting)

    def _failed(self, failure: Failure) -> _Result:
        return _Result(failure, ends=self._assess is None or failure.lasting)


def _with_provenance(bound: Bound, *, given: int) -> Bound:
    """The name with whose word its host is, if it spells one: the first `given` labels are not the request's."""
    if bound.host_at is None:
        return bound
    return bound.said_by(Provenance.CONFIGURATION if bound.host_at < given else Provenance.REQUEST)


def _first(results: Iterable[_Result]) -> _Result:
    """What an Alt comes to: the first that ends it, else the first that is not Neg; the rest is not asked for."""
    passed_over = _NEG
    for result in results:
        if result.ends:
            return result
        if isinstance(passed_over.state, Neg):
            passed_over = result
    return passed_over


def _united(branches: Sequence[tuple[float, _Result]], *, by_health: bool) -> _Result:
    """What a Union comes to: of its branches those that take traffic, or all of them when none does."""
    if by_health:
        ending = [(weight, result.state) for weight, result in branches if result.ends]
        if any(weight and verdict(each) == "bound" for weight, each in ending):
            return _Result(union_state(ending), ends=True)
        if any(isinstance(each, Pending) for _, each in ending):
            return _Result(PENDING, ends=True)
    state = union_state([(weight, result.state) for weight, result in branches])
    settled = all(result.ends or isinstance(result.state, Neg) for _, result in branches)
    return _Result(state, ends=settled and not isinstance(state, Neg))


def _verdict(result: _Result) -> str:
    word = verdict(result.state)
    return "unusable" if word == "bound" and not result.ends else word


def rules_for(path: Path, dtab: Dtab) -> Iterator[Dentry] | None:
    """The dentries that rewrite a path, the last first; None when the path is for the namers."""
    rules = dtab.matches(path)
    first, second = next(rules, None), next(rules, None)
    if first is None or (second is None and isinstance(first.dst, Neg)):
        return None
    return chain((first,), (second,) if second else (), rules)


def unique(cells: Iterable[Cell[Any]]) -> tuple[Cell[Any], ...]:
    """Each cell once, in order; cells are compared by identity."""
    return tuple(dict.fromkeys(cells))


def _shares(tree: NameTree[Bound], weight: float) -> Iterator[Share]:
    match tree:
        case Leaf(bound):
            yield Share(weight, bound)
        case Alt(trees):
            yield from _shares(trees[0], weight)  # simplified: neither Neg nor without branches
        case Union(branches):
            total = sum(branch.weight for branch in branches)
            for branch in branches:
                yield from _shares(branch.tree, weight * (branch.weight / total) if total else 0.0)
