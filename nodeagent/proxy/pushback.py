"""What a backend asks for when it has too much to do: `Retry-After` (RFC 9110, 10.2.3) with 429 or 503. Pure.

The agent leaves such an endpoint alone for that long, at most `maxRetryAfterSecs`, while others can do its work. The
caller sees the response as it is.
"""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime

from balancer.response_class import ResponseClass
from nodeagent.proxy.messages import Response

TOO_MANY_REQUESTS = 429
"""The lowest status that says so (RFC 6585, 4): responses below need not be looked at."""

_ASKS = (TOO_MANY_REQUESTS, 503)
_FIELD = re.compile(rb"(?i)(?:^|\r\n)retry-after:[ \t]*([^\r]{1,64}?)[ \t]*\r")


def lesson(response: Response, verdict: ResponseClass) -> ResponseClass:
    """Return what balancing learns of a response that was classed as `verdict`: a 429 is no sign of health."""
    if response.status == TOO_MANY_REQUESTS and verdict is ResponseClass.SUCCESS:
        return ResponseClass.REJECTED
    return verdict


def retry_after(response: Response, wall_ns: int) -> float:
    """Return for how many seconds the backend wants no requests; 0 when it does not say so, or not understandably.

    `wall_ns` is the time of day, in nanoseconds since 1970: the field may hold a date.
    """
    if response.status not in _ASKS or (found := _FIELD.search(response.fields)) is None:
        return 0.0
    text = found[1].decode("latin-1")
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - wall_ns / 1e9)
    except (ValueError, OverflowError):
        return 0.0
