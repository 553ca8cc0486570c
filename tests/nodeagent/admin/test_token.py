"""The token of the admin port: how it is shown, and the file that it stands in."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from structlog.testing import capture_logs

import conf
from nodeagent.admin.app import admin_app
from nodeagent.admin.token import TokenError, TokenFile, shows
from tests.nodeagent.admin.fakes import MACHINE, FakeAgent, asking


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("authorization", "right"),
    [
        ("Bearer s3cret", True),
        ("bearer  s3cret ", True),
        (basic("anybody:s3cret"), True),
        (basic(":s3cret"), True),
        (basic("s3cret"), False),
        (basic("s3cret:"), False),
        ("Basic !", False),
        ("Basic /w==", False),
        ("Bearer s3cre", False),
        ("Bearer s3crett", False),
        ("Bearer ", False),
        ("Bearer \u00e9\udcff", False),
        ("s3cret", False),
        ("Digest s3cret", False),
        ("", False),
    ],
)
def test_what_shows_it(authorization: str, right: bool) -> None:
    assert shows(authorization.encode("utf-8", "surrogateescape").decode("latin-1"), "s3cret") is right


def a_file(directory: Path, text: str = "s3cret\n", mode: int = 0o600) -> Path:
    file = directory / "token"
    file.write_text(text)
    file.chmod(mode)
    return file


def test_the_file_may_change_at_any_time(tmp_path: Path) -> None:
    token = TokenFile(str(a_file(tmp_path)))
    assert token() == "s3cret"

    a_file(tmp_path, "another-one\n")
    assert token() == "another-one"

    (tmp_path / "token").unlink()
    with capture_logs() as logs:
        assert token() == "another-one"
    assert [line["event"] for line in logs] == ["the token of the admin port stays as it was"]


@pytest.mark.parametrize(
    ("text", "mode", "problem"),
    [
        ("s3cret", 0o644, "its permissions are 0644; chmod it to 0600 or 0640"),
        ("s3cret", 0o620, "its permissions are 0620"),
        ("", 0o600, "expected one token"),
        ("two tokens", 0o600, "expected one token"),
        ("two\ntokens", 0o600, "expected one token"),
        ("x" * 5000, 0o600, "of at most 4096 characters"),
        ("\u00e9", 0o600, "expected a token in ASCII"),
        (None, 0o600, "no such file or directory"),
    ],
)
def test_a_file_that_is_no_secret_is_refused(tmp_path: Path, text: str | None, mode: int, problem: str) -> None:
    file = tmp_path / "token" if text is None else a_file(tmp_path, text, mode)
    with pytest.raises(TokenError) as caught:
        TokenFile(str(file))
    assert str(caught.value).startswith(f"admin.tokenFile {file}: ")
    assert problem in str(caught.value)


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640])
def test_its_owner_and_group_may_read_it(tmp_path: Path, mode: int) -> None:
    assert TokenFile(str(a_file(tmp_path, mode=mode)))() == "s3cret"


SECRET = "token: s3cret, publicPaths: [/live, /ready, /metrics]"


async def test_pages_want_it_but_for_those_that_are_public() -> None:
    agent = FakeAgent(admin=SECRET)
    right = {"authorization": "Bearer s3cret"}
    async with asking(agent) as client:
        for path in ("/live", "/ready", "/metrics"):
            assert (await client.get(path)).status_code == 200
        for path in ("/", "/config.json", "/admin/ping", "/nowhere", "/livex"):
            answer = await client.get(path)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (
                401,
                'Bearer realm="nodeagent", Basic realm="nodeagent"',
            )
            assert "show the token of the admin port" in answer.text
        assert (await client.post("/admin/shutdown")).status_code == 401
        assert not agent.stopped.is_set()
        assert (await client.get("/config.json", headers={"authorization": "Bearer wrong"})).status_code == 401
        assert (await client.get("/nowhere", headers=right)).status_code == 404
        shown = await client.get("/config.json", headers=right)
        assert shown.json()["admin"]["token"]["value"] == "redacted"
        assert "s3cret" not in shown.text
        assert (await client.post("/admin/shutdown", headers=right)).status_code == 200


async def test_the_token_is_no_leave_for_pages_from_elsewhere() -> None:
    """A browser sends a password that it knows along with whatever a page asks for."""
    agent = FakeAgent(admin=SECRET)
    async with asking(agent) as client:
        headers = {"authorization": basic("me:s3cret"), "origin": "http://evil.org"}
        assert (await client.post("/admin/shutdown", headers=headers)).status_code == 403
        rebound = {"authorization": basic("me:s3cret"), "host": "evil.org"}
        assert (await client.get("/config.json", headers=rebound)).status_code == 403


async def test_a_file_goes_before_what_the_configuration_says(tmp_path: Path) -> None:
    file = a_file(tmp_path, "from-the-file")
    async with asking(FakeAgent(admin=f"token: s3cret, tokenFile: {file}")) as client:
        assert (await client.get("/", headers={"authorization": "Bearer s3cret"})).status_code == 401
        assert (await client.get("/", headers={"authorization": "Bearer from-the-file"})).status_code == 200


async def test_without_a_usable_file_nothing_is_served(tmp_path: Path) -> None:
    with pytest.raises(TokenError):
        admin_app(FakeAgent(admin=f"tokenFile: {tmp_path}/none"), MACHINE)


def test_a_worker_is_asked_by_its_supervisor_only_and_has_no_token() -> None:
    from nodeagent.workers.shares import share_of

    text = f"admin: {{{SECRET}, tokenFile: /x}}\nrouters: [{{protocol: http, servers: [{{}}]}}]"
    admin = share_of(conf.load(text, "test"), 2, [[1]], None).admin
    assert (admin.token, admin.token_file) == (None, None)
