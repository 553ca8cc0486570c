"""Asks an ASGI application for a page without a connection.

httpx could do it, and takes 100 ms to import: a worker would answer nobody meanwhile.
"""

from __future__ import annotations

from urllib.parse import unquote

import trio
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Scope

from nodeagent.workers.channel import Answer, Ask


async def page_of(app: ASGIApp, asked: Ask) -> Answer:
    """Return the answer of `app` to what was asked. Raises what the application raises; cancelling is safe."""
    status, headers, body = 500, Headers(), bytearray()
    question: list[Message] = [{"type": "http.request", "body": asked.body, "more_body": False}]

    async def receive() -> Message:
        if not question:
            await trio.sleep_forever()  # nobody hangs up
        return question.pop()

    async def send(message: Message) -> None:
        nonlocal status, headers
        if message["type"] == "http.response.start":
            status, headers = message["status"], Headers(raw=list(message.get("headers", ())))
        elif message["type"] == "http.response.body":
            body.extend(message.get("body", b""))

    await app(_scope(asked), receive, send)
    return Answer(asked.id, status, headers.get("content-type", ""), bytes(body))


def _scope(asked: Ask) -> Scope:
    path, _, query = asked.target.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": asked.method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode("latin-1"),
        "query_string": query.encode("latin-1"),
        "root_path": "",
        "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in asked.headers],
        "client": None,
        "server": None,
    }
