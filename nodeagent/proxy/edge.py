"""What one listener adds to requests or hides from its callers: `Forwarded`, a time stamp, cleared context."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from nodeagent.proxy.messages import Request, Response, block_of, lines_of

Label = Callable[[Request, float], bytes]
"""Names one end of a connection in a Forwarded field, from the request and when its connection was opened."""


@dataclass(frozen=True, slots=True)
class Edge:
    """The options of a listener that change heads."""

    clear_context: bool = False
    """For callers that are not trusted: `l5d-*` is neither believed nor shown, errors have no body."""
    trust_dtabs: bool = True
    """Whether callers may steer their requests: `l5d-dtab`, `l5d-ctx-dtab`."""
    forwarded_by: Label | None = None
    forwarded_for: Label | None = None
    timestamp_header: str | None = None

    @property
    def _only_dtabs(self) -> bool:
        return not self.clear_context and self.forwarded_by is None and self.timestamp_header is None

    def inbound(self, request: Request, opened_at: float) -> None:
        """Change a request's head before it is routed."""
        head = request.head
        if not self.trust_dtabs and not head.special.keys().isdisjoint(_DTABS):
            head.special = {name: value for name, value in head.special.items() if name not in _DTABS}
        if self._only_dtabs:
            return
        lines = lines_of(head.fields)
        if self.clear_context:
            lines = [line for line in lines if not _is_context(line)]
            head.special = {name: value for name, value in head.special.items() if not name.startswith(b"l5d-")}
        if self.forwarded_by is not None and self.forwarded_for is not None:
            element = b"by=%b;for=%b" % (self.forwarded_by(request, opened_at), self.forwarded_for(request, opened_at))
            before = head.get(b"forwarded")
            lines = [line for line in lines if not line.lower().startswith(b"forwarded:")]
            lines.append(b"Forwarded: " + (before + b", " + element if before else element))
        if self.timestamp_header is not None:
            lines.append(b"%b: %d" % (self.timestamp_header.encode(), time.time_ns() // 1_000_000))
        request.fields = head.fields = block_of(lines)

    def outbound(self, response: Response) -> None:
        """Change a response before the caller sees it."""
        if not self.clear_context:
            return
        lines = lines_of(response.fields)
        own = any(line.startswith(b"l5d-err:") for line in lines) and isinstance(response.body, bytes)
        lines = [line for line in lines if not _is_context(line)]
        if own:
            lines = [line for line in lines if not line.startswith((b"Proxy-Status:", b"Content-Type:"))]
            response.body, response.length = b"", 0
        response.fields = block_of(lines)


_DTABS = frozenset((b"l5d-dtab", b"l5d-ctx-dtab"))


def _is_context(line: bytes) -> bool:
    return line[:4].lower() == b"l5d-"
