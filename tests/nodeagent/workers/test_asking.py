"""A page without a connection is the page that a connection brings."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from nodeagent.workers.asking import page_of
from nodeagent.workers.channel import Answer, Ask


async def echo(request: Request) -> Response:
    body = (await request.body()).decode()
    seen = {
        "path": request.url.path,
        "query": request.query_params.get("q"),
        "host": request.headers["Host"],
        "body": body,
    }
    return JSONResponse(seen)


async def pieces(request: Request) -> Response:
    async def parts() -> AsyncIterator[str]:
        yield "one "
        yield "two"

    return StreamingResponse(parts(), 201, media_type="text/plain")


APP = Starlette(routes=[Route("/a b", echo, methods=["GET", "POST"]), Route("/pieces", pieces)])


async def test_what_is_asked_arrives() -> None:
    answer = await page_of(APP, Ask(7, "POST", "/a%20b?q=x%2Fy", [("Host", "h")], b"body"))

    assert (answer.id, answer.status, answer.content_type) == (7, 200, "application/json")
    assert answer.body == b'{"path":"/a b","query":"x/y","host":"h","body":"body"}'


async def test_an_answer_in_pieces_is_one() -> None:
    answer = await page_of(APP, Ask(1, "GET", "/pieces", [], b""))

    assert answer == Answer(1, 201, "text/plain; charset=utf-8", b"one two")


async def test_an_error_is_an_answer_too() -> None:
    assert (await page_of(APP, Ask(1, "GET", "/other", [], b""))).status == 404
    assert (await page_of(APP, Ask(1, "DELETE", "/pieces", [], b""))).status == 405
