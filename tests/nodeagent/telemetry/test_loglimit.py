from nodeagent.telemetry.loglimit import BURST, MAX_EVENTS, SETTLED, LogLimit, Repeats


def test_a_burst_goes_through_and_then_one_line_a_second() -> None:
    limit = LogLimit()

    assert [limit.take(100.0) for _ in range(BURST + 5)] == [0] * BURST + [None] * 5
    assert [limit.take(100.5), limit.take(101.0), limit.take(101.5)] == [None, 6, None]


def test_after_a_pause_there_is_a_whole_burst_again() -> None:
    limit = LogLimit()
    for _ in range(100):
        limit.take(0.0)

    assert [limit.take(60.0) for _ in range(BURST + 1)] == [100 - BURST, *[0] * (BURST - 1), None]


def test_events_do_not_take_from_each_other() -> None:
    repeats: Repeats[str] = Repeats(burst=1)

    assert [repeats.take(event, 5.0) for event in ("a", "b", "a", "c")] == [0, 0, None, 0]


def test_what_was_held_back_last_is_told_once_and_when_it_has_ended() -> None:
    repeats: Repeats[str] = Repeats(burst=1)
    for now in (5.0, 5.1, 5.2):
        repeats.take("a", now)

    assert repeats.untold(5.3) == []
    assert repeats.untold(5.2 + SETTLED) == [("a", 2)]
    assert repeats.untold(100.0) == []
    assert repeats.take("a", 100.0) == 0, "all was told"


def test_any_number_of_events_takes_bounded_room() -> None:
    repeats: Repeats[int] = Repeats(burst=1)
    for event in range(MAX_EVENTS + 1):
        repeats.take(event, 5.0)

    assert (repeats.take(MAX_EVENTS, 5.0), repeats.take(0, 5.0)) == (None, 0)
