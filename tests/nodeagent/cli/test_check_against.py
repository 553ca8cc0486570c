"""`check --against`: which names of a running agent a configuration would change."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeagent.cli.check_against import Comparison, NameInUse, Place, render, summary
from tests.nodeagent.cli.conftest import Cli
from tests.nodeagent.cli.processes import fetch, ports, started

USERS = NameInUse("outgoing", "/svc/users", None)
NOW = Place("bound", {"/#/fs/users": 1.0}, ("127.0.0.1:1", "127.0.0.1:2"))


@pytest.mark.parametrize(
    ("name", "then", "changes", "lines"),
    [
        pytest.param(USERS, NOW, (), ["outgoing: /svc/users"], id="nothing"),
        pytest.param(
            USERS, Place("bound", {"/#/fs/users": 0.9999}, NOW.endpoints), (), ["outgoing: /svc/users"], id="dust"
        ),
        pytest.param(
            USERS,
            Place("bound", {"/#/fs/users": 0.9, "/#/fs/v2": 0.1}, ("127.0.0.1:2", "127.0.0.1:3")),
            ("bound", "endpoints"),
            [
                "outgoing: /svc/users",
                "  bound: /#/fs/users -> /#/fs/users 0.9, /#/fs/v2 0.1",
                "  endpoints: -127.0.0.1:1, +127.0.0.1:3",
            ],
            id="a split",
        ),
        pytest.param(
            NameInUse("outgoing", "/svc/users", "/a => /b"),
            Place("neg", {}, ()),
            ("outcome", "bound", "endpoints"),
            [
                "outgoing: /svc/users with the dtab /a => /b",
                "  outcome: bound -> neg",
                "  bound: /#/fs/users -> nothing",
                "  endpoints: -127.0.0.1:1, -127.0.0.1:2",
            ],
            id="nowhere",
        ),
        pytest.param(
            USERS,
            None,
            ("router",),
            ["outgoing: /svc/users", "  router: the configuration has no such router"],
            id="no router",
        ),
        pytest.param(
            USERS,
            Place("neg", {}, (), ("/#/consul/users",)),
            ("unknown",),
            ["outgoing: /svc/users", "  not known yet: nothing -> /#/consul/users"],
            id="not known",
        ),
    ],
)
def test_changes(name: NameInUse, then: Place | None, changes: tuple[str, ...], lines: list[str]) -> None:
    compared = Comparison(name, NOW, then)
    assert (compared.changes, list(render(compared))) == (changes, lines)


def test_what_is_not_known_is_no_change() -> None:
    same, other = Comparison(USERS, NOW, NOW), Comparison(USERS, NOW, None)
    unknown = Comparison(USERS, NOW, Place("neg", {}, (), ("/#/consul/users",)))

    assert summary([same]) == "no name would change"
    assert summary([same, unknown]) == "no name would change; 1 not known"
    assert summary([same, other, unknown]) == "1 of 3 names would change; 1 not known"
    assert unknown.to_json()["then"] == {
        "outcome": "neg",
        "bound": {},
        "endpoints": (),
        "unknown": ("/#/consul/users",),
    }


CONFIG = """
admin: {{port: 0}}
namers: [{{kind: io.l5d.fs, rootDir: "{disco}"}}]
routers:
- protocol: http
  label: {label}
  dtab: "/svc => /#/io.l5d.fs; {dtab}"
  servers: [{{port: 0}}]
"""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Discovery by files, and the directory for configurations."""
    (tmp_path / "disco").mkdir()
    (tmp_path / "disco/users").write_text("127.0.0.1 1\n")
    (tmp_path / "disco/users-v2").write_text("127.0.0.1 2\n")
    return tmp_path


def config(files: Path, dtab: str = "", label: str = "outgoing") -> str:
    path = files / "agent.yaml"
    path.write_text(CONFIG.format(disco=files / "disco", dtab=dtab, label=label))
    return str(path)


@pytest.fixture
def admin(files: Path) -> Iterator[str]:
    """The admin port of a real agent that has bound three names: one, one by a dtab of its caller, one unknown."""
    with started("run", config(files)) as agent:
        port = ports(agent, listeners=2)
        fetch(port["router outgoing"], "users")
        fetch(port["router outgoing"], "users", headers={"l5d-dtab": "/svc/users => /svc/users-v2"})
        fetch(port["router outgoing"], "nobody")
        yield f"http://127.0.0.1:{port['admin']}"
        agent.signal(signal.SIGTERM)
        agent.end()


@pytest.mark.e2e
def test_a_running_agent(cli: Cli, files: Path, admin: str) -> None:
    same = cli("check", config(files), "--against", admin)
    assert (same.code, same.out, same.err) == (0, "no name would change\n", "")

    other = cli("check", config(files, dtab="/svc/users => /svc/users-v2"), "--against", admin)
    assert (other.code, other.out.splitlines()) == (
        1,
        [
            "outgoing: /svc/users",
            "  bound: /#/io.l5d.fs/users -> /#/io.l5d.fs/users-v2",
            "  endpoints: -127.0.0.1:1, +127.0.0.1:2",
            "1 of 3 names would change",
        ],
    )

    renamed = cli("check", config(files, label="out"), "--against", admin, "--json")
    told = json.loads(renamed.out)
    assert (renamed.code, told["names"], len(told["changed"])) == (1, 3, 3)
    assert told["changed"][1] == {
        "router": "outgoing",
        "name": "/svc/users",
        "dtab": "/svc/users => /svc/users-v2",
        "changes": ["router"],
        "now": {"outcome": "bound", "bound": {"/#/io.l5d.fs/users-v2": 1.0}, "endpoints": ["127.0.0.1:2"]},
        "then": None,
    }


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        pytest.param(
            ["--against", "http://127.0.0.1:1"], 1, "or say where it is with --against URL", id="nobody there"
        ),
        pytest.param(["--against", "x"], 2, "--against x: expected a URL", id="no URL"),
        pytest.param(["--against", "x", "--routes", "y"], 2, "exclude each other", id="both"),
        pytest.param(["--json"], 2, "--json goes with --against", id="JSON of nothing"),
    ],
)
def test_wrong_usage(cli: Cli, files: Path, options: list[str], code: int, says: str) -> None:
    done = cli("check", config(files), *options)
    assert (done.code, done.out) == (code, "")
    assert says in done.err
