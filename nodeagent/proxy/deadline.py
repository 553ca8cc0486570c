"""The deadline that travels with a call: linkerd's `l5d-ctx-deadline`. Pure.

The field holds "START DEADLINE" in nanoseconds of wall-clock time since 1970; of several the strictest counts
(linkerd 1.x). Inside the agent a deadline is a point on trio's clock, so that a jump of the wall clock moves nothing:
only what is left is taken from the field, once, when the request arrives. Here it is enforced, not just passed on.
"""

from __future__ import annotations

import math
import re

_FIELD = re.compile(rb"([0-9]{1,20}) +([0-9]{1,20})\Z")


def parse_remaining(field: bytes, wall_ns: int) -> float:
    """Return the seconds left (0.0 when it has passed), infinity when the field says nothing understandable."""
    deadlines = [int(match[2]) for part in field.split(b",") if (match := _FIELD.match(part.strip(b" \t")))]
    if not deadlines:
        return math.inf
    return max(min(deadlines) - wall_ns, 0) / 1e9


def render(remaining: float, wall_ns: int) -> bytes:
    """Write the field line that tells the next hop that `remaining` seconds are left."""
    return b"l5d-ctx-deadline: %d %d\r\n" % (wall_ns, wall_ns + int(remaining * 1e9))
