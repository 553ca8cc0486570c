"""Affinity over real sockets: who asks again comes to the same endpoint."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from balancer.backoff import ConstantBackoff
from balancer.params import AccrualParams, BalancerParams
from nodeagent.proxy.affinity import Affinity, ByCookie, ByHeader
from nodeagent.proxy.balance import ClientPolicy
from tests.nodeagent.proxy.world import OK, Answer, Backend, World

BROKEN = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
NAMES = [b"a", b"b", b"c", b"d"]
CALLERS = range(16)


def named(text: bytes, more: bytes = b"") -> Backend:
    return Backend([b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%b\r\n%b" % (len(text), more, text)])


def backends() -> Sequence[Backend]:
    return [named(name) for name in NAMES]


def world(affinity: Affinity) -> World:
    """Return an agent that balances all backends by ring hash; one failure is enough for a long time."""
    accrual = AccrualParams(failures=1, backoff=ConstantBackoff(1000.0))
    policy = ClientPolicy(balancer=BalancerParams("ringHash"), affinity=affinity, accrual=accrual)
    return World(dtab="/svc/web => /#/pool", client=policy, classifier="io.l5d.http.retryableRead5XX")


def get(field: str = "") -> bytes:
    line = f"{field}\r\n" if field else ""
    return f"GET / HTTP/1.1\r\nHost: web\r\n{line}\r\n".encode()


def given(answer: Answer) -> str:
    """Return the cookie of the agent that an answer sets, as a caller sends it back."""
    cookie = answer.get("set-cookie")
    assert cookie is not None
    pair, *attributes = cookie.split("; ")
    assert attributes == ["Path=/", "HttpOnly"]
    return f"Cookie: theirs=1; {pair}"


@pytest.mark.parametrize(
    ("affinity", "field"),
    [
        pytest.param(ByHeader(b"x-user"), "X-User: user-{}", id="header"),
        pytest.param(ByCookie(b"session"), "Cookie: a=1; session=user-{}", id="cookie"),
    ],
)
async def test_each_caller_has_an_endpoint(affinity: Affinity, field: str) -> None:
    async with world(affinity).running(*backends()) as it:
        homes = [{(await it.ask(get(field.format(caller)))).body for _ in range(5)} for caller in CALLERS]
        others = {(await it.ask(get())).body for _ in range(40)}

    assert all(len(home) == 1 for home in homes)
    assert len(set.union(*homes)) > 2
    assert len(others) > 2, "without a key by load"


async def test_only_the_callers_of_an_endpoint_that_died_move() -> None:
    async with world(ByHeader(b"x-user")).running(*backends()) as it:
        requests = [get(f"X-User: user-{caller}") for caller in CALLERS]
        before = [(await it.ask(request)).body for request in requests]
        it.backends[NAMES.index(before[0])].kill()
        answers = [await it.ask(request) for request in requests]

    assert {answer.status for answer in answers} == {200}
    for home, answer in zip(before, answers, strict=True):
        assert (answer.body == home) == (home != before[0])


async def test_a_cookie_that_nobody_set_is_a_key_like_any_other() -> None:
    async with world(ByCookie(b"session", sets=True)).running(*backends()) as it:
        answers = [await it.ask(get("Cookie: session=forged")) for _ in range(5)]

    assert len({answer.body for answer in answers}) == 1
    assert {answer.get("set-cookie") for answer in answers} == {None}


async def test_a_caller_without_a_cookie_is_given_one_that_leads_back() -> None:
    async with world(ByCookie(b"session", sets=True)).running(*backends()) as it:
        homes = set()
        for _ in CALLERS:
            first = await it.ask(get("Cookie: theirs=1"))
            again = {(await it.ask(get(given(first)))).body for _ in range(5)}
            assert again == {first.body}
            homes |= again

    assert len(homes) > 2


async def test_a_cookie_that_cannot_be_read_is_replaced() -> None:
    async with world(ByCookie(b"session", sets=True)).running(*backends()) as it:
        answer = await it.ask(get('Cookie: session="half'))

    assert given(answer).startswith("Cookie: theirs=1; session=")


async def test_no_cookie_is_set_unless_that_is_wanted() -> None:
    async with world(ByCookie(b"session")).running(*backends()) as it:
        assert (await it.ask(get())).get("set-cookie") is None


async def test_the_cookie_of_the_service_comes_first() -> None:
    own = named(b"a", b"Set-Cookie: session=theirs\r\n")
    async with world(ByCookie(b"session", sets=True)).running(own) as it:
        answer = await it.ask(get())

    assert answer.head.count(b"et-Cookie:") == 1
    assert answer.get("set-cookie") == "session=theirs"


async def test_a_failure_binds_nobody_to_its_endpoint() -> None:
    async with world(ByCookie(b"session", sets=True)).running(Backend([BROKEN])) as it:
        answer = await it.ask(get())

    assert (answer.status, answer.get("set-cookie")) == (500, None)


async def test_who_was_served_at_the_second_attempt_stays_there() -> None:
    async with world(ByCookie(b"session", sets=True)).running(Backend([BROKEN]), named(b"good")) as it:
        for _ in range(10):
            first = await it.ask(get())
            assert (first.status, first.body) == (200, b"good")
            assert (await it.ask(get(given(first)))).body == b"good"


async def test_a_retry_goes_on_to_another_endpoint_of_the_ring() -> None:
    async with world(ByHeader(b"x-user")).running(Backend([BROKEN]), Backend([BROKEN]), named(b"good")) as it:
        answers = [await it.ask(get(f"X-User: user-{caller}")) for caller in CALLERS]

    assert {(answer.status, answer.body) for answer in answers} == {(200, b"good")}


async def test_a_streamed_answer_carries_the_cookie_too() -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    async with world(ByCookie(b"session", sets=True)).running(Backend([chunked])) as it:
        answer = await it.ask(get())

    assert answer.body == b"ok"
    assert given(answer)


async def test_a_tunnel_goes_by_the_header_of_its_connect() -> None:
    async with world(ByHeader(b"x-user")).running(*backends()) as it:
        request = b"CONNECT web:80 HTTP/1.1\r\nHost: web:80\r\nX-User: user-1\r\n\r\n"
        ends = set()
        for _ in range(6):
            caller = await it.connect()
            async with caller.stream:
                await caller.send(request)
                assert (await caller.answer("CONNECT")).status == 200
                await caller.send(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
                ends.add((await caller.answer()).body)
        plain = (await it.ask(get("X-User: user-1"))).body

    assert ends == {plain}


async def test_the_time_of_an_attempt_is_limited_as_ever() -> None:
    policy = ClientPolicy(attempt_timeout=5.0, affinity=ByHeader(b"x-user"), balancer=BalancerParams("ringHash"))
    async with World(dtab="/svc/web => /#/pool", client=policy).running(Backend([OK])) as it:
        assert (await it.ask(get("X-User: x"))).status == 200
