"""What every admin request passes: the gate before it is read further, and an answer even where a page fails."""

from __future__ import annotations

from typing import Final

import structlog
import trio
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nodeagent.admin.answers import problem
from nodeagent.admin.security import Gate, Refusal

MAX_QUERY: Final = 32 * 1024
"""Bytes. What is longer, such as a large dtab, is sent as the body of a POST."""

AT_ONCE: Final = 4
"""Answers under way, each of which may be megabytes; probes go past them, and so does what streams."""
WAITING: Final = 5.0
"""Seconds that one more waits for its turn."""
TAKEN: Final = 75.0
"""Seconds within which an answer is made and taken."""

PAST: Final = frozenset({"/live", "/ready", "/admin/ping", "/admin/shutdown", "/tap", "/profile"})
"""Pages that are small, or go on for long and have limits of their own."""

HEADERS: Final = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
)
"""Fields of each answer that does not have its own."""

BUSY: Final = Refusal(503, f"{AT_ONCE} other answers are under way; ask again", {"retry-after": "5"})

log = structlog.get_logger("nodeagent.admin")


class Guard:
    """ASGI middleware around all pages."""

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        self._app = app
        self._gate = gate
        self._room = trio.CapacityLimiter(AT_ONCE)

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
                own = list(message.get("headers", ()))
                given = {name for name, _ in own}
                message["headers"] = own + [each for each in HEADERS if each[0] not in given]
            await send(message)

        refusal = self._refusal(scope)
        try:
            if refusal is None:
                refusal = await self._answered(scope, receive, send_guarded)
            if refusal is not None:
                answer = problem(scope["path"], refusal.status, refusal.reason, refusal.headers)
                await answer(scope, receive, send_guarded)
        except Exception:
            log.exception("a bug: an admin page failed", path=scope["path"])
            if started:
                raise  # the server closes the connection, so that half a page does not pass for a whole one
            await problem(scope["path"], 500, "the agent failed; its log says more")(scope, receive, send_guarded)

    async def _answered(self, scope: Scope, receive: Receive, send: Send) -> Refusal | None:
        """Answer when there is room for that; say so where there is none."""
        if scope["path"] in PAST:
            await self._app(scope, receive, send)
            return None
        who = object()
        with trio.move_on_after(WAITING):
            await self._room.acquire_on_behalf_of(who)
        if who not in self._room.statistics().borrowers:
            return BUSY
        try:
            with trio.move_on_after(TAKEN) as scope_of_it:
                await self._app(scope, receive, send)
        finally:
            self._room.release_on_behalf_of(who)
        if scope_of_it.cancelled_caught:  # the server closes the connection of an answer that has no end
            log.warning("an admin page is cut: it was not made and taken in time", path=scope["path"], seconds=TAKEN)
        return None

    def _refusal(self, scope: Scope) -> Refusal | None:
        if len(scope["query_string"]) > MAX_QUERY:
            return Refusal(400, f"the query is longer than {MAX_QUERY} bytes")
        return self._gate.refusal(scope["method"], scope["path"], Headers(scope=scope))
