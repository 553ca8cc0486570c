"""Which trace fields a router sends on."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from nodeagent.proxy.messages import block_of
from nodeagent.telemetry.trace import (
    HEADERS,
    carried,
    continued_lines,
    root_lines,
    sample_threshold,
    write_b3_fields,
)

SAMPLE_RATE = 0.001
"""Of the traces that begin here; a caller's own decision, or its l5d-sample, is followed."""


def make_trace(rng: random.Random, *, b3: bool) -> Callable[[Mapping[bytes, bytes]], bytes]:
    """Return what turns a request's special fields into the field lines that carry its trace on.

    With `b3` (linkerd's `io.l5d.zipkin`) the B3 fields are among them, whether or not they came.
    """
    threshold = sample_threshold(SAMPLE_RATE)

    def trace(special: Mapping[bytes, bytes]) -> bytes:
        if not special or HEADERS.isdisjoint(special):
            return root_lines(rng, threshold)
        return continued_lines(special.items(), rng, threshold)

    def trace_with_b3(special: Mapping[bytes, bytes]) -> bytes:
        fields = trace(special)
        if b"b3" in special or b"x-b3-traceid" in special:
            return fields
        return fields + block_of(name + b": " + value for name, value in write_b3_fields(carried(fields)))

    return trace_with_b3 if b3 else trace
