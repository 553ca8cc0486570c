"""Which trace fields a router sends on."""

from __future__ import annotations

import random
from collections.abc import Callable

from nodeagent.telemetry.trace import (
    HEADERS,
    continued_lines,
    parse_traceparent,
    root_lines,
    sample_threshold,
    write_b3_fields,
)

SAMPLE_RATE = 0.001
"""Of the traces that begin here; a caller's own decision, or its l5d-sample, is followed."""


def make_trace(rng: random.Random, *, b3: bool) -> Callable[[dict[bytes, bytes]], list[bytes]]:
    """Return what turns a request's special fields into the field lines that carry its trace on.

    With `b3` (linkerd's `io.l5d.zipkin`) the B3 fields are among them, whether or not they came.
    """
    threshold = sample_threshold(SAMPLE_RATE)

    def trace(special: dict[bytes, bytes]) -> list[bytes]:
        if not special or HEADERS.isdisjoint(special):
            lines = root_lines(rng, threshold)
        else:
            lines = continued_lines(special.items(), rng, threshold)
        return lines[:-2].split(b"\r\n")

    def trace_with_b3(special: dict[bytes, bytes]) -> list[bytes]:
        lines = trace(special)
        if b"b3" not in special and b"x-b3-traceid" not in special:
            parsed = parse_traceparent(lines[2].partition(b": ")[2])
            lines += [name + b": " + value for name, value in write_b3_fields(parsed)] if parsed else []
        return lines

    return trace_with_b3 if b3 else trace
