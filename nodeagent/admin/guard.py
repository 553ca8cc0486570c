"""What every admin request passes: the gate before it is read further, and an answer even where a page fails."""

from __future__ import annotations

from typing import Final

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nodeagent.admin.answers import problem
from nodeagent.admin.security import Gate, Refusal

MAX_QUERY: Final = 32 * 1024
"""Bytes. What is longer, such as a large dtab, is sent as the body of a POST."""

HEADERS: Final = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
)

log = structlog.get_logger("nodeagent.admin")


class Guard:
    """ASGI middleware around all pages."""

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        self._app = app
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. What a page raises is logged, and the caller told that it failed, not how."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message.get("headers", ()), *HEADERS]
            await send(message)

        refusal = self._refusal(scope)
        try:
            if refusal is None:
                await self._app(scope, receive, send_guarded)
            else:
                await problem(scope["path"], refusal.status, refusal.reason)(scope, receive, send_guarded)
        except Exception:
            log.exception("a bug: an admin page failed", path=scope["path"])
            if started:
                raise  # the server closes the connection, so that half a page does not pass for a whole one
            await problem(scope["path"], 500, "the agent failed; its log says more")(scope, receive, send_guarded)

    def _refusal(self, scope: Scope) -> Refusal | None:
        if len(scope["query_string"]) > MAX_QUERY:
            return Refusal(400, f"the query is longer than {MAX_QUERY} bytes")
        return self._gate.refusal(scope["method"], scope["path"], Headers(scope=scope))
