"""What concerns a whole process that serves traffic, whatever runs in it. An edge."""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from nodeagent.garbage import short_collections

SWITCH: Final = 0.0005
"""Seconds that a thread may compute while the loop waits; Python's own are ten times as many."""


MOST: Final = 1 << 20
"""Descriptors of a process for which there is no limit: the kernel's own for one process (fs.nr_open)."""


@contextmanager
def serving_process() -> Iterator[None]:
    """Let nothing hold up the event loop for long while inside; to be entered once everything is loaded.

    A full collection would hold up every request, and so would a thread that reads a long table, because each system
    call of the loop lets it have the interpreter for as long. The soft limit of open files, which is low for
    the sake of programs that use select(2), is raised to the hard one.
    """
    files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files[1], files[1]))
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH)
    try:
        with short_collections():
            yield
    finally:
        sys.setswitchinterval(before)
        resource.setrlimit(resource.RLIMIT_NOFILE, files)


def descriptors() -> int:
    """Return how many descriptors this process may have."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if soft == resource.RLIM_INFINITY else soft
