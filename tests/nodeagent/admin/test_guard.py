"""What every request passes, around pages that do as told."""

from __future__ import annotations

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from structlog.testing import capture_logs

from nodeagent.admin.guard import MAX_QUERY, Guard
from nodeagent.admin.security import Gate, PathRules

GATE = Gate(PathRules(blacklist=["/hidden"]), "node-7")


async def fine(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("fine")(scope, receive, send)


async def broken(scope: Scope, receive: Receive, send: Send) -> None:
    raise RuntimeError("secret detail")


async def broken_halfway(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise RuntimeError("secret detail")


async def ask(app: ASGIApp, path: str, *, quiet: bool = True) -> httpx.Response:
    transport = httpx.ASGITransport(Guard(app, GATE), raise_app_exceptions=not quiet)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return await client.get(path)


async def test_a_page_is_served_with_headers_for_browsers() -> None:
    answer = await ask(fine, "/")
    assert (answer.status_code, answer.text) == (200, "fine")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


async def test_a_page_may_have_headers_of_its_own() -> None:
    async def page(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("fine", headers={"cache-control": "no-cache"})(scope, receive, send)

    assert (await ask(page, "/")).headers.get_list("cache-control") == ["no-cache"]


async def test_what_the_gate_refuses_does_not_reach_the_page() -> None:
    answer = await ask(broken, "/hidden")
    assert (answer.status_code, answer.text) == (404, "Not Found\n")
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(("length", "status"), [(MAX_QUERY, 200), (MAX_QUERY + 1, 400)])
async def test_a_query_has_a_limit(length: int, status: int) -> None:
    assert (await ask(fine, "/?" + "q" * length)).status_code == status


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/page", "the agent failed; its log says more\n"),
        ("/page.json", '{"error":"the agent failed; its log says more"}'),
    ],
)
async def test_a_page_that_fails_is_a_500_whose_reason_only_the_log_tells(path: str, body: str) -> None:
    with capture_logs() as logs:
        answer = await ask(broken, path)
    assert (answer.status_code, answer.text) == (500, body)
    assert [(entry["log_level"], entry["path"]) for entry in logs] == [("error", path)]


async def test_half_a_page_does_not_pass_for_a_whole_one() -> None:
    with capture_logs() as logs, pytest.raises(RuntimeError):
        await ask(broken_halfway, "/page", quiet=False)
    assert len(logs) == 1
