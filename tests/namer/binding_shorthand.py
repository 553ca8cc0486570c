"""Binding in a line: tables in shorthand, outcomes as text."""

import random
import re

from namer.binding import BoundState, Namers, Outcome, Share, bind, shares, verdict
from namer.builtin import builtin_namers
from namer.dtab import Dtab
from namer.hosts import Hosts
from namer.namer import Bound, Failure, Pending
from namer.nametree import NameTree
from namer.path import Path
from namer.watch import Watches
from tests.namer.fakes import FakeNamer

BUILTIN = builtin_namers(Hosts(Watches(random.Random(7))))
FS = "/#/io.l5d.fs"


def full(shorthand: str) -> str:
    """The table below writes `fs` for `/#/io.l5d.fs`."""
    return re.sub(r"(?<![\w/.])fs(?![\w.])", FS, shorthand)


def bound_by_files(dtab: str, name: str, *files: str) -> Outcome:
    fs = FakeNamer(FS, *files)
    return bind(Path.parse(name), Dtab.parse(full(dtab)), Namers([(fs.prefix, fs)], BUILTIN))


def described(outcome: Outcome) -> str:
    """`ID`, `ID +RESIDUAL`, `SHARE ID, SHARE ID`, or the verdict."""
    if verdict(outcome.state) != "bound":
        return verdict(outcome.state)
    return ", ".join(map(_described, shares(tree_of(outcome.state))))


def tree_of(state: BoundState) -> NameTree[Bound]:
    assert not isinstance(state, (Pending, Failure))
    return state


def _described(share: Share) -> str:
    weight = "" if share.weight == 1.0 else f"{share.weight:g} "
    residual = f" +{share.bound.residual}" if share.bound.residual else ""
    return f"{weight}{share.bound.id}{residual}"
