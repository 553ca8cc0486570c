"""What the endpoints of an experiment answer, when, and what they remember."""

from statistics import fmean, stdev

import msgspec

from bench.resilience.backends import CHECK, FAILED, OK, PATH, Arrivals, Backends, Endpoint, reply
from bench.resilience.scenario import FIRST, SECOND, Backend


def test_a_reply_says_how_long_it_is() -> None:
    assert reply(500, b"abc") == (
        b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nabc"
    )


def test_delays_are_normally_distributed() -> None:
    endpoint = Endpoint(Backend(0.167, 0.005), None, seed=1)
    delays = [endpoint.asked(PATH, 0.0)[0] for _ in range(5000)]
    assert abs(fmean(delays) - 0.167) < 0.0005
    assert abs(stdev(delays) - 0.005) < 0.0005


def test_some_answers_are_failures() -> None:
    endpoint = Endpoint(Backend(0.0, success=0.6), None, seed=1)
    answers = [endpoint.asked(PATH, 0.0)[1] for _ in range(5000)]
    assert set(answers) == {OK, FAILED}
    assert abs(answers.count(OK) / 5000 - 0.6) < 0.03


def test_a_backend_is_slow_for_what_it_is_asked_in_that_time() -> None:
    endpoint = Endpoint(Backend(0.167), FIRST, seed=1)
    delays = [endpoint.asked(PATH, now)[0] for now in (float("-inf"), 14.999, 15.0, 44.999, 45.0)]
    assert delays == [0.167, 0.167, 2.0, 2.0, 0.167]


def test_only_the_first_backend_becomes_slow() -> None:
    now = [0.0]
    backends = Backends(FIRST, lambda: now[0], lambda: 0.0)
    backends.control("/begin/100.0")
    now[0] = 120.0
    slow = [backends.respond(number, PATH)[0] > 1.0 for number in range(11)]
    assert slow == [True] + [False] * 10


def test_checks_and_other_requests_are_no_arrivals() -> None:
    now, cpu = [100.0], [5.0]
    backends = Backends(SECOND, lambda: now[0], lambda: cpu[0])
    assert backends.control("/begin/110.0") == (0.0, OK)
    now[0], cpu[0] = 112.5, 7.0
    for path in (PATH, CHECK, "/warm-up", CHECK):
        backends.respond(3, path)

    _, answer = backends.control("/arrivals")

    arrivals = msgspec.json.decode(answer.partition(b"\r\n\r\n")[2], type=Arrivals)
    assert arrivals.at == [[], [], [], [2.5], [], [], [], [], [], []]
    assert (sum(arrivals.checks), arrivals.checks[3], arrivals.cpu) == (2, 2, 2.0)
