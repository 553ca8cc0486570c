"""What a process that serves traffic is set to, and that it is undone."""

from __future__ import annotations

import gc
import resource
import sys

from nodeagent.process import MOST, SWITCH, descriptors, serving_process


def test_threads_and_collections_hold_nobody_up_while_inside() -> None:
    before = sys.getswitchinterval(), gc.get_threshold()
    with serving_process():
        inside = sys.getswitchinterval(), gc.get_threshold()

    assert round(inside[0], 6) == SWITCH
    assert inside[1] != before[1]
    assert (sys.getswitchinterval(), gc.get_threshold()) == before


def test_all_descriptors_that_are_allowed_are_used() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
    try:
        with serving_process():
            inside = descriptors()
        after = descriptors()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert inside == (MOST if hard == resource.RLIM_INFINITY else hard)
    assert after == min(soft, 512)
