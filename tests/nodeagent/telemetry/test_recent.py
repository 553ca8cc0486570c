"""Which requests are remembered, and for how long."""

from __future__ import annotations

from random import Random

from nodeagent.telemetry.recent import Recent
from nodeagent.telemetry.trace import request_id
from tests.nodeagent.telemetry.exchanges import exchange


def ids(recent: Recent) -> list[int]:
    return [int(request_id(each.trace), 16) for each in recent]


def test_the_last_are_kept_the_last_first() -> None:
    recent = Recent(3)
    for number in range(5):
        recent.record(exchange(number))
    assert ids(recent) == [4, 3, 2]
    assert [request_id(each.trace) for each in recent.latest(2)] == [b"%016x" % 4, b"%016x" % 3]


def test_what_is_not_plain_is_kept_longer() -> None:
    recent = Recent(8)  # and two more that are not plain
    for number in range(20):
        recent.record(exchange(number, plain=number % 5 != 0))
    assert ids(recent) == [19, 18, 17, 16, 15, 14, 13, 12, 10, 5]
    assert len(recent) == 10


def test_a_trace_with_several_requests() -> None:
    recent = Recent(8)
    for number in (1, 2, 1):
        recent.record(exchange(number, name=f"/svc/{len(recent)}"))
    assert [each.name for each in recent.find(b"%016x" % 1)] == ["/svc/2", "/svc/0"]
    assert recent.find(b"%016x" % 3) == []


def test_what_never_was_a_request_has_no_id() -> None:
    recent = Recent(8)
    recent.record(exchange(trace=b""))
    assert recent.find(b"") == []
    assert len(recent) == 1


def test_a_part_of_all() -> None:
    recent = Recent(1000, 0.25, Random(7))
    for number in range(1000):
        recent.record(exchange(number))
    assert 200 < len(recent) < 300


def test_those_that_are_wanted() -> None:
    recent = Recent(10)
    for number in range(10):
        recent.record(exchange(number, status=500 if number % 3 == 0 else 200))
    found = recent.latest(2, lambda each: each.status == 500)
    assert [request_id(each.trace) for each in found] == [b"%016x" % 9, b"%016x" % 6]
