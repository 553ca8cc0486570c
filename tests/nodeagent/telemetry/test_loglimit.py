from nodeagent.telemetry.loglimit import BURST, LogLimit


def test_a_burst_goes_through_and_then_one_line_a_second() -> None:
    limit = LogLimit()

    assert [limit.take(100.0) for _ in range(BURST + 5)] == [0] * BURST + [None] * 5
    assert [limit.take(100.5), limit.take(101.0), limit.take(101.5)] == [None, 6, None]


def test_after_a_pause_there_is_a_whole_burst_again() -> None:
    limit = LogLimit()
    for _ in range(100):
        limit.take(0.0)

    assert [limit.take(60.0) for _ in range(BURST + 1)] == [100 - BURST, *[0] * (BURST - 1), None]
