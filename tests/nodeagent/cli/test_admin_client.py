"""Asking an admin port, and being told off by whoever listens there instead."""

from __future__ import annotations

import os
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import click
import pytest

from nodeagent.cli.admin_client import AdminClient, NoAnswerError, UnixConnection, decode
from nodeagent.cli.explain_documents import EXPLANATION
from tests.nodeagent.cli.processes import backend, started

pytestmark = pytest.mark.e2e


@contextmanager
def says_once(reply: bytes) -> Iterator[int]:
    """A port that sends these bytes to one connection, whatever it is asked."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            stream, _ = listener.accept()
            with stream:
                stream.recv(65536)
                stream.sendall(reply)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            thread.join()


def test_the_question_arrives_whole_whatever_proxy_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")

    def echo(request: BaseHTTPRequestHandler) -> tuple[int, str]:
        return 200, request.path

    with backend(echo) as port:
        answer = AdminClient(f"http://127.0.0.1:{port}/").get("/explain.json", {"path": "/a b", "dtab": "/x=>/y;"})

    assert answer == b"/explain.json?path=%2Fa+b&dtab=%2Fx%3D%3E%2Fy%3B"


@pytest.mark.parametrize(
    ("status", "text", "error", "says"),
    [
        pytest.param(400, '{"error": "path: bad"}', click.UsageError, "path: bad", id="a bad question"),
        pytest.param(404, '{"error": "no router"}', click.UsageError, "no router", id="nothing of that name"),
        pytest.param(503, '{"error": "not yet"}', NoAnswerError, "not yet", id="no answer in time"),
        pytest.param(
            404, "<html>", NoAnswerError, "answered 404; is that an agent's admin port?", id="some web server"
        ),
        pytest.param(500, "[" * 100_000, NoAnswerError, "answered 500; is that", id="a hostile one"),
    ],
)
def test_an_error_is_told_in_its_own_words(status: int, text: str, error: type[Exception], says: str) -> None:
    with backend(lambda _: (status, text)) as port, pytest.raises(error) as raised:
        AdminClient(f"http://127.0.0.1:{port}").get("/explain.json", {})

    assert says in str(raised.value)


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(b"", id="closes"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", id="another protocol"),
    ],
)
def test_whoever_does_not_speak_http_is_no_agent(reply: bytes) -> None:
    with says_once(reply) as port, pytest.raises(NoAnswerError, match="no agent answers at"):
        AdminClient(f"http://127.0.0.1:{port}").get("/explain.json", {})


@pytest.mark.parametrize("url", ["127.0.0.1:9990", "https://127.0.0.1:9990", "http://", "http://h:port", "http://[::1"])
def test_the_url_has_to_be_one(url: str) -> None:
    with pytest.raises(click.UsageError, match="--admin "):
        AdminClient(url)


@pytest.mark.parametrize("answer", [b"{}", b"\xff", b'{"name": "/svc/we', b"[" * 100_000])
def test_an_answer_of_another_shape_is_not_an_agents(answer: bytes) -> None:
    with pytest.raises(NoAnswerError, match="not the answer of an agent's admin port"):
        decode(answer, EXPLANATION)


GUARDED = """
admin: {{path: {path}, tokenFile: token, mode: "0600"}}
routers:
- {{protocol: http, label: out, dtab: /svc/users => /$/inet/127.0.0.1/8080, servers: [{{port: 0}}]}}
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_a_running_agent_on_a_unix_socket_with_a_token(tmp_path: Path, workers: int) -> None:
    path, token = tmp_path / "admin.sock", tmp_path / "token"
    token.write_text("s3cret\n")
    token.chmod(0o600)
    (tmp_path / "agent.yaml").write_text(f"workers: {workers}\n" + GUARDED.format(path=path))
    clean = {name: value for name, value in os.environ.items() if not name.startswith("NODEAGENT")}

    def explain(*arguments: str, **environment: str) -> tuple[int, str, str]:
        asked = ("explain", "--admin", f"unix:{path}", *arguments, "/svc/users")
        with started(*asked, cwd=tmp_path, env=clean | environment) as process:
            return process.end()

    with started("run", "agent.yaml", cwd=tmp_path, env=clean, patience=60) as agent:
        assert agent.read_line().startswith("listening: router out on ")
        assert agent.read_line() == f"listening: admin on unix:{path}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

        assert explain()[0] == 1
        assert explain()[2] == (
            f"nodeagent: unix:{path} asks for a token: give it with --admin-token-file FILE, or in "
            "NODEAGENT_ADMIN_TOKEN\n"
        )
        assert explain(NODEAGENT_ADMIN_TOKEN="s3cret")[0] == 0
        if workers == 1:  # how a token is found does not depend on who answers
            assert explain(NODEAGENT_ADMIN_TOKEN="wrong")[0] == 1
            assert explain(NODEAGENT_ADMIN_TOKEN_FILE="token")[0] == 0
            assert explain("--admin-token-file", "token")[0] == 0
            refused = explain("--admin-token-file", "none")[2]
            assert refused.startswith("nodeagent: --admin-token-file none: No such file")

        connection = UnixConnection(str(path))
        connection.request("POST", "/admin/shutdown", headers={"Authorization": "Bearer s3cret"})
        assert connection.getresponse().status == 200
        connection.close()
        code, _, log = agent.end()
    assert (code, "s3cret" in log, path.exists()) == (0, False, False)


def test_a_token_that_all_can_read_keeps_the_agent_from_starting(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret")
    (tmp_path / "token").chmod(0o644)
    (tmp_path / "agent.yaml").write_text(GUARDED.format(path=tmp_path / "admin.sock"))
    with started("run", "agent.yaml", cwd=tmp_path) as process:
        code, _, log = process.end()
    assert (code, log) == (1, "nodeagent: admin.tokenFile token: its permissions are 0644; chmod it to 0600 or 0640\n")


def test_where_no_socket_is_nobody_answers(tmp_path: Path) -> None:
    with pytest.raises(NoAnswerError, match=r"no agent answers at unix:/.*No such file or directory"):
        AdminClient(f"unix:{tmp_path}/none").get("/explain.json", {})
