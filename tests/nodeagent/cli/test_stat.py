"""`nodeagent stat`, of a running agent."""

from __future__ import annotations

import json
import re

import pytest

from tests.nodeagent.cli.conftest import Cli
from tests.nodeagent.cli.processes import backend, fetch
from tests.nodeagent.cli.test_tap import agent

pytestmark = pytest.mark.e2e


def test_the_numbers_are_those_of_what_was_asked(cli: Cli) -> None:
    with agent() as (_, port, admin):
        for path in ("/good", "/good", "/good", "/bad"):
            fetch(port, "users", path)
        totals = json.loads(cli("stat", "--admin", admin, "--total", "--json").out)
        now = cli("stat", "--admin", admin, "--seconds", "0.1", "users")
        other = cli("stat", "--admin", admin, "--total", "--router", "none")

    [service], [client] = totals["services"], totals["clients"]
    assert (service["name"], service["rate"], service["success"], service["attempts"]) == ("/svc/users", 4, 0.75, 4)
    assert re.fullmatch(r"/\$/inet/127.0.0.1/\d+", client["name"])
    assert client["endpoints"][0]["health"] == "alive"
    assert (now.code, now.err) == (0, "")
    assert re.search(r"^/svc/users +0\.0 +- ", now.out, re.MULTILINE)
    assert (other.code, other.out, other.err) == (0, "", "there are no numbers of such names yet\n")


@pytest.mark.parametrize("answer", ["[]", "{", '{"rt": 3}'])
def test_who_is_no_agent(cli: Cli, answer: str) -> None:
    with backend(lambda _: (200, answer)) as port:
        done = cli("stat", "--admin", f"http://127.0.0.1:{port}", "--total")
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
    assert "that is not the answer of an agent's admin port" in done.err
