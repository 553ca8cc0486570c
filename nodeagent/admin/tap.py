"""The tap: `/tap`, live requests as server-sent events (WHATWG HTML, 9.2), for as long as somebody watches.

    data: {...}                                a request: its record, as in /requests.json
    event: dropped   data: {"dropped": 17}     so many more were wanted, and not told
    event: missing   data: {"missing": [...]}  which workers are not heard, and why; none any more: []
    : ...                                      the beginning, and that nothing has come for some seconds

While nobody watches nothing here runs, and no request costs anything for it. A watcher's requests wait in its queue;
they are made into text in its own task, a few at a time and in a bounded part of the time, with traffic in between.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final, NamedTuple, TypeAlias

import msgspec
import trio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from nodeagent.admin.answers import to_json
from nodeagent.admin.requests import wanted_by
from nodeagent.telemetry.decision import Json, show_exchange
from nodeagent.telemetry.exchange import Exchanges
from nodeagent.telemetry.filter import Filter
from nodeagent.telemetry.tap import Tap

AT_ONCE: Final = 4
"""Taps: each looks at every request."""
MOST: Final = 1_000_000
"""Requests that may be asked for by number."""
PERIOD: Final = 0.1
"""Seconds between two looks at what has come: nobody reads quicker."""
PART: Final = 0.1
"""Of the time that making text may take: with much of it, the looks are further apart."""
LONGEST: Final = 1.0
"""Seconds between two looks at most."""
BATCH: Final = 500
"""Records of one look, about 1 KB each."""
TURN: Final = 5
"""Records before others get their turn: a quarter of a millisecond."""
QUIET: Final = 5.0
"""Seconds without a request after which a comment says that all is well."""


class News(NamedTuple):
    """What there is to tell since the last look."""

    records: list[bytes]
    """In JSON."""
    dropped: int
    missing: tuple[str, ...] = ()
    """Workers that have no part in it, and why."""


Look: TypeAlias = Callable[[int], Awaitable[News]]
"""Returns what has come, at most so many records of it."""

Watching: TypeAlias = Callable[[Filter], AbstractContextManager[Look]]
"""Watches what a filter wants while its block runs."""


class TapPage:
    """The page, whoever it is that watches."""

    def __init__(self, watching: Watching) -> None:
        self._watching = watching
        self._open = 0

    async def page(self, request: Request) -> _Stream:
        """Answer with what `?filter=` wants, and end after `?limit=` of them.

        Raises HTTPException: 400 for a filter or limit that is none, 503 when there are enough taps.
        """
        wanted, limit = wanted_by(request), _limit(request)
        if self._open >= AT_ONCE:
            raise HTTPException(503, f"{AT_ONCE} taps are open, and that is as many as there may be: end one of them")
        return _Stream(self._opened(wanted), 0 if request.method == "HEAD" else limit)

    @contextmanager
    def _opened(self, wanted: Filter) -> Iterator[Look]:
        self._open += 1
        try:
            with self._watching(wanted) as look:
                yield look
        finally:
            self._open -= 1


class _Stream:
    """The answer: an ASGI application that ends when its caller hangs up, and leaves nothing behind."""

    def __init__(self, opened: AbstractContextManager[Look], limit: int) -> None:
        self._opened = opened
        self._left = limit
        self._said: tuple[str, ...] = ()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
        with self._opened as look:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_until_gone, receive, nursery.cancel_scope)
                await self._tell(look, send)
                await send({"type": "http.response.body", "body": b""})
                nursery.cancel_scope.cancel()

    async def _tell(self, look: Look, send: Send) -> None:
        events = self._events(await look(0))  # from here on nothing is missed, and whoever asked is told so
        events, pause, spoke = b": watching\n\n" + events, PERIOD, trio.current_time()
        while True:
            if events:
                await send({"type": "http.response.body", "body": events, "more_body": True})
                spoke = trio.current_time()
            if self._left == 0:
                return
            await trio.sleep(pause)
            began = trio.current_time()
            news = await look(min(self._left, BATCH))
            now = trio.current_time()
            self._left -= len(news.records)
            events = self._events(news) or (b": quiet\n\n" if now >= spoke + QUIET else b"")
            pause = min(max(PERIOD, (now - began) / PART), LONGEST)

    def _events(self, news: News) -> bytes:
        events = [b"data: %b\n\n" % record for record in news.records]
        if news.dropped:
            events.append(b"event: dropped\ndata: %b\n\n" % to_json({"dropped": news.dropped}))
        if news.missing != self._said:
            events.append(b"event: missing\ndata: %b\n\n" % to_json({"missing": news.missing}))
            self._said = news.missing
        return b"".join(events)


@contextmanager
def watching(exchanges: Exchanges, to_epoch: Callable[[], float], wanted: Filter) -> Iterator[Look]:
    """Watch the requests of this process while the block runs. `to_epoch()` is as in `show_exchange`."""
    tap = Tap(wanted)
    exchanges.watch(tap.hear)
    try:
        yield lambda most: news_of(tap, to_epoch(), most)
    finally:
        exchanges.unwatch(tap.hear)


async def news_of(tap: Tap, to_epoch: float, most: int) -> News:
    """Take what waits in a tap, with others getting their turn in between; cancelling loses what was taken."""
    exchanges, dropped = tap.take(most)
    records = []
    for number, exchange in enumerate(exchanges):
        if number % TURN == 0:
            await trio.lowlevel.checkpoint()
        records.append(_encoded(show_exchange(exchange, to_epoch)))
    return News(records, dropped)


def _encoded(record: Json) -> bytes:
    """A record as JSON, in an eighth of the time of `to_json`, which takes names that are no text, too."""
    try:
        return msgspec.json.encode(record)
    except UnicodeEncodeError:
        return to_json(record)


async def _until_gone(receive: Receive, scope: trio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


def _limit(request: Request) -> int:
    """After how many requests it ends."""
    text = request.query_params.get("limit")
    if text is None:
        return sys.maxsize
    if not (text.isascii() and text.isdigit() and len(text) < 8 and 1 <= int(text) <= MOST):
        raise HTTPException(400, f"limit={text[:40]!r}: expected a number of requests, 1 to {MOST}")
    return int(text)
