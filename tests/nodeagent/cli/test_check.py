"""`check` says all that is wrong, and where."""

from __future__ import annotations

import io
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.nodeagent.cli.conftest import Cli

GOOD = """
admin: {{port: {admin}}}
namers: [{{kind: fs, rootDir: disco}}]
routers:
- protocol: http
  label: a
  dtab: /svc => /#/fs
  servers: [{{port: {port}}}]
- protocol: http
  label: b
  servers: [{{port: 4142}}, {{port: 4143}}]
"""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param(
            "routers:\n- protocol: http\n  servrs: []\n",
            ['3:3: routers[0].servrs: unknown key; did you mean "servers"?'],
            id="unknown key",
        ),
        pytest.param(
            "routers:\n- protocol: http\n  servers: [{port: 99999}]\n",
            ["3:20: routers[0].servers[0].port: "],
            id="out of range",
        ),
        pytest.param(
            "routers:\n- protocol: http\n  servers: [{port: 1}]\n  dtab: /svc =>\n",
            ["4:16: routers[0].dtab: "],
            id="bad dtab",
        ),
        pytest.param(
            "namers: [{kind: io.l5d.marathon}]\nrouters:\n- protocol: mux\n",
            ["1:17: namers[0].kind: ", "3:13: routers[0].protocol: "],
            id="kinds that are not provided",
        ),
        pytest.param("routers: [\n", ["2:1: not valid YAML: "], id="no YAML"),
        pytest.param("", ['1:1: empty; expected at least the key "routers"'], id="empty"),
    ],
)
def test_every_problem_is_a_line_with_its_place(cli: Cli, tmp_path: Path, text: str, says: list[str]) -> None:
    path = tmp_path / "agent.yaml"
    path.write_text(text)

    done = cli("check", str(path))

    assert (done.code, done.out) == (1, "")
    for line, expected in zip(done.err.splitlines(), says, strict=True):
        assert line.startswith(f"{path}:{expected}")


def test_a_file_that_is_not_there(cli: Cli) -> None:
    done = cli("check", "nowhere.yaml")

    assert (done.code, done.err) == (1, "nowhere.yaml: cannot be read: No such file or directory\n")


def test_a_valid_one_is_said_to_be_so_and_binds_nothing(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "agent.yaml"
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as other:
        path.write_text(GOOD.format(port=taken.getsockname()[1], admin=other.getsockname()[1]))

        done = cli("check", str(path))

    assert (done.code, done.out, done.err) == (0, f"{path}: valid (2 routers, 3 listeners)\n", "")


def test_standard_input(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    text = io.BytesIO(b"routers: [{protocol: http, servers: [{port: 4140}]}]")
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=text))

    done = cli("check", "-")

    assert (done.code, done.out) == (0, "<stdin>: valid (1 router, 1 listener)\n")
