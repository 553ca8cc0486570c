"""The profile's lines: per request, the dearest function first."""

from bench.profile import Record, top_functions


def test_functions_are_listed_by_their_own_time_per_request() -> None:
    record: Record = {
        ("/lib/site-packages/trio/_core/_run.py", 12, "run"): (10, 10, 0.001, 0.010, {}),
        ("~", 0, "<method 'recv' of '_socket.socket' objects>"): (2000, 2000, 0.004, 0.004, {}),
        ("/src/nodeagent/proxy/dispatch.py", 7, "dispatch"): (1000, 1000, 0.002, 0.009, {}),
    }

    header, *lines = top_functions(record, requests=1000, count=2)

    assert header.split() == ["own", "us", "with", "callees", "calls", "per", "request,", "function"]
    assert [line.split(maxsplit=3) for line in lines] == [
        ["4.00", "4.00", "2.00", "<method 'recv' of '_socket.socket' objects>"],
        ["2.00", "9.00", "1.00", "proxy/dispatch.py:7 dispatch"],
    ]
