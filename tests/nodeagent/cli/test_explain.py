"""How a name resolves: from a configuration, and asked of a running agent."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from nodeagent.cli.explain import base_dtab
from nodeagent.cli.explain_documents import Configuration, Interpreter, RouterNames, TextValue
from tests.nodeagent.cli.conftest import Cli, Finished
from tests.nodeagent.cli.processes import PATIENCE, backend, fetch, ports, started

CONFIG = """
admin: {{port: 0}}
namers: [{{kind: io.l5d.fs, rootDir: "{disco}"}}]
routers:
- protocol: http
  label: outgoing
  dtab: {dtab}
  servers: [{{port: 0}}]
- protocol: http
  label: other
  dtab: /svc => /$/inet/127.0.0.1/8089
  servers: [{{port: 0}}]
"""

WITH_DTAB_FILE = """
routers:
- protocol: http
  interpreter: {{kind: io.l5d.fs, dtabFile: "{table}"}}
  bindingTimeoutMs: 3000
  servers: [{{port: 0}}]
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    """A configuration whose discovery knows the service "web"."""
    disco = tmp_path / "disco"
    disco.mkdir()
    (disco / "web").write_text("127.0.0.1 8081\n")
    path = tmp_path / "agent.yaml"
    path.write_text(CONFIG.format(disco=disco, dtab="/svc => /#/io.l5d.fs"))
    return str(path)


def test_json_is_the_object_of_the_contract(cli: Cli, config: str) -> None:
    done = cli("explain", "--config", config, "--json", "/svc/web/a")

    assert (done.code, done.err) == (0, "")
    answer = json.loads(done.out)
    assert (answer["bound"][0].pop("version"), answer["bound"][0].pop("age") < 10) == (1, True)
    assert answer == {
        "name": "/svc/web/a",
        "outcome": "bound",
        "bound": [
            {
                "id": "/#/io.l5d.fs/web",
                "residual": "/a",
                "weight": 1.0,
                "addr": "bound",
                "endpoints": ["127.0.0.1:8081"],
            }
        ],
        "error": None,
        "steps": [{"path": "/svc/web/a", "dentry": "/svc => /#/io.l5d.fs", "to": "/#/io.l5d.fs/web/a"}],
    }


@pytest.mark.parametrize(
    ("arguments", "code", "heading"),
    [
        pytest.param(["/svc/web"], 0, "/svc/web: bound", id="bound"),
        pytest.param(["http://WEB/path?x=1"], 0, "/svc/web: bound", id="a URL"),
        pytest.param(["/svc/none"], 1, "/svc/none: neg: nothing is known by this name", id="neg"),
        pytest.param(["/svc/web", "--dtab", "/svc/web => !"], 1, "/svc/web: fail: the dtab refuses", id="fail"),
        pytest.param(["/svc/web", "--dtab", "/svc/web => $"], 1, "/svc/web: empty: ", id="empty"),
        pytest.param(["/a", "--dtab", "/a => /b; /b => /a"], 1, "/a: error: /a: rewritten 100 times", id="a circle"),
        pytest.param(["/svc/x", "--router", "other"], 0, "/svc/x: bound", id="another router"),
    ],
)
def test_the_exit_code_says_whether_the_name_is_bound(
    cli: Cli, config: str, arguments: list[str], code: int, heading: str
) -> None:
    done = cli("explain", "--config", config, *arguments)

    assert done.code == code
    assert done.out.startswith(heading)


def test_addresses_that_requests_may_not_name_are_told(cli: Cli, config: str) -> None:
    done = cli("explain", "--config", config, "--dtab", "/svc => /$/io.buoyant.rinet/80", "http://localhost/")

    assert "127.0.0.1:80   refused: 127.0.0.0/8 is loopback, and not for names that requests spell out" in done.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(["/svc//web"], "/svc//web: line 1, column 6: ", id="no path"),
        pytest.param(["web"], "expected a name such as /svc/web, or a URL such as http://web/", id="a bare word"),
        pytest.param(["ftp://web/"], "use http or https", id="another scheme"),
        pytest.param(["/svc/web", "--dtab", "/svc"], "--dtab: line 1, column 5: expected '=>'", id="no dtab"),
        pytest.param(
            ["/svc/web", "--router", "x"], "there is no such router; there is outgoing, other", id="no router"
        ),
        pytest.param(["/svc/web", "--admin", "http://[::1]:1"], "--config and --admin exclude each other", id="both"),
    ],
)
def test_what_does_not_parse_is_wrong_usage(cli: Cli, config: str, arguments: list[str], says: str) -> None:
    done = cli("explain", "--config", config, *arguments)

    assert (done.code, done.out) == (2, "")
    assert says in done.err
    assert done.err.count("\n") == 1


def test_people_get_a_tree(cli: Cli, config: str) -> None:
    done = cli("explain", "--config", config, "/svc/web", "--dtab", "/svc/web => /svc/next | /svc/web-v1")

    assert done.out.splitlines() == [
        "/svc/web: bound",
        "/svc/web",
        "├─ /svc/next                /svc/web => /svc/next | /svc/web-v1   left",
        "│  └─ /#/io.l5d.fs/next     /svc => /#/io.l5d.fs                  nothing by that name",
        "├─ /svc/web-v1              /svc/web => /svc/next | /svc/web-v1   left",
        "│  └─ /#/io.l5d.fs/web-v1   /svc => /#/io.l5d.fs                  nothing by that name",
        "└─ /#/io.l5d.fs/web         /svc => /#/io.l5d.fs                  taken, bound",
        "      127.0.0.1:8081",
        "      the answer, version 1, 0 s old",
    ]


@pytest.mark.e2e
def test_a_tree_that_cannot_be_had_leaves_the_steps(cli: Cli) -> None:
    step = {"path": "/svc/web", "dentry": "/svc => /#/io.l5d.fs", "to": "/#/io.l5d.fs/web"}
    known = {"name": "/svc/web", "outcome": "neg", "bound": [], "error": None, "steps": [step]}

    def answer(request: BaseHTTPRequestHandler) -> tuple[int, str]:
        if request.path.startswith("/explain.json"):
            return 200, json.dumps(known)
        return 400, '{"error": "its delegation tree is too large to show"}'

    with backend(answer) as port:
        done = cli("explain", "--admin", f"http://127.0.0.1:{port}", "/svc/web")

    assert (done.code, done.err) == (1, "")
    assert done.out.splitlines()[1:] == ["/svc/web   /svc => /#/io.l5d.fs   /#/io.l5d.fs/web"]


def test_nobody_answers(cli: Cli) -> None:
    done = cli("explain", "--admin", "http://127.0.0.1:1", "/svc/web")

    assert (done.code, done.out) == (1, "")
    assert done.err == (
        "nodeagent: no agent answers at http://127.0.0.1:1 (Connection refused): "
        "start one with 'nodeagent run CONFIG', or say where it is with --admin URL\n"
    )


@pytest.mark.parametrize(
    ("label", "dtab"),
    [
        pytest.param(None, "/a => /b", id="the first one"),
        pytest.param("two", "/c => /d", id="by label"),
        pytest.param("three", None, id="its table is in a file, too"),
        pytest.param("four", None, id="none of that label"),
    ],
)
def test_the_dtab_of_a_router_is_in_the_effective_configuration(label: str | None, dtab: str | None) -> None:
    routers = [("one", "/a => /b", "default"), ("two", "/c => /d", "default"), ("three", "", "io.l5d.fs")]
    config = Configuration(
        tuple(
            RouterNames(TextValue(name), TextValue(text), Interpreter(TextValue(kind))) for name, text, kind in routers
        )
    )

    assert base_dtab(config, label) == dtab


@pytest.mark.e2e
def test_a_running_agent_tells_what_it_knows_of_its_endpoints(cli: Cli, tmp_path: Path) -> None:
    with backend(lambda _: (200, "ok")) as port:
        (tmp_path / "web").write_text(f"127.0.0.1 {port}\n")
        with started("run", "-", stdin=CONFIG.format(disco=tmp_path, dtab="/svc => /#/io.l5d.fs")) as agent:
            found = ports(agent, 3)
            admin = ("--admin", f"http://127.0.0.1:{found['admin']}")
            fetch(found["router outgoing"], "web")

            for_people = cli("explain", *admin, "http://web/").out
            for_machines = json.loads(cli("explain", *admin, "--json", "/svc/web").out)
            overridden = cli("explain", *admin, "/svc/new", "--dtab", "/svc/new => /svc/web").out
            unbound = cli("explain", *admin, "/svc/none")
            wrong = [cli("explain", *admin, *question) for question in (["/svc//x"], ["/svc/web", "--router", "x"])]
            agent.signal(signal.SIGTERM)
            agent.end()

    assert f"127.0.0.1:{port}   alive, 0 in flight, load 0.0" in for_people
    assert for_machines["bound"][0]["endpoints"] == [f"127.0.0.1:{port}"]
    assert "└─ /#/io.l5d.fs/web" in overridden
    assert "/svc/new => /svc/web" in overridden
    assert (unbound.code, unbound.out.splitlines()[0]) == (
        1,
        "/svc/none: neg: nothing is known by this name; a request gets 502",
    )
    assert [(done.code, done.out, done.err.count("\n")) for done in wrong] == [(2, "", 1), (2, "", 1)]


@pytest.mark.e2e
def test_a_running_agent_tells_why_a_request_went_where_it_did(cli: Cli, tmp_path: Path) -> None:
    with backend(lambda _: (200, "ok")) as port:
        (tmp_path / "web").write_text(f"127.0.0.1 {port}\n")
        with started("run", "-", stdin=CONFIG.format(disco=tmp_path, dtab="/svc => /#/io.l5d.fs")) as agent:
            found = ports(agent, 3)
            admin = ("--admin", f"http://127.0.0.1:{found['admin']}")
            response, _ = fetch(found["router outgoing"], "web", "/a?b")
            id_ = response.headers["l5d-reqid"]

            for_people = cli("explain", *admin, "--request", id_)
            for_machines = cli("explain", *admin, "--request", id_.upper(), "--json")
            forgotten = cli("explain", *admin, "--request", "0" * 16)
            agent.signal(signal.SIGTERM)
            agent.end()

    assert (for_people.code, for_people.err) == (0, "")
    lines = for_people.out.splitlines()
    assert lines[0].startswith(id_)
    assert lines[1].startswith("GET http://web/a?b, of 127.0.0.1:")
    assert f"attempt 1 127.0.0.1:{port}, its only endpoint" in lines
    assert json.loads(for_machines.out)["choice"] == f"127.0.0.1:{port}"
    assert (forgotten.code, forgotten.out) == (1, "")
    assert forgotten.err.startswith("nodeagent: no request 0000000000000000 is known: ")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "expected a NAME such as /svc/users, or --request ID"),
        (("--request", "12"), "--request 12: expected the 16 hexadecimal digits of an l5d-reqid"),
        (("--request", "0" * 16, "/svc/web"), "it goes with --admin and --json only"),
    ],
)
def test_a_question_that_is_none(cli: Cli, arguments: tuple[str, ...], says: str) -> None:
    done = cli("explain", *arguments)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert says in done.err


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("table", "code", "says"),
    [
        pytest.param("/svc => /$/inet/127.0.0.1/8081", 0, "/svc/web: bound\n", id="good"),
        pytest.param("/svc =>", 1, "/svc/web: error: {table}:1:8: expected a path", id="bad"),
        pytest.param(None, 1, "/svc/web: error: {table}: No such file or directory\n", id="missing"),
    ],
)
def test_the_table_may_be_in_a_file(tmp_path: Path, table: str | None, code: int, says: str) -> None:
    path = tmp_path / "dtab"
    if table is not None:
        path.write_text(table)
    with started("explain", "--config", "-", "/svc/web", stdin=WITH_DTAB_FILE.format(table=path)) as process:
        done = process.end()

    assert (done[0], done[2]) == (code, "")
    assert done[1].startswith(says.format(table=path))


@pytest.mark.e2e
def test_a_running_agent_tells_that_its_table_is_only_the_last_good_one(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "dtab"
    path.write_text("/svc => /$/inet/127.0.0.1/8081")
    config = "admin: {port: 0}" + WITH_DTAB_FILE.format(table=path)
    with started("run", "-", stdin=config) as agent:
        admin = ("--admin", f"http://127.0.0.1:{ports(agent, 2)['admin']}")
        assert cli("explain", *admin, "/svc/web").out.startswith("/svc/web: bound")
        path.write_text("/svc =>")
        done = until(lambda: cli("explain", *admin, "/svc/web"), lambda done: done.out.startswith("dtab: "))
        agent.signal(signal.SIGTERM)
        agent.end()

    first, second = done.out.splitlines()[:2]
    assert (done.code, second) == (0, "/svc/web: bound")
    assert re.fullmatch(
        rf"dtab: the last good one, \d+ s old; since then: {re.escape(str(path))}:1:8: expected a path.*", first
    )


def until(act: Callable[[], Finished], holds: Callable[[Finished], bool]) -> Finished:
    deadline = time.monotonic() + PATIENCE
    while not holds(done := act()):
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.05)
    return done


POLICY = """
admin: {{port: 0}}
routers:
- protocol: http
  label: outgoing
  dtab: /svc/web => /$/inet/127.0.0.1/8081
  servers: [{{port: 0}}]
  policy:
    default: {default}
    rules:
    - {{name: no admin, what: {{paths: [/admin/**]}}, action: deny}}
    - {{name: trial, what: {{methods: [PUT]}}, action: audit}}
    - name: apps
      who: [{{users: [root]}}, {{networks: [10.0.0.0/8]}}, {{identities: ["spiffe://a/*"]}}]
      action: allow
    - {{name: web, who: {{users: ["7"], cgroups: [/web/**]}}, action: allow}}
"""


@pytest.mark.parametrize(
    ("asked", "code", "heading"),
    [
        (("uid:root", "http://web/x?y"), 0, "allowed by apps, for uid:root, GET /x?y"),
        (("uid:1234", "http://web/"), 1, "denied by default, for uid:1234, GET /"),
        (("uid:7,cgroup:/web/a", "http://web/"), 0, "allowed by web, for uid:7,cgroup:/web/a, GET /"),
        (("uid:7,cgroup:/db", "http://web/"), 1, "denied by default, for uid:7,cgroup:/db, GET /"),
        (("cgroup:/web", "http://web/"), 1, "denied by default, for cgroup:/web, GET /"),
        (("10.1.2.3", "PUT", "http://web/"), 0, "allowed, and would be denied by trial, for 10.1.2.3, PUT /"),
        (("spiffe://a/b", "DELETE", "/svc/web"), 0, "allowed by apps, for spiffe://a/b, DELETE /"),
        (("spiffe://b/b", "/svc/web"), 1, "denied by default, for spiffe://b/b, GET /"),
        (("uid:root", "http://web/%61dmin"), 1, "denied by no admin, for uid:root, GET /%61dmin"),
        (("uid:root", "https://web/"), 1, "denied by no admin, for uid:root, CONNECT"),
        (("uid:root", "CONNECT", "web:443"), 1, "denied by no admin, for uid:root, CONNECT"),
    ],
)
def test_whether_somebody_may(cli: Cli, tmp_path: Path, asked: tuple[str, ...], code: int, heading: str) -> None:
    config = tmp_path / "agent.yaml"
    config.write_text(POLICY.format(default="deny"))
    done = cli("explain", "--config", str(config), "--as", *asked)
    assert (done.code, f"policy: {heading}\n" in done.out) == (code, True), done.out


def test_what_is_up_to_an_authorizer(cli: Cli, tmp_path: Path) -> None:
    config = tmp_path / "agent.yaml"
    config.write_text(
        "routers:\n- protocol: http\n  servers: [{port: 0}]\n  dtab: /svc/web => /$/inet/127.0.0.1/1\n  policy:\n"
        "    authorizers: [{kind: opa, name: opa, url: 'http://127.0.0.1:1', path: mesh/authz}]\n"
        "    rules: [{name: asks, what: {paths: [/x/**]}, action: ask, authorizer: opa}]\n"
    )
    for url, code, heading in (
        ("http://web/x/y", 0, "up to an authorizer, asked by asks, for uid:7, GET /x/y"),
        ("http://web/x//y", 1, "denied by asks, for uid:7, GET /x//y"),
        ("http://web/y", 0, "allowed by default, for uid:7, GET /y"),
    ):
        done = cli("explain", "--config", str(config), "--as", "uid:7", url)
        assert (done.code, f"policy: {heading}\n" in done.out) == (code, True), done.out


def test_why_a_rule_does_not_fit(cli: Cli, tmp_path: Path) -> None:
    config = tmp_path / "agent.yaml"
    config.write_text(POLICY.format(default="allow"))
    done = cli("explain", "--config", str(config), "--as", "uid:7", "PUT", "http://web/x")
    assert done.out.partition("policy: ")[2].splitlines() == [
        "allowed, and would be denied by trial, for uid:7, PUT /x",
        "  no admin   deny    does not fit: paths /admin/**: the path is /x",
        "  trial      audit   fits, and decides nothing",
        "  apps       allow   does not fit: users root: the caller is uid 7",
        "  web        allow   does not fit (held against the caller): cgroups /web/**: its cgroup is not known",
        "  default    allow   decides",
    ]


def test_questions_about_callers_that_make_no_sense(cli: Cli, config: str) -> None:
    nobody = cli("explain", "--config", config, "--as", "uid:nobody-here", "http://web/")
    nowhere = cli("explain", "--config", config, "--as", "cgroup:web", "http://web/")
    method = cli("explain", "--config", config, "GET", "http://web/")
    anybody = cli("explain", "--config", config, "--as", "10.0.0.1", "http://web/")
    assert (nobody.code, "this host has no such user" in nobody.err) == (2, True)
    assert (nowhere.code, "web is no path of a cgroup such as" in nowhere.err) == (2, True)
    assert (method.code, "goes with --as" in method.err) == (2, True)
    assert "policy: there is none; everybody may call everything, 10.0.0.1 too" in anybody.out


@pytest.mark.e2e
def test_a_running_agent_says_whether_somebody_may(cli: Cli, tmp_path: Path) -> None:
    config = tmp_path / "agent.yaml"
    config.write_text(POLICY.format(default="deny"))
    with started("run", str(config)) as agent:
        admin = f"http://127.0.0.1:{ports(agent, 2)['admin']}"
        allowed = cli("explain", "--admin", admin, "--as", "uid:root", "http://web/")
        denied = cli("explain", "--admin", admin, "--json", "--as", "uid:1234", "http://web/")
        unknown = cli("explain", "--admin", admin, "--as", "uid:nobody-here", "http://web/")

    assert (allowed.code, "policy: allowed by apps" in allowed.out) == (0, True)
    assert json.loads(denied.out)["policy"]["rules"][2] == {
        "rule": "apps",
        "action": "allow",
        "decides": False,
        "fits": "no",
        "why": "users root: the caller is uid 1234",
    }
    assert (denied.code, "this host has no such user" in unknown.err) == (1, True)
