"""Tokens of callers, on real sockets: who is told 401, and keys that change."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from cryptography.hazmat.primitives.asymmetric import rsa
from structlog.testing import capture_logs

from tests.nodeagent.policy.test_tokens import RSA, jwks, token
from tests.nodeagent.proxy.world import Answer, Backend
from tests.nodeagent.running import Running, running
from tests.nodeagent.test_authorizers import said

RULES = "rules: [{name: ops, who: {claims: {groups: [ops]}}, what: {paths: [/ops/**]}, action: allow}, "
RULES += "{what: {paths: [/ops/**]}, action: deny}]"


@asynccontextmanager
async def reading(keys: str) -> AsyncIterator[Running]:
    """An agent that lets only `ops` call /ops."""
    backend = Backend()
    async with trio.open_nursery() as nursery:
        await nursery.start(backend.run)
        text = (
            f"- protocol: http\n  servers: [{{port: 0}}]\n  dtab: /svc/web => /$/inet/127.0.0.1/{backend.port}\n"
            f"  policy:\n    tokens: {{issuer: 'https://login', audience: mesh, {keys}}}\n    {RULES}\n"
        )
        async with running(text) as agent:
            yield agent
        nursery.cancel_scope.cancel()


async def ask(agent: Running, shown: str | None, path: str = "/ops/x") -> Answer:
    fields = "" if shown is None else f"Authorization: Bearer {shown}\r\n"
    return await agent.ask("router http", f"GET {path} HTTP/1.1\r\nHost: web\r\n{fields}\r\n".encode())


async def eventually(agent: Running, shown: str, status: int) -> None:
    with trio.fail_after(20):
        while (await ask(agent, shown)).status != status:
            await trio.sleep(0.05)


async def test_a_token_opens_what_its_claims_are_for(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_bytes(jwks(one=RSA))
    async with reading(f"jwksFile: {tmp_path}/keys.json") as agent:
        assert (await ask(agent, token(groups=["ops"]))).status == 200
        assert (await ask(agent, token(groups=["dev"]))).status == 403
        assert (await ask(agent, None)).status == 403
        assert (await ask(agent, None, "/x")).status == 200
        with capture_logs() as logs:
            expired = await ask(agent, token(exp=1_000_000_000, groups=["ops"]), "/x")
        (record,) = json.loads((await agent.admin("/requests.json?limit=1")).body)
        page = (await agent.admin("/metrics")).body.decode()

    assert (expired.status, expired.body) == (401, b"policy: the token has expired\n")
    challenge = 'Bearer error="invalid_token", error_description="the token has expired"'
    assert expired.get("www-authenticate") == challenge
    assert record["policy"] == {"verdict": "deny", "rule": "tokens", "said": "the token has expired"}
    assert (record["blame"], record["name"]) == ("policy", "/svc/web")
    assert 'nodeagent_policy_decisions_total{router="http",rule="tokens",verdict="deny"} 1.0' in page
    assert [line["why"] for line in logs if line["event"] == "policy refuses a token"] == ["the token has expired"]
    assert "eyJ" not in str(logs), "a token is never told"


async def test_keys_in_a_file_may_change_and_bad_ones_leave_the_former(tmp_path: Path) -> None:
    file, new = tmp_path / "keys.json", rsa.generate_private_key(65537, 2048)
    file.write_bytes(jwks(one=RSA))
    async with reading(f"jwksFile: {file}") as agent:
        assert (await ask(agent, token(new, kid="new", groups="ops"))).status == 401
        with capture_logs() as logs:
            file.write_bytes(b"{half")
            with trio.fail_after(20):
                while not any("the former ones stay" in line["event"] for line in logs):
                    await trio.sleep(0.05)
            assert (await ask(agent, token(groups="ops"))).status == 200
        file.write_bytes(jwks(one=RSA, new=new))
        await eventually(agent, token(new, kid="new", groups="ops"), 200)
        file.write_bytes(jwks(new=new))
        await eventually(agent, token(groups="ops"), 401)


async def test_keys_at_a_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that is not known yet is asked for, not only after `refreshSecs`."""
    monkeypatch.setattr("nodeagent.proxy.tokenkeys.AGAIN", 0.05)
    new = rsa.generate_private_key(65537, 2048)
    keys = Backend([said(b"", "503 Service Unavailable"), said(jwks(one=RSA)), said(jwks(one=RSA, new=new))])
    async with trio.open_nursery() as nursery:
        await nursery.start(keys.run)
        async with reading(f"jwksUrl: 'http://127.0.0.1:{keys.port}/jwks', refreshSecs: 3600") as agent:
            await eventually(agent, token(groups="ops"), 200)
            await eventually(agent, token(new, kid="new", groups="ops"), 200)
        nursery.cancel_scope.cancel()
    assert len(keys.seen) == 3
    assert keys.seen[0].startswith(b"GET /jwks HTTP/1.1\r\n")


async def test_without_keys_nobody_can_tell(tmp_path: Path) -> None:
    async with reading(f"jwksFile: {tmp_path}/none.json") as agent:
        answer = await ask(agent, token(groups="ops"))
        assert (answer.status, answer.body) == (503, b"policy: the keys of tokens are not known yet\n")
        assert (await ask(agent, None, "/x")).status == 200
