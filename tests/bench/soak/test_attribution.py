"""Who is to blame for what a caller saw."""

import pytest

from bench.soak.attribution import EXCUSED, Culprit, Ledger, Seen, attribute
from bench.soak.callers import KINDS


@pytest.mark.parametrize(
    ("kind", "seen", "culprit"),
    [
        pytest.param("new connection", Seen.OK, Culprit.NOBODY, id="all is well"),
        pytest.param("new connection", Seen.REFUSED, Culprit.AGENT, id="its endpoints answer everything"),
        pytest.param("upload", Seen.WRONG, Culprit.AGENT, id="bytes were lost"),
        pytest.param("steady", Seen.STATUS, Culprit.AGENT, id="its backends end after discovery forgot them"),
        pytest.param("unknown name", Seen.REFUSED, Culprit.NAMES, id="nobody has that name"),
        pytest.param("unknown name", Seen.OK, Culprit.AGENT, id="an answer from nobody"),
        pytest.param("unknown name", Seen.CUT, Culprit.AGENT, id="an unknown name is no reason to hang up"),
        pytest.param("abort in request", Seen.GONE, Culprit.CALLER, id="the caller went"),
        pytest.param("abort in request", Seen.CUT, Culprit.AGENT, id="the agent went first"),
        pytest.param("backend resets before", Seen.REFUSED, Culprit.BACKEND, id="nothing came"),
        pytest.param("backend resets before", Seen.OK, Culprit.AGENT, id="an answer that nobody gave"),
        pytest.param("backend resets within", Seen.CUT, Culprit.BACKEND, id="half came, and so much was passed on"),
        pytest.param("backend resets within", Seen.OK, Culprit.AGENT, id="half of an answer passed off as a whole"),
    ],
)
def test_attribution(kind: str, seen: Seen, culprit: Culprit) -> None:
    assert attribute(kind, seen) is culprit


def test_what_is_excused_is_a_kind_of_caller() -> None:
    assert set(EXCUSED) <= set(KINDS)


def test_the_ledger_adds_up_and_keeps_what_the_agent_is_blamed_for() -> None:
    ledger = Ledger()
    ledger.note("steady", Seen.OK, count=1000)
    ledger.note("unknown name", Seen.REFUSED, "502")
    for _ in range(30):
        ledger.note("steady", Seen.STATUS, "3 of 9", count=3)

    assert ledger.blamed(Culprit.AGENT) == 90
    assert ledger.blamed(Culprit.NAMES) == 1
    assert ledger.blamed(Culprit.CALLER) == 0
    assert ledger.details == ["steady: another status: 3 of 9"] * Ledger.MOST_DETAILS
    assert list(ledger.rows()) == [
        ("steady", "another status", "agent", 90),
        ("steady", "whole answer", "nobody", 1000),
        ("unknown name", "502 or 504 by the agent", "discovery", 1),
    ]
