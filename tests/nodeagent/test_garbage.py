"""Full collections are kept short, and what is frozen is still freed."""

from __future__ import annotations

import gc
import weakref

import pytest

from nodeagent import garbage
from nodeagent.garbage import short_collections


class Thing:
    other: Thing | None = None


def test_what_a_long_collection_left_alive_is_not_walked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "LONG", 0.0)
    with short_collections():
        alive = [Thing() for _ in range(10_000)]
        before = gc.get_freeze_count()
        gc.collect()
        frozen = gc.get_freeze_count() - before
        ref = weakref.ref(alive.pop())

    assert frozen > 9000, "all of them, less what was frozen before and is gone"
    assert ref() is None, "frozen, but freed when nothing referred to it any more"


def test_a_short_collection_freezes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "LONG", 3600.0)
    with short_collections():
        before = gc.get_freeze_count()
        gc.collect()
        assert gc.get_freeze_count() <= before  # what was frozen before may be freed


def test_circles_of_what_came_later_are_collected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "LONG", 0.0)
    with short_collections():
        one, two = Thing(), Thing()
        one.other, two.other = two, one
        ref = weakref.ref(one)
        del one, two
        gc.collect()
        assert ref() is None


def test_afterwards_all_is_as_before() -> None:
    before = gc.get_threshold(), len(gc.callbacks)
    with short_collections():
        pass
    assert (gc.get_threshold(), len(gc.callbacks), gc.get_freeze_count()) == (*before, 0)
