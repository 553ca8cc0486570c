"""What concerns a whole process that serves traffic, whatever runs in it. An edge."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from nodeagent.garbage import short_collections

SWITCH: Final = 0.0005
"""Seconds that a thread may compute while the loop waits; Python's own are ten times as many."""


@contextmanager
def serving_process() -> Iterator[None]:
    """Let nothing hold up the event loop for long while inside; to be entered once everything is loaded.

    A full collection would hold up every request, and so would a thread that reads a long table, because each system
    call of the loop lets it have the interpreter for as long.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH)
    try:
        with short_collections():
            yield
    finally:
        sys.setswitchinterval(before)
