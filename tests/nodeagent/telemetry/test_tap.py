"""What a watcher of live requests has yet to see."""

from __future__ import annotations

from nodeagent.telemetry.exchange import Exchanges
from nodeagent.telemetry.filter import Filter
from nodeagent.telemetry.tap import QUEUE, Tap
from tests.nodeagent.telemetry.exchanges import exchange


def test_what_is_wanted_waits_until_it_is_taken() -> None:
    tap = Tap(Filter("status>=500"))
    for status in (200, 500, 404, 503, 502):
        tap.hear(exchange(status=status))
    first, dropped = tap.take(2)
    assert ([each.status for each in first], dropped) == ([500, 503], 0)
    rest, _ = tap.take(10)
    assert [each.status for each in rest] == [502]
    assert tap.take(10) == ([], 0)


def test_what_there_is_no_room_for_is_counted_and_only_what_is_wanted() -> None:
    tap = Tap(Filter("method=GET"))
    for number in range(QUEUE + 7):
        tap.hear(exchange(number))
        tap.hear(exchange(number, method=b"POST"))
    taken, dropped = tap.take(QUEUE)
    assert (len(taken), dropped) == (QUEUE, 7)
    tap.hear(exchange())
    assert tap.take(QUEUE)[1] == 0


def test_it_watches_beside_others() -> None:
    exchanges, tap, other = Exchanges(), Tap(Filter()), Tap(Filter())
    exchanges.watch(tap.hear)
    exchanges.watch(other.hear)
    exchanges.unwatch(other.hear)
    exchanges.tell(exchange())
    assert len(tap.take(10)[0]) == 1
    assert other.take(10) == ([], 0)
