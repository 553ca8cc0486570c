"""What a process that serves traffic is set to, and that it is undone."""

from __future__ import annotations

import gc
import sys

from nodeagent.process import SWITCH, serving_process


def test_threads_and_collections_hold_nobody_up_while_inside() -> None:
    before = sys.getswitchinterval(), gc.get_threshold()
    with serving_process():
        inside = sys.getswitchinterval(), gc.get_threshold()

    assert round(inside[0], 6) == SWITCH
    assert inside[1] != before[1]
    assert (sys.getswitchinterval(), gc.get_threshold()) == before
