"""What the measurement of requests over many names is made of; none is taken here."""

from __future__ import annotations

from pathlib import Path

import pytest

import conf
from bench.peers import Site
from bench.processes import BenchError
from bench.spread import OWN, Spread, command, files, long_table, parse
from namer.dtab import Dtab

LINE = '{"requests": 100, "seconds": 2.0, "errors": 0, "p50_ms": 1.0, "p99_ms": 2.0, "max_ms": 3.0}'


def test_the_agent_has_a_file_for_each_name_and_a_table_that_leads_there() -> None:
    site = Site(Path("/tmp/site"), 4140, 9990, (8080, 8081))

    made = files(site, names=3)

    assert sorted(made) == ["agent.yaml", "disco/n0", "disco/n1", "disco/n2", "dtab"]
    assert made["disco/n2"] == "127.0.0.1 8080\n"
    assert conf.load(made["agent.yaml"], "bench").routers[0].binding_cache.paths == 20_000


def test_a_long_table_leads_where_the_short_one_does() -> None:
    table = Dtab.parse(long_table(100))

    assert len(table) == 101
    assert table.dentries[-1:] == Dtab.parse(OWN).dentries


def test_each_request_has_a_host_of_its_own() -> None:
    words = command("/usr/bin/wrk", 4140, 10, "turn", 5)

    assert words[-3:] == ("--", "10", "turn")
    assert "http://127.0.0.1:4140/small" in words
    assert not any(word.startswith("Host:") for word in words)


def test_figures_are_read() -> None:
    seen = parse(f"Running 2s test\n{LINE}\n")

    assert seen == Spread(100, 2.0, 0, 1.0, 2.0, 3.0)
    assert seen.rate == 50.0


def test_no_figures_are_an_error() -> None:
    with pytest.raises(BenchError, match="unable to connect"):
        parse("unable to connect to 127.0.0.1:4140")
