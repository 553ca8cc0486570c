"""One line for an error, and exit codes that scripts can go by."""

from __future__ import annotations

import os
import subprocess

import pytest

from nodeagent.cli.main import COMMANDS, commands, main
from tests.nodeagent.cli.conftest import Cli
from tests.nodeagent.cli.processes import NODEAGENT, PATIENCE


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(
            [],
            "expected a command: run, check, explain, stat, top, tap, dtab, ca, demo, env, support, version",
            id="no command",
        ),
        pytest.param(["chek"], "there is no command 'chek'; did you mean check?", id="near a command"),
        pytest.param(["xyzzy"], "there is no command 'xyzzy'", id="no such command"),
        pytest.param(["--fast"], "No such option '--fast'", id="no such option"),
        pytest.param(["version", "--fast"], "(see: nodeagent version --help)", id="no such option of a command"),
        pytest.param(["version", "now"], "unexpected extra argument", id="too many arguments"),
        pytest.param(["run"], "Missing argument 'CONFIG'", id="too few arguments"),
        pytest.param(["demo", "--seconds", "0"], "0.0 is not in the range", id="no time at all"),
        pytest.param(["demo", "--port", "70000"], "70000 is not in the range", id="no port"),
        pytest.param(["env", "--shell", "csh"], "'csh' is not one of", id="unknown shell"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(cli: Cli, arguments: list[str], says: str) -> None:
    done = cli(*arguments)

    assert done.code == 2
    assert done.out == ""
    assert says in done.err
    assert done.err.startswith("nodeagent: ")
    assert done.err.count("\n") == 1


def test_help_names_every_command(cli: Cli) -> None:
    done = cli("--help")

    assert done.code == 0
    assert all(f"\n  {name} " in done.out for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(cli: Cli, name: str) -> None:
    done = cli(name, "--help")

    assert done.code == 0
    assert f"nodeagent {name}" in done.out


def test_ctrl_c_is_quiet(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "invoke", interrupted)

    done = cli("version")

    assert (done.code, done.out, done.err.strip()) == (1, "", "")


def test_the_commands_are_those_of_this_process_unless_given(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["nodeagent", "version"])

    assert main() == 0
    assert capsys.readouterr().out.startswith("nodeagent ")


@pytest.mark.e2e
def test_a_terminal_of_another_encoding_is_no_reason_to_fail() -> None:
    done = subprocess.run(
        [*NODEAGENT, "explain", "--config", "-", "/svc/web"],
        input=b"routers: [{protocol: http, dtab: /svc => /a; /a => ~, servers: [{port: 4140}]}]",
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )

    assert (done.returncode, done.stderr) == (1, b"")
    assert b"\\u2514\\u2500 /a/web" in done.stdout


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("script", "says"),
    [
        pytest.param('"$@" version | true', b"", id="a reader that goes away"),
        pytest.param('"$@" version >/dev/full', b"nodeagent: [Errno 28] No space left on device\n", id="a full disk"),
    ],
)
def test_output_that_nobody_takes_is_no_traceback(script: str, says: bytes) -> None:
    done = subprocess.run(["sh", "-c", script, "sh", *NODEAGENT], capture_output=True, timeout=PATIENCE, check=False)

    assert (done.stdout, done.stderr) == (b"", says)
