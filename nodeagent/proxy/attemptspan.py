"""Each attempt at a recorded request under a span of its own, so that what a backend records hangs below that attempt.

Composed around the attempts of a concrete name where spans are exported; elsewhere all attempts go on with the one
span of their request, and nothing of this is there. A request that is not recorded costs one comparison.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from nodeagent.proxy.classify import Classify
from nodeagent.proxy.messages import Request, Response
from nodeagent.proxy.rehost import Send
from nodeagent.telemetry.trace import child_lines, is_recorded

Around: TypeAlias = Callable[[Send], Send]
"""Puts something around the attempts of a concrete name."""


def as_they_are(send: Send) -> Send:
    """The same attempts: nothing is put around them."""
    return send


def under_own_spans(rng: random.Random) -> Around:
    """Return what gives each attempt at a recorded request a span, with an id by `rng`, and notes that in `Attempt`."""

    def around(send: Send) -> Send:
        def send_any(request: Request, classify: Classify) -> Awaitable[Response]:
            return send_recorded(request, classify) if is_recorded(request.trace) else send(request, classify)

        async def send_recorded(request: Request, classify: Classify) -> Response:
            before, span_id = request.attempts, rng.getrandbits(64) or 1
            request.fields = request.fields.replace(request.trace, child_lines(request.trace, span_id), 1)
            try:
                return await send(request, classify)
            finally:
                if len(request.attempts) > len(before):  # an endpoint was found
                    *others, own = request.attempts
                    request.attempts = (*others, own._replace(span_id=span_id))

        return send_any

    return around
