"""Which namers are asked, what is waited for, and what is told about it."""

import pytest

from namer.addr import AddrBound, Endpoint
from namer.binding import Namers, Outcome, Share, bind, shares
from namer.cell import Cell
from namer.dtab import Dtab
from namer.namer import PENDING, Bound, Failure, NameState
from namer.nametree import EMPTY, FAIL, NEG, Alt, Leaf, Union, Weighted, show_weight
from namer.path import Path
from tests.namer.binding_shorthand import BUILTIN, FS, bound_by_files, described
from tests.namer.fakes import FakeNamer


def test_two_rules_that_say_neg_do_not_ask_the_namers() -> None:
    rule = "fs/web=>~"

    assert described(bound_by_files(rule, f"{FS}/web", "web")) == f"{FS}/web"
    assert described(bound_by_files(f"{rule};{rule}", f"{FS}/web", "web")) == "neg"
    assert described(bound_by_files("fs/web=>~|~", f"{FS}/web", "web")) == "neg"


def test_a_port_alone_is_a_port_of_this_host() -> None:
    state = bind(Path.parse("/$/inet/8080"), Dtab.EMPTY, Namers([], BUILTIN)).state

    assert isinstance(state, Leaf)
    assert state.value.addr.value == AddrBound((Endpoint("127.0.0.1", 8080),))


def test_the_quickstart_table() -> None:
    table = "/ph => /$/io.buoyant.rinet ; /svc => /ph/80 ; /svc => /$/io.buoyant.porthostPfx/ph ; /svc => fs ;"

    assert described(bound_by_files(table, "/svc/users", "users")) == f"{FS}/users"
    assert described(bound_by_files(table, "/svc/example.org")) == "/$/io.buoyant.rinet/80/example.org"
    assert described(bound_by_files(table, "/svc/example.org:81")) == "/$/io.buoyant.rinet/81/example.org"


# Which namers are asked


def test_the_last_configured_namer_is_asked_first_and_neg_goes_on() -> None:
    first, second, other = FakeNamer("/#/x", "web", "old"), FakeNamer("/#/x", "web"), FakeNamer("/#/y", "web")
    namers = Namers([(each.prefix, each) for each in (first, second, other)], BUILTIN)

    bind(Path.parse("/#/x/web"), Dtab.EMPTY, namers)
    assert (first.asked, second.asked, other.asked) == ([], [Path.parse("/web")], [])

    assert described(bind(Path.parse("/#/x/old"), Dtab.EMPTY, namers)) == "/#/x/old"
    assert first.asked == [Path.parse("/old")]


def test_a_namer_may_answer_before_a_built_in_one() -> None:
    mine = FakeNamer("/$/inet", "h")

    assert described(bind(Path.parse("/$/inet/h/80"), Dtab.EMPTY, Namers([(mine.prefix, mine)], BUILTIN))) == (
        "/$/inet/h +/80"
    )
    assert described(bind(Path.parse("/$/inet/i/80"), Dtab.EMPTY, Namers([(mine.prefix, mine)], BUILTIN))) == (
        "/$/inet/i/80"
    )


@pytest.mark.parametrize(("name", "outcome"), [("/$", "neg"), ("/#/none/x", "neg"), ("/", "neg"), ("/$/no", "error")])
def test_names_that_no_namer_has(name: str, outcome: str) -> None:
    assert described(bind(Path.parse(name), Dtab.EMPTY, Namers([], BUILTIN))) == outcome


def test_an_unknown_built_in_namer_is_named_with_those_there_are() -> None:
    state = bind(Path.parse("/$/inert/h/80"), Dtab.EMPTY, Namers([], {"inet": BUILTIN["inet"]})).state

    assert state == Failure("there is no namer /$/inert; there are inet", lasting=True)


def test_an_answer_of_names_is_looked_up_again() -> None:
    namer = FakeNamer("/#/x")
    answer: NameState = Union((Weighted(3.0, Leaf(Path.parse("/b"))), Weighted(1.0, Leaf(Path.parse("/c/d")))))
    namer.cell("web").set(answer, now=0.0)
    dtab = Dtab.parse("/b => /$/inet/h/1 ; /c => /$/inet/h/2")

    outcome = bind(Path.parse("/#/x/web"), dtab, Namers([(namer.prefix, namer)], BUILTIN))

    assert described(outcome) == "0.75 /$/inet/h/1, 0.25 /$/inet/h/2 +/d"
    assert [(step.path, step.dentry, step.to) for step in outcome.steps] == [
        ("/#/x/web", "/#/x", "3 * /b & /c/d"),
        ("/b", "/b => /$/inet/h/1", "/$/inet/h/1"),
        ("/c/d", "/c => /$/inet/h/2", "/$/inet/h/2/d"),
    ]


# What is not known, and what is broken


def waiting(states: dict[str, NameState], dtab: str) -> Outcome:
    """The outcome for /svc, of names `/#/x/NAME` in these states."""
    namer = FakeNamer("/#/x")
    for name, state in states.items():
        namer.cell(name).set(state, now=0.0)
    return bind(Path.parse("/svc"), Dtab.parse(dtab), Namers([(namer.prefix, namer)], BUILTIN))


DOWN = Failure("the registry is down")


@pytest.mark.parametrize(
    ("dtab", "a", "outcome"),
    [
        pytest.param("/svc=>/#/x/a | /$/inet/h/1", PENDING, "pending", id="an Alt waits"),
        pytest.param("/svc=>/#/x/a | /$/inet/h/1", DOWN, "error", id="an Alt does not go on after a failure"),
        pytest.param("/svc=>/#/x/a & /$/inet/h/1", PENDING, "/$/inet/h/1", id="a Union does not wait"),
        pytest.param("/svc=>/#/x/a & /$/inet/h/1", DOWN, "/$/inet/h/1", id="a Union leaves out a failure"),
        pytest.param("/svc=>/#/x/a & /$/none", PENDING, "pending", id="a Union of nothing known waits"),
        pytest.param("/svc=>/$/none & /#/x/a", PENDING, "pending", id="in any order"),
        pytest.param("/svc=>/#/x/a & /$/none", DOWN, "error", id="a Union of failures fails"),
        pytest.param("/svc=>/#/x/a & ~ | /$/inet/h/1", PENDING, "/$/inet/h/1", id="Neg counts as known"),
        pytest.param("/svc=>/$/inet/h/1 | /#/x/a", PENDING, "/$/inet/h/1", id="what is not reached is not asked"),
    ],
)
def test_what_is_not_known_or_broken(dtab: str, a: NameState, outcome: str) -> None:
    assert described(waiting({"a": a}, dtab)) == outcome


def test_the_first_failure_of_a_union_is_told() -> None:
    outcome = waiting({"a": Failure("one"), "b": Failure("two")}, "/svc => /#/x/a & /#/x/b")

    assert outcome.state == Failure("one")


def test_binding_again_when_a_cell_it_read_changes() -> None:
    namer = FakeNamer("/#/x")
    cell = namer.cell("web")
    namers, dtab = Namers([(namer.prefix, namer)], BUILTIN), Dtab.parse("/svc => /#/x | /$/inet/h/1")

    outcome = bind(Path.parse("/svc/web"), dtab, namers)
    assert outcome.pending
    assert outcome.cells == (cell,)

    cell.set(NEG, now=1.0)
    again = bind(Path.parse("/svc/web"), dtab, namers)
    assert not again.pending
    assert described(again) == "/$/inet/h/1 +/web"
    assert cell in again.cells


def test_a_cell_that_is_read_twice_is_named_once() -> None:
    outcome = waiting({"a": NEG}, "/svc => /#/x/a | /#/x/a")

    assert len(outcome.cells) == 1


# How it came about


def test_steps_tell_each_rewrite_and_what_it_came_to() -> None:
    outcome = bound_by_files("/svc => fs ; /svc/web => /svc/web-v1 | ~", "/svc/web/a", "web")

    assert [(step.path, step.dentry, step.to, step.result) for step in outcome.steps] == [
        ("/svc/web/a", "/svc/web => /svc/web-v1 | ~", "/svc/web-v1/a | ~", "neg"),
        ("/svc/web-v1/a", f"/svc => {FS}", f"{FS}/web-v1/a", "neg"),
        ("/svc/web/a", f"/svc => {FS}", f"{FS}/web/a", "bound"),
    ]
    assert [(str(answer.path), str(answer.namer), answer.result) for answer in outcome.answers] == [
        (f"{FS}/web-v1/a", FS, "neg"),
        (f"{FS}/web/a", FS, "bound"),
    ]


def test_the_contract_of_explain() -> None:
    outcome = bound_by_files("/svc=>fs", "/svc/web/a", "web")

    assert [(step.path, step.dentry, step.to) for step in outcome.steps] == [
        ("/svc/web/a", "/svc => /#/io.l5d.fs", "/#/io.l5d.fs/web/a")
    ]


def test_a_namer_that_rewrites_is_a_step_too() -> None:
    outcome = bound_by_files("/svc=>/$/io.buoyant.http.domainToPathPfx/p", "/svc/a.b")

    assert [(step.path, step.dentry, step.to, step.result) for step in outcome.steps] == [
        (
            "/svc/a.b",
            "/svc => /$/io.buoyant.http.domainToPathPfx/p",
            "/$/io.buoyant.http.domainToPathPfx/p/a.b",
            "neg",
        ),
        ("/$/io.buoyant.http.domainToPathPfx/p/a.b", "/$/io.buoyant.http.domainToPathPfx", "/p/b/a", "neg"),
    ]


# Shares


SMALLEST = show_weight(5e-324)


@pytest.mark.parametrize(
    ("dtab", "outcome"),
    [
        ("/svc => 9*fs/a & 1*$", f"0.9 {FS}/a"),
        ("/svc => 1*fs/a & 3*(1*fs/b & 1*fs/c)", f"0.25 {FS}/a, 0.375 {FS}/b, 0.375 {FS}/c"),
        ("/svc => 1*fs/a & 1*(1*$ & 3*fs/b)", f"0.5 {FS}/a, 0.375 {FS}/b"),
        ("/svc => 0*fs/a & 1*fs/b", f"0 {FS}/a, {FS}/b"),
        ("/svc => 0*fs/a & 0*fs/b", f"0 {FS}/a, 0 {FS}/b"),
        ("/svc => fs/a & fs/a", f"0.5 {FS}/a, 0.5 {FS}/a"),
        (f"/svc => 1*fs/a & 2*(0*fs/b & {SMALLEST}*fs/c)", f"0.333333 {FS}/a, 0 {FS}/b, 0.666667 {FS}/c"),
    ],
)
def test_shares(dtab: str, outcome: str) -> None:
    assert described(bound_by_files(dtab, "/svc", "a", "b", "c")) == outcome


def test_shares_of_trees_that_binding_does_not_make() -> None:
    a, b = (Leaf(Bound(Path((label,)), Path(), Cell.constant(AddrBound(())))) for label in "ab")

    assert shares(Alt((NEG, a, b))) == (Share(1.0, a.value),)
    assert shares(NEG) == shares(EMPTY) == shares(FAIL) == ()
