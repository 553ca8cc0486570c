"""What holds of binding whatever the table, and how it ends for hostile ones."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namer.binding import BoundState, Namers, bind, shares, union_state, verdict
from namer.dtab import Dentry, Dtab, Prefix
from namer.limits import MAX_DEPTH, MAX_LABELS, MAX_STEPS
from namer.namer import Bound, Failure
from namer.nametree import NEG, Alt, Leaf, NameTree, Neg, Union, simplify
from namer.path import Path
from tests.namer.binding_shorthand import BUILTIN, FS, bound_by_files, described, tree_of
from tests.namer.fakes import FakeNamer
from tests.namer.strategies import dtabs, few_labels, paths, trees


@given(trees(paths(few_labels)))
def test_shares_never_add_up_to_more_than_everything(tree: NameTree[Path]) -> None:
    names = FakeNamer("/", "a", "b", "c")
    outcome = bind(Path(("svc",)), Dtab((Dentry(Prefix(("svc",)), tree),)), Namers([(Path(), names)], BUILTIN))

    assert math.fsum(share.weight for share in shares(tree_of(outcome.state))) <= 1.0 + 1e-9


@given(dtabs(few_labels), paths(few_labels))
def test_binding_ends_within_its_budget(dtab: Dtab, path: Path) -> None:
    outcome = bind(path, dtab, Namers([], BUILTIN))

    assert len(outcome.steps) <= MAX_STEPS
    assert verdict(outcome.state) in {"neg", "empty", "fail", "error"}


def forward_tables() -> st.SearchStrategy[Dtab]:
    """Tables whose rules lead only to later letters, so that every name comes to an end."""

    def rule(place: int) -> st.SearchStrategy[Dentry]:
        further = paths(st.sampled_from("abcdxy"[place + 1 :]), min_size=1)
        return st.builds(Dentry, st.just(Prefix(("abcd"[place],))), trees(further))

    return st.lists(st.integers(0, 3).flatmap(rule), max_size=6).map(lambda rules: Dtab(tuple(rules)))


def naive(path: Path, dtab: Dtab, names: FakeNamer) -> BoundState:
    """The definition, with neither limits nor notes: look up, evaluate, look up what comes out."""

    def evaluate(tree: NameTree[Path | Bound]) -> BoundState:
        match tree:
            case Leaf(Path() as path):
                found = dtab.lookup(path)
                return evaluate(names.lookup(path).value if found == NEG else found)  # type: ignore[arg-type]
            case Alt(trees):
                return next((state for state in map(evaluate, trees) if not isinstance(state, Neg)), NEG)
            case Union(branches):
                return union_state([(each.weight, evaluate(each.tree)) for each in branches])
            case _:
                return tree  # type: ignore[return-value]

    return evaluate(Leaf(path))


@given(forward_tables(), paths(st.sampled_from("abcdxy"), min_size=1))
def test_binding_does_what_the_definition_says(dtab: Dtab, path: Path) -> None:
    names = FakeNamer("/", "x")
    namers = Namers([(names.prefix, names)], {})

    state = bind(path, dtab, namers).state

    assert state == naive(path, dtab, names)
    assert simplify(tree_of(state)) == state


@pytest.mark.parametrize(
    ("dtab", "reason"),
    [
        pytest.param("/a => /a & /a", f"more than {MAX_STEPS} steps", id="doubling"),
        pytest.param("/a => /a/x | /a/y & /a", f"more than {MAX_STEPS} steps|100 times", id="growing and doubling"),
        pytest.param("/a => /a/b/c", f"rewritten {MAX_DEPTH} times without an end", id="growing"),
        pytest.param("/a => /a" + "/b" * 100, f"more than {MAX_LABELS} labels", id="growing fast"),
        pytest.param("/a => /b ; /b => /a", "the dtab goes in a circle", id="a circle"),
        pytest.param("/a => " + " | ".join(["~"] * MAX_STEPS), f"more than {MAX_STEPS} steps", id="wide"),
        pytest.param("/a => /b | (~ & (/c | (/a | ~)))", "nested more than 100|100 times", id="deep"),
        pytest.param(";".join(["/a => /b | ~ | /a"] * 1000), f"more than {MAX_STEPS} steps|100 times", id="many rules"),
    ],
)
def test_a_hostile_table_ends_at_once_as_an_error(dtab: str, reason: str) -> None:
    outcome = bind(Path.parse("/a"), Dtab.parse(dtab), Namers([], BUILTIN))

    assert isinstance(outcome.state, Failure)
    assert re.search(reason, outcome.state.reason)
    assert len(outcome.steps) <= MAX_STEPS


def test_a_chain_may_be_as_long_as_in_finagle() -> None:
    def chain(length: int) -> str:
        rules = [f"/n{number} => /n{number + 1}" for number in range(length)]
        return described(bound_by_files(";".join([*rules, f"/n{length} => fs/web"]), "/n0", "web"))

    assert chain(MAX_DEPTH - 2) == f"{FS}/web"
    assert chain(MAX_DEPTH - 1) == "error"


def test_a_failure_inside_a_union_takes_away_only_its_branch() -> None:
    assert described(bound_by_files("/svc => /loop & fs/web ; /loop => /loop", "/svc", "web")) == f"{FS}/web"


def test_a_large_table_costs_no_more_than_a_small_one() -> None:
    large = Dtab(tuple(Dentry(Prefix(("svc", f"n{each}")), Leaf(Path.parse(f"{FS}/n{each}"))) for each in range(10**5)))
    fs = FakeNamer(FS, "n77")

    outcome = bind(Path.parse("/svc/n77"), large, Namers([(fs.prefix, fs)], BUILTIN))

    assert described(outcome) == f"{FS}/n77"
    assert len(outcome.steps) == 1
