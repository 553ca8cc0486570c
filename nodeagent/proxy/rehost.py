"""Calling backends by the name they know themselves by. Composed when a name is bound; others pay nothing for it.

A subset that was asked for (`users;v=2`) is no part of it. Where Consul's `setHost` says so, it is the service's own
name; where a response sends the caller on (`Location`, `Refresh`) with that one, the caller's takes its place again,
since the service's means nothing to it. linkerd 1.x's `RewriteHostHeader`.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from nodeagent.proxy.classify import Classify
from nodeagent.proxy.identify import whole_service
from nodeagent.proxy.messages import Request, Response

_SENDS_ON = rb"((?:^|\r\n)(?:location:[ \t]*|refresh:[^\r]*?url=[ \t]*[\"']?)(?:[a-z][a-z0-9+.-]*:)?//)"
_ENDS = rb"(?=[/?#\"'\r:])"

Send: TypeAlias = Callable[[Request, Classify], Awaitable[Response]]
"""Makes one attempt at a request."""


class Rehosted:
    """Attempts whose backends are told `authority` in `Host`."""

    def __init__(self, send: Send, authority: bytes) -> None:
        self._send = send
        self._authority = authority
        self._own_name = re.compile(_SENDS_ON + re.escape(authority) + _ENDS, re.IGNORECASE)

    async def send(self, request: Request, classify: Classify) -> Response:
        """As what it was made of."""
        asked = request.head.authority
        response = await _send_as(self._authority, self._send, request, classify)
        if asked:
            response.fields = self._own_name.sub(lambda found: found[1] + asked, response.fields)
        return response


def without_subset(send: Send) -> Send:
    """The same attempts, with `users` in `Host` where `users;v=2` was asked for."""

    async def send_whole(request: Request, classify: Classify) -> Response:
        return await _send_as(whole_service(request.head.authority), send, request, classify)

    return send_whole


async def _send_as(authority: bytes, send: Send, request: Request, classify: Classify) -> Response:
    head = request.head
    asked, head.authority = head.authority, authority
    try:
        return await send(request, classify)
    finally:
        head.authority = asked
