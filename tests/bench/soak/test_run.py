"""A short soak with real processes: that it hangs together, not what it finds in so little time."""

import os

import pytest
import trio
from click.testing import CliRunner

from bench.peers import on_path
from bench.processes import BenchError
from bench.soak.__main__ import main, report, texts
from bench.soak.attribution import Culprit, Ledger, Seen
from bench.soak.run import Plan, Result, soak
from bench.soak.verdict import Finding
from bench.stage import ground


def test_the_report_names_what_was_seen_and_what_failed() -> None:
    ledger = Ledger()
    ledger.note("steady", Seen.OK, count=1234)
    ledger.note("upload", Seen.LATE, "20 s")
    text = report(Result([], ledger, [Finding("nothing leaked", "1 more", well=False)])).splitlines()
    assert text[1].split() == ["1,234", "steady", "whole", "answer", "nobody"]
    assert text[-2:] == ["blamed on the agent: upload: no answer in time: 20 s", "FAILED  nothing leaked: 1 more"]


def test_every_part_that_failed_is_told() -> None:
    inner = ExceptionGroup("inner", [BenchError("h2load: not here")])
    outer = ExceptionGroup("outer", [BenchError("backend: not here"), inner])
    assert texts(outer) == ["backend: not here", "h2load: not here"]


def test_too_short_is_wrong_usage() -> None:
    assert CliRunner().invoke(main, ["--minutes", "0"]).exit_code == 2


@pytest.mark.e2e
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two cores are needed")
@pytest.mark.skipif(on_path("nginx") is None, reason="needs nginx: apt-get install nginx-light")
@pytest.mark.skipif(on_path("h2load") is None, reason="needs h2load: apt-get install nghttp2-client")
def test_a_short_soak() -> None:
    said: list[str] = []
    with ground() as here:
        result = trio.run(soak, here, Plan(4.0, 100, 8, rest=0.5, give_back=0.0), said.append)
    assert result.ledger.blamed(Culprit.AGENT) == 0, result.ledger.details
    assert result.ledger.counts["steady", Seen.OK] > 100
    assert result.ledger.counts["new connection", Seen.OK] > 0
    assert all(sample.resident > 0 and sample.descriptors > 0 for sample in result.samples)
    assert any(sample.tasks > 0 and sample.blocks > 0 for sample in result.samples)
    assert len(result.findings) == 5
    assert any("names came" in text for text in said)
