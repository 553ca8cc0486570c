"""`dtab` reads and changes what a fleet is steered by, and loses nobody's work."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import trio

from namer.dtabstore import StoredDtab
from namer.filestore import FileDtabStore
from tests.nodeagent.cli.conftest import Cli
from tests.nodeagent.cli.processes import Answer, backend, fetch, ports, started

OLD = "# ours\n/svc => /#/io.l5d.fs ;\n/svc/users => /srv/users-v1 ;\n"
NEW = "# ours, changed\n/svc/users => /srv/users-v1 ;\n/svc => /#/io.l5d.fs ;\n/svc/web => /srv/web ;\n"


@pytest.fixture
def config(tmp_path: Path) -> str:
    """Two routers: one with its dtab in a file, one with its own."""
    (tmp_path / "dtabs").mkdir()
    path = tmp_path / "agent.yaml"
    path.write_text(f"""
routers:
- protocol: http
  label: out
  interpreter: {{kind: fs, dtabFile: {tmp_path}/dtabs/web.dtab}}
  servers: [{{port: 0}}]
- protocol: http
  label: own
  dtab: /svc => /a ; /svc/b => /c
  servers: [{{port: 0}}]
""")
    return str(path)


@pytest.fixture
def store(config: str) -> Path:
    return Path(config).parent / "dtabs"


@pytest.fixture
def new(tmp_path: Path) -> str:
    path = tmp_path / "new.dtab"
    path.write_text(NEW)
    return str(path)


def test_what_is_stored_comes_out_as_it_is(cli: Cli, config: str, store: Path) -> None:
    (store / "web.dtab").write_text(OLD)

    done = cli("dtab", "get", "--config", config)

    assert (done.code, done.out, done.err) == (0, OLD, "")


def test_for_programs(cli: Cli, config: str, store: Path) -> None:
    (store / "web.dtab").write_text("/svc => /a | /b")

    done = cli("dtab", "get", "--config", config, "--json")

    assert json.loads(done.out) == {
        "store": f"{store}/*.dtab",
        "namespace": "web",
        "version": "6b419ca6c99e",
        "dtab": "/svc => /a | /b",
        "dentries": [{"prefix": "/svc", "dst": "/a | /b"}],
    }


def test_one_that_is_not_there(cli: Cli, config: str, store: Path) -> None:
    done = cli("dtab", "get", "--config", config, "eu")

    assert (done.code, done.out) == (1, "")
    assert done.err == f"nodeagent: {store}/*.dtab: there is no dtab eu; `nodeagent dtab list` shows them\n"


def test_the_list_marks_the_one_in_use(cli: Cli, config: str, store: Path) -> None:
    for name in ("web", "eu"):
        (store / f"{name}.dtab").write_text("")

    assert cli("dtab", "list", "--config", config).out == "eu\nweb  (in use)\n"
    assert json.loads(cli("dtab", "list", "--config", config, "--json").out) == {
        "store": f"{store}/*.dtab",
        "namespaces": ["eu", "web"],
        "used": "web",
    }


def test_a_diff_tells_dentries_that_came_went_and_moved(cli: Cli, config: str, store: Path, new: str) -> None:
    (store / "web.dtab").write_text(OLD + "/svc/old => /srv/old")

    done = cli("dtab", "diff", "--config", config, new)

    assert (done.code, done.err) == (1, "")
    assert done.out.splitlines() == [
        "- 3  /svc/old => /srv/old",
        "+ 3  /svc/web => /srv/web",
        "~ 2 to 1  /svc/users => /srv/users-v1",
    ]

    document = json.loads(cli("dtab", "diff", "--config", config, "--json", new).out)
    assert document["equal"] is False
    assert document["added"] == [{"position": 3, "dentry": "/svc/web => /srv/web"}]
    assert document["moved"] == [{"from": 2, "to": 1, "dentry": "/svc/users => /srv/users-v1"}]


def test_a_diff_of_equal_ones_is_silent(cli: Cli, config: str, store: Path, new: str) -> None:
    (store / "web.dtab").write_text(NEW.replace("# ours, changed\n", "").replace("\n", " "))

    done = cli("dtab", "diff", "--config", config, new)

    assert (done.code, done.out) == (0, "")


def test_set_shows_what_changes_and_keeps_the_comments(cli: Cli, config: str, store: Path, new: str) -> None:
    first = cli("dtab", "set", "--config", config, new)
    assert (first.code, first.out.splitlines()[-1]) == (0, f"{store}/*.dtab web: created")
    assert (store / "web.dtab").read_text() == NEW

    again = cli("dtab", "set", "--config", config, new)
    assert (again.code, again.out) == (0, f"{store}/*.dtab web: unchanged, version 518e07b69eda\n")

    Path(new).write_text(NEW.replace("changed", "changed twice"))
    third = cli("dtab", "set", "--config", config, new)
    assert third.out.splitlines() == [
        "only comments and spacing change",
        f"{store}/*.dtab web: replaced version 518e07b69eda",
    ]


def test_another_namespace_and_standard_input(
    cli: Cli, config: str, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"/svc => /eu")))

    assert cli("dtab", "set", "--config", config, "eu", "-").code == 0

    assert (store / "eu.dtab").read_text() == "/svc => /eu"


def test_what_does_not_parse_is_not_stored(cli: Cli, config: str, store: Path, new: str) -> None:
    Path(new).write_text("/svc => /a ;\n/svc =>\n")
    for act in ("set", "diff"):
        done = cli("dtab", act, "--config", config, new)

        assert (done.code, done.out) == (1, "")
        assert done.err.startswith(f"nodeagent: {new}:3:1: expected a path")
    assert not list(store.iterdir())


def test_one_that_is_broken_can_be_replaced(cli: Cli, config: str, store: Path, new: str) -> None:
    (store / "web.dtab").write_text("/svc =>")
    err = cli("dtab", "diff", "--config", config, new).err
    assert err.startswith(f"nodeagent: {store}/*.dtab web:1:8: expected")
    assert err.endswith("; it is the stored dtab that does not parse, and `nodeagent dtab set` may replace it\n")

    assert cli("dtab", "set", "--config", config, new).code == 0

    assert (store / "web.dtab").read_text() == NEW


def test_who_comes_second_is_told(
    cli: Cli, config: str, store: Path, new: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (store / "web.dtab").write_text(OLD)
    read = FileDtabStore.get

    async def and_then_another_writes(self: FileDtabStore, namespace: str) -> StoredDtab | None:
        found = await read(self, namespace)
        (store / "web.dtab").write_text("/svc => /theirs")
        return found

    monkeypatch.setattr(FileDtabStore, "get", and_then_another_writes)
    done = cli("dtab", "set", "--config", config, new)

    assert (done.code, done.out) == (1, "")
    assert done.err.endswith("; look at it with `nodeagent dtab diff`, and try again\n")
    assert (store / "web.dtab").read_text() == "/svc => /theirs"


def test_a_store_that_does_not_answer_is_not_waited_for_for_ever(
    cli: Cli, config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(self: FileDtabStore, namespace: str) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr(FileDtabStore, "get", hang)
    monkeypatch.setattr("nodeagent.cli.dtab.SECONDS", 0.05)
    done = cli("dtab", "get", "--config", config)

    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("nodeagent: no answer within 0.05 s")


def test_a_dtab_in_the_configuration_is_read_only(cli: Cli, config: str, new: str) -> None:
    assert cli("dtab", "get", "--config", config, "--router", "own").out == "/svc => /a ;\n/svc/b => /c ;\n"
    assert cli("dtab", "diff", "--config", config, "--router", "own", new).code == 1

    done = cli("dtab", "set", "--config", config, "--router", "own", new)

    assert (done.code, done.out) == (1, "")
    assert "its dtab is part of the configuration; change it there" in done.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param((), "expected a command: list, get, diff, set", id="no command"),
        pytest.param(("lsit",), "No such command 'lsit'", id="no such command"),
        pytest.param(("get",), "Missing option '--config'", id="no configuration"),
        pytest.param(("set", "--config", "{config}"), "expected [NAMESPACE] FILE, found 0 arguments", id="no file"),
        pytest.param(
            ("set", "--config", "-", "-"), "-: the configuration is read from there already", id="stdin twice"
        ),
        pytest.param(("get", "--config", "{config}", "--router", "x"), "--router x: there is no such", id="no router"),
    ],
)
def test_wrong_usage(cli: Cli, config: str, arguments: tuple[str, ...], says: str) -> None:
    done = cli("dtab", *(each.format(config=config) for each in arguments))

    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"nodeagent: {says}")


def test_a_file_that_is_not_there(cli: Cli, config: str) -> None:
    done = cli("dtab", "set", "--config", config, "nowhere.dtab")

    assert (done.code, done.err) == (1, "nodeagent: nowhere.dtab: No such file or directory\n")


@pytest.mark.e2e
def test_a_running_agent_is_steered(tmp_path: Path, cli: Cli) -> None:
    def answering(text: str) -> Answer:
        return lambda _: (200, text)

    path = tmp_path / "agent.yaml"
    path.write_text(f"""
admin: {{port: 0}}
routers:
- protocol: http
  interpreter: {{kind: fs, dtabFile: {tmp_path}/web.dtab}}
  servers: [{{port: 0}}]
""")
    new = tmp_path / "new"
    with backend(answering("one")) as one, backend(answering("two")) as two:
        new.write_text(f"/svc => /$/inet/127.0.0.1/{one}")
        assert cli("dtab", "set", "--config", str(path), str(new)).code == 0
        with started("run", str(path)) as agent:
            port = ports(agent, 2)["router http"]
            assert fetch(port, "web")[1] == "one"

            new.write_text(f"/svc => /$/inet/127.0.0.1/{two}")
            assert cli("dtab", "set", "--config", str(path), str(new)).code == 0
            time.sleep(1)

            assert fetch(port, "web")[1] == "two"
