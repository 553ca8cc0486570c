"""The tables."""

from dataclasses import replace

from bench.resilience.report import how, report
from bench.resilience.scenario import FIRST, SECOND, SHARE
from tests.bench.resilience.some import SOME

WHAT = {"agent": "defaults", "envoy": "least request", "haproxy": "fewest connections"}


def cells(text: str, name: str) -> list[str]:
    (line,) = (line for line in text.splitlines() if line.startswith(f"| {name} "))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_row_has_what_callers_saw_and_what_backends_got() -> None:
    row = cells(report(FIRST, {"agent": SOME}, WHAT), "agent")
    expected = ["99.970", "1000", "167", "175", "180", "1000", "0.12", "1,018", "timeout: 18", "3.0"]
    assert row == ["agent", *expected]


def test_without_slowness_there_is_no_slow_backend() -> None:
    text = report(SECOND, {"agent": replace(SOME, slow_hits=None, share=None, outcomes={"200": 5})}, WHAT)
    assert "the slow one got" not in text
    assert cells(text, "agent")[-2] == "-"


def test_how_each_was_configured_is_said() -> None:
    text = report(FIRST, {"agent": SOME, "envoy": SOME}, WHAT)
    assert "\nagent: defaults\nenvoy: least request\n" in text
    assert "haproxy" not in text


def test_the_published_figures_stand_beside() -> None:
    assert "peak EWMA 99.9 %" in report(FIRST, {"agent": SOME}, WHAT)
    assert "88.08 %" in report(SECOND, {"agent": SOME}, WHAT)


def test_a_run_whose_load_was_late_is_marked() -> None:
    late = report(FIRST, {"agent": SOME, "envoy": replace(SOME, late_p999_ms=80.0)}, WHAT)
    assert "these say little: envoy" in late
    assert cells(late, "envoy")[-1] == "80.0 (over 50!)"
    assert "say little" not in report(FIRST, {"agent": SOME}, WHAT)


def test_shares_go_second_by_second() -> None:
    never = replace(SOME, share=replace(SOME.share, fell_after_s=None)) if SOME.share else SOME
    text = report(SHARE, {"agent": SOME, "haproxy": never}, WHAT)
    assert cells(text, "agent")[1:6] == ["10.00", "1.90", "0.00", "0.00", "0.00"]
    assert cells(text, "haproxy")[5] == "never"


def test_how_it_was_loaded_is_said() -> None:
    assert (
        how(FIRST)
        == "1000 requests/s by callers independent of each other (Poisson), connections kept, 60 s from a cold start"
    )
    assert "50 workers that wait" in how(SECOND)
    assert "after 10 s that are not counted" in how(SECOND)
