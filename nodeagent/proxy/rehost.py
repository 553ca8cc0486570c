"""Calling backends by the name they know themselves by, as Consul's `setHost` wants it.

`Host` becomes the service's own name; where a response sends the caller on (`Location`, `Refresh`) with that name, the
caller's takes its place again, since the service's means nothing to it. linkerd 1.x's `RewriteHostHeader`.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from nodeagent.proxy.classify import Classify
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
        head = request.head
        asked, head.authority = head.authority, self._authority
        try:
            response = await self._send(request, classify)
        finally:
            head.authority = asked
        if asked:
            response.fields = self._own_name.sub(lambda found: found[1] + asked, response.fields)
        return response
