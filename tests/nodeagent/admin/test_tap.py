"""The tap: live requests as events, while somebody watches and no longer."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import pytest
import trio
import trio.testing
from starlette.exceptions import HTTPException
from starlette.requests import Request

from nodeagent.admin.app import admin_app
from nodeagent.admin.tap import AT_ONCE, BATCH, QUIET, News, TapPage, watching
from nodeagent.telemetry.exchange import Exchanges
from nodeagent.telemetry.filter import Filter
from nodeagent.telemetry.tap import QUEUE
from tests.nodeagent.admin.fakes import MACHINE, FakeAgent, asking
from tests.nodeagent.admin.test_serve import served
from tests.nodeagent.telemetry.exchanges import exchange


class Watcher:
    """One who asks for `/tap` and takes what comes, without a socket."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.text = ""
        self.ended = False
        self.takes = trio.Event()
        self.takes.set()
        self.gone = trio.Event()

    async def receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
        else:
            await self.takes.wait()
            self.text += message["body"].decode()
            self.ended = not message.get("more_body", False)

    def records(self) -> list[dict[str, Any]]:
        events = [event for event in self.text.split("\n\n") if event.startswith("data: ")]
        return [json.loads(event.removeprefix("data: ")) for event in events]

    def told(self, event: str) -> list[Any]:
        lead = f"event: {event}\ndata: "
        return [json.loads(each.removeprefix(lead)) for each in self.text.split("\n\n") if each.startswith(lead)]


@asynccontextmanager
async def tapped(agent: FakeAgent, query: str = "", method: str = "GET") -> AsyncIterator[Watcher]:
    """A tap for the time of the block; what comes needs some virtual time."""
    watcher, app = Watcher(), admin_app(agent, MACHINE)
    scope = {"type": "http", "method": method, "path": "/tap", "query_string": query.encode(), "headers": []}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(app, scope, watcher.receive, watcher.send)
        await trio.testing.wait_all_tasks_blocked()
        yield watcher
        watcher.gone.set()


async def test_each_request_is_an_event_with_its_record(autojump_clock: trio.testing.MockClock) -> None:
    agent = FakeAgent()
    async with tapped(agent) as watcher:
        assert (watcher.status, watcher.text) == (200, ": watching\n\n")
        assert watcher.headers[b"content-type"] == b"text/event-stream; charset=utf-8"
        agent.exchanges.tell(exchange(0xAB, path=b"/x\r\n\r\ndata: forged\xff"))
        agent.exchanges.tell(exchange(0xAC, status=503))
        await trio.sleep(1)
        first, second = watcher.records()
    assert first["id"] == f"{0xAB:016x}"
    assert first["url"] == "http://users/x\\x0d\\x0a\\x0d\\x0adata: forged\\xff"
    assert (second["status"], second["choice"]) == (503, "127.0.0.1:8081")


async def test_a_name_that_is_no_text_does_not_end_it(autojump_clock: trio.testing.MockClock) -> None:
    agent = FakeAgent()
    async with tapped(agent) as watcher:
        agent.exchanges.tell(exchange(name="/svc/\udcff"))
        agent.exchanges.tell(exchange(name="/svc/\u00e9\n"))
        await trio.sleep(1)
    assert [record["name"] for record in watcher.records()] == ["/svc/\udcff", "/svc/\u00e9\n"]


async def test_only_what_the_filter_wants_and_no_more_than_the_limit(autojump_clock: trio.testing.MockClock) -> None:
    agent = FakeAgent()
    async with tapped(agent, "filter=status%3E%3D500&limit=2") as watcher:
        for status in (200, 500, 201, 502, 503):
            agent.exchanges.tell(exchange(status=status))
        await trio.sleep(1)
        assert [record["status"] for record in watcher.records()] == [500, 502]
        assert watcher.ended
        assert agent.exchanges.watchers == ()


async def test_nobody_watches_before_and_after(autojump_clock: trio.testing.MockClock) -> None:
    agent = FakeAgent()
    assert agent.exchanges.watchers == ()
    async with tapped(agent):
        assert len(agent.exchanges.watchers) == 1
    assert agent.exchanges.watchers == ()


async def test_a_head_request_has_no_stream(autojump_clock: trio.testing.MockClock) -> None:
    agent = FakeAgent()
    async with tapped(agent, method="HEAD") as watcher:
        assert (watcher.status, watcher.ended, agent.exchanges.watchers) == (200, True, ())


async def test_in_quiet_times_it_says_that_it_lives(autojump_clock: trio.testing.MockClock) -> None:
    async with tapped(FakeAgent()) as watcher:
        await trio.sleep(3 * QUIET + 1)
    assert watcher.text == ": watching\n\n" + ": quiet\n\n" * 3


async def test_who_takes_nothing_is_told_how_much_was_dropped(autojump_clock: trio.testing.MockClock) -> None:
    agent = FakeAgent()
    async with tapped(agent) as watcher:
        watcher.takes = trio.Event()
        agent.exchanges.tell(exchange())
        await trio.sleep(1)  # now it waits for this one to be taken
        for number in range(QUEUE + 20):
            agent.exchanges.tell(exchange(number))
        await trio.sleep(1)
        watcher.takes.set()
        await trio.sleep(2 + QUEUE / BATCH)
    assert len(watcher.records()) == 1 + QUEUE
    assert watcher.told("dropped") == [{"dropped": 20}]


async def test_workers_that_are_not_heard_are_told_once(autojump_clock: trio.testing.MockClock) -> None:
    missing = [(), ("worker 1: is replaced",), ("worker 1: is replaced",), ()]

    async def look(most: int) -> News:
        return News([], 0, missing.pop(0)) if missing else News([], 0)

    agent = FakeAgent()
    watcher = Watcher()
    page = TapPage(lambda wanted: nullcontext(look))
    scope = {"type": "http", "method": "GET", "path": "/tap", "query_string": b"", "headers": []}
    stream = await page.page(Request(scope))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream, scope, watcher.receive, watcher.send)
        await trio.sleep(2)
        watcher.gone.set()
    assert watcher.told("missing") == [{"missing": ["worker 1: is replaced"]}, {"missing": []}]
    assert agent.exchanges.watchers == ()


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("filter=stats=5", "filter: there is no field 'stats'; did you mean status?"),
        ("limit=0", "limit='0': expected a number of requests, 1 to 1000000"),
        ("limit=-1", "limit='-1': expected"),
    ],
)
@pytest.mark.parametrize("path", ["/tap", "/requests.json"])
async def test_what_is_no_question(path: str, query: str, says: str) -> None:
    async with asking(FakeAgent()) as client:
        answer = await client.get(f"{path}?{query}")
    assert answer.status_code == 400
    assert says.removesuffix(", 1 to 1000000") in answer.text
    assert answer.text.count("\n") <= 1


async def test_there_are_only_so_many_at_once(autojump_clock: trio.testing.MockClock) -> None:
    exchanges = Exchanges()

    def watched(wanted: Filter) -> Any:
        return watching(exchanges, lambda: 0.0, wanted)

    page, watchers = TapPage(watched), [Watcher() for _ in range(AT_ONCE)]
    scope = {"type": "http", "method": "GET", "path": "/tap", "query_string": b"", "headers": []}
    async with trio.open_nursery() as nursery:
        for watcher in watchers:
            nursery.start_soon(await page.page(Request(scope)), scope, watcher.receive, watcher.send)
            await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(HTTPException) as raised:
            await page.page(Request(scope))
        assert (raised.value.status_code, raised.value.detail.startswith(f"{AT_ONCE} taps are open")) == (503, True)
        watchers[0].gone.set()
        await trio.testing.wait_all_tasks_blocked()
        assert await page.page(Request(scope))
        for watcher in watchers:
            watcher.gone.set()


async def test_recent_requests_by_the_same_filter() -> None:
    agent = FakeAgent()
    assert agent.recent is not None
    for number in range(6):
        agent.recent.record(exchange(number, status=500 if number % 2 else 200))
    async with asking(agent) as client:
        found = (await client.get("/requests.json", params={"filter": "status>=500", "limit": "2"})).json()
    assert [each["id"] for each in found] == [f"{5:016x}", f"{3:016x}"]


async def until(holds: Callable[[], bool]) -> None:
    with trio.fail_after(10):
        while not holds():
            await trio.sleep(0.01)


async def test_on_a_real_socket_it_ends_with_its_caller() -> None:
    agent = FakeAgent()
    async with served(agent) as port:
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(b"GET /tap?filter=service~users HTTP/1.1\r\nHost: localhost\r\n\r\n")
            received = b""
            while b": watching" not in received:
                received += await stream.receive_some()
            agent.exchanges.tell(exchange(0xAB))
            while b"data: {" not in received:
                received += await stream.receive_some()
        await until(lambda: agent.exchanges.watchers == ())
