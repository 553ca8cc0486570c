"""`check --routes`: requests go where a table says, or each that does not is told."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace

import pytest

from tests.nodeagent.cli.conftest import Cli

CONFIG = """
admin: {{port: 0}}
namers: [{{kind: io.l5d.fs, rootDir: "{disco}"}}]
routers:
- protocol: http
  label: outgoing
  dtab: |
    /svc => /#/io.l5d.fs ;
    /svc/split => 9 * /#/io.l5d.fs/users & 1 * /#/io.l5d.fs/users-v2 ;
  bindingTimeoutMs: 3000
  servers: [{{port: 0}}]
- protocol: http
  label: open
  identifier: {{kind: io.l5d.path}}
  dtab: /svc => /#/io.l5d.fs
  servers: [{{port: 0, ip: 0.0.0.0}}]
"""

FOUND = "127.0.0.1:8081, 127.0.0.1:8082"
RULES = "/svc/users by /svc => /#/io.l5d.fs to /#/io.l5d.fs/users: bound"
NOTHING = "expects nothing; say what is expected: name, outcome, bound or endpoints"

Check = Callable[[str], tuple[int, list[str], list[str]]]


@pytest.fixture
def check(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Check a table against discovery by two files; returns exit code, stdout and stderr, as lines."""
    (tmp_path / "disco").mkdir()
    (tmp_path / "disco/users").write_text("127.0.0.1 8081\n127.0.0.1 8082\n")
    (tmp_path / "disco/users-v2").write_text("127.0.0.1 8083\n")
    (tmp_path / "agent.yaml").write_text(CONFIG.format(disco=tmp_path / "disco"))
    monkeypatch.chdir(tmp_path)

    def run(table: str) -> tuple[int, list[str], list[str]]:
        Path("routes.yaml").write_text(dedent(table))
        done = cli("check", "agent.yaml", "--routes", "routes.yaml")
        return done.code, done.out.splitlines(), done.err.splitlines()

    return run


def test_all_as_expected(check: Check) -> None:
    assert check(
        """
        - request: GET http://users/x
          name: /svc/users
          outcome: bound
          bound: [/#/io.l5d.fs/users]
          endpoints: [127.0.0.1:8082, 127.0.0.1:8081]
        - request: users
          headers: {l5d-dtab: /svc/users => /svc/users-v2}
          endpoints: [127.0.0.1:8083]
        - request: /svc/split
          bound: {/#/io.l5d.fs/users: 0.9, /#/io.l5d.fs/users-v2: 0.1}
        - request: https://users/
          name: /svc/users
        - request: GET http://any/users/x
          router: open
          name: /svc/users
        - request: GET /
          outcome: error
        - request: nobody
          outcome: neg
        """
    ) == (0, ["routes.yaml: 7 routes, all as expected"], [])


def test_each_mismatch_is_a_line_with_its_place_and_below_are_the_rules_that_led_there(check: Check) -> None:
    assert check(
        """\
        - request: users
          name: /svc/other
          endpoints: [127.0.0.1:8083]
        - {request: nobody, outcome: neg}
        - request: GET /
          outcome: bound
        """
    ) == (
        1,
        [],
        [
            "routes.yaml:2:9: users: name: expected /svc/other, found /svc/users",
            f"routes.yaml:3:14: users: endpoints: expected 127.0.0.1:8083, found {FOUND}",
            f"    {RULES}",
            "routes.yaml:5:12: GET /: request: expected a name, found none: identify: the request has no Host",
            "routes.yaml: 2 of 3 routes not as expected",
        ],
    )


def test_a_listener_that_does_not_obey_its_callers_does_not_here_either(check: Check) -> None:
    code, _, err = check(
        """
        - request: GET http://any/users
          router: open
          headers: {l5d-dtab: /svc/users => /svc/users-v2}
          endpoints: [127.0.0.1:8083]
        """
    )
    assert (code, f"found {FOUND}" in err[0]) == (1, True)


def test_mistakes_of_the_table_are_told_all_at_once(check: Check) -> None:
    assert check("- {request: users, nam: /svc/users}\n- {request: GET}\n") == (
        1,
        [],
        [
            'routes.yaml:1:20: routes[0].nam: unknown key; did you mean "name"?',
            f"routes.yaml:2:13: routes[1].request: {NOTHING}",
        ],
    )


def test_a_router_that_is_not_there(check: Check) -> None:
    assert check("- {request: users, outcome: neg, router: outgong}\n- {request: a, outcome: neg, router: x}") == (
        1,
        [],
        [
            'routes.yaml:1:42: there is no router "outgong"; did you mean "outgoing"?',
            'routes.yaml:2:38: there is no router "x"; there is outgoing, open',
        ],
    )


def test_one_of_the_two_files_may_come_from_standard_input(
    cli: Cli, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    check("- {request: users, outcome: neg}")
    text = io.BytesIO(b"- {request: users, outcome: bound}")
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=text))

    done = cli("check", "agent.yaml", "--routes", "-")

    assert (done.code, done.out) == (0, "<stdin>: 1 route, all as expected\n")
    assert cli("check", "-", "--routes", "-").code == 2


def test_a_router_that_reads_no_requests_is_passed_over(cli: Cli, check: Check) -> None:
    check("- {request: users, outcome: bound}")
    tcp = "- {protocol: tcp, servers: [{port: 1, name: db}]}\n"
    before = Path("agent.yaml").read_text()
    Path("agent.yaml").write_text(before.replace("routers:\n", f"routers:\n{tcp}"))
    Path("tcp.yaml").write_text(f"routers:\n{tcp}")

    first, none = (cli("check", name, "--routes", "routes.yaml") for name in ("agent.yaml", "tcp.yaml"))

    assert (first.code, first.out) == (0, "routes.yaml: 1 route, all as expected\n")
    assert none.code == 1
    assert none.err == "tcp.yaml: there is no router of protocol http, and no other reads requests\n"
