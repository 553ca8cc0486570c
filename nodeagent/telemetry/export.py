"""Hands spans to a collector, so that one that hangs or dies costs requests nothing and memory little. An edge.

    requests --record, never waits--> queue, bounded --run, one task--> spans, in batches --> collector
                  '- dropped when it is full                               '- tried again, then failed

A request is kept as it is and becomes spans when its turn comes, one by one, so that none waits for a whole batch.
"""

from __future__ import annotations

import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, Protocol, TypeAlias

import structlog
import trio

from nodeagent.telemetry.decision import show_time
from nodeagent.telemetry.exchange import Exchange
from nodeagent.telemetry.spans import Span, span_count
from nodeagent.telemetry.trace import is_recorded

log = structlog.get_logger("nodeagent.export")

QUEUE: Final = 2048
"""Requests that wait for their turn, about 1 KB each."""
BATCH: Final = 512
"""Spans from which a batch is handed over."""
LINGER: Final = 1.0
"""Seconds that a batch waits for more."""
PAUSES: Final = (1.0, 2.0, 4.0)
"""Seconds before the second, third... try of a batch."""

_TRANSIENT: Final = frozenset({429, 502, 503, 504})
"""What a collector answers that may take the same batch later (OTLP, failures)."""

PIECE: Final = 16
"""Spans that are encoded at a time: a millisecond, after which requests have their turn."""

Deliver: TypeAlias = Callable[[Sequence[Span]], Awaitable[None]]
"""Hands a batch over. Raises DeliveryError; cancelling is safe."""


class Encoder(Protocol):
    """How a collector wants spans."""

    def encode(self, spans: Sequence[Span]) -> bytes:
        """Return some spans as a body of a request."""
        ...

    def join(self, bodies: Sequence[bytes]) -> bytes:
        """Return one body that says what all of these do."""
        ...


class DeliveryError(Exception):
    """A batch was not taken. `transient` when it may be another time."""

    def __init__(self, message: str, *, transient: bool) -> None:
        super().__init__(message)
        self.transient = transient


class SpanExporter:
    """One place where spans go; `record` watches an agent's `Exchanges`."""

    def __init__(
        self,
        name: str,
        connect: Callable[[], AbstractAsyncContextManager[Deliver]],
        *,
        spans_of: Callable[[Exchange], list[Span]],
        counts: Counter[str],
        queue: int = QUEUE,
        pauses: Sequence[float] = PAUSES,
    ) -> None:
        """`name` is for people, `connect` opens the way there, `counts` hears what became of spans.

        Nothing is opened before `run`.
        """
        self.name = name
        self._connect = connect
        self._spans_of = spans_of
        self._counts = counts
        self._pauses = pauses
        self._send, self._receive = trio.open_memory_channel[Exchange](queue)
        self._closed = trio.Event()
        self._done = trio.Event()
        self._refused = False

    def record(self, exchange: Exchange) -> None:
        """Take a request that is over, if it is recorded and there is room."""
        if not is_recorded(exchange.trace):
            return
        try:
            self._send.send_nowait(exchange)
        except (trio.WouldBlock, trio.ClosedResourceError):
            self._counts["dropped"] += span_count(exchange)

    async def run(self) -> None:
        """Hand over what is recorded until `close`, and then the rest. Cancelling leaves what is not handed over."""
        try:
            async with self._connect() as deliver:
                while (batch := await self._batch()) is not None:
                    await self._hand_over(batch, deliver)
        finally:
            self._done.set()

    def close(self) -> None:
        """Take no more: `run` ends once the rest is handed over, each batch being tried once."""
        self._send.close()
        self._closed.set()

    async def ended(self) -> None:
        """Wait until `run` has ended. Cancelling is safe."""
        await self._done.wait()

    async def _batch(self) -> list[Span] | None:
        """Wait for spans; None when there will be no more."""
        spans: list[Span] = []
        try:
            spans += self._made_of(await self._receive.receive())
            with trio.move_on_after(LINGER):
                while len(spans) < BATCH:
                    spans += self._made_of(await self._receive.receive())
        except trio.EndOfChannel:
            return spans or None
        return spans

    def _made_of(self, exchange: Exchange) -> list[Span]:
        try:
            return self._spans_of(exchange)
        except Exception:
            log.exception("a bug: a request has no spans", to=self.name)
            return []

    async def _hand_over(self, batch: Sequence[Span], deliver: Deliver) -> None:
        for pause in (*self._pauses, None):
            try:
                await deliver(batch)
            except DeliveryError as error:
                self._say_refused(error)
                if pause is None or not error.transient or self._closed.is_set():
                    break
                with trio.move_on_after(pause):
                    await self._closed.wait()
            except Exception:
                log.exception("a bug: spans are lost", to=self.name)
                break
            else:
                self._counts["exported"] += len(batch)
                self._say_taken()
                return
        self._counts["failed"] += len(batch)

    def _say_refused(self, error: DeliveryError) -> None:
        if not self._refused:
            self._refused = True
            log.warning("spans cannot be handed over; they are lost while that is so", to=self.name, error=str(error))

    def _say_taken(self) -> None:
        if self._refused:
            self._refused = False
            log.info("spans are handed over again", to=self.name)


def over_http(
    url: str,
    path: str,
    encoder: Encoder,
    *,
    headers: Mapping[str, str],
    timeout: float,
) -> Callable[[], AbstractAsyncContextManager[Deliver]]:
    """The way to a collector at `url`, to which batches are sent by POST. `timeout` is in seconds, for each."""

    # httpx: only where it is used, and before there is traffic that would wait for it.
    from namer.httpapi import ApiError, NoAnswerError, StatusError, session

    tls = ssl.create_default_context() if url.startswith("https:") else None

    @asynccontextmanager
    async def connect() -> AsyncIterator[Deliver]:
        async def deliver(batch: Sequence[Span]) -> None:
            bodies = []
            for at in range(0, len(batch), PIECE):
                bodies.append(encoder.encode(batch[at : at + PIECE]))
                await trio.lowlevel.checkpoint()
            try:
                await client.call("POST", path, headers=headers, content=encoder.join(bodies), timeout=timeout)
            except StatusError as error:
                raise DeliveryError(str(error), transient=error.status in _TRANSIENT) from None
            except ApiError as error:
                raise DeliveryError(str(error), transient=isinstance(error, NoAnswerError)) from None

        async with session(url, tls=tls) as client:
            yield deliver

    return connect


def into_the_log(level: str) -> Callable[[], AbstractAsyncContextManager[Deliver]]:
    """The way into the agent's own log: a line for each span."""

    @asynccontextmanager
    async def connect() -> AsyncIterator[Deliver]:
        write = getattr(structlog.get_logger("nodeagent.span"), level.lower())

        async def deliver(batch: Sequence[Span]) -> None:
            for span in batch:
                write(
                    "span",
                    trace=f"{span.trace_id:032x}",
                    span=f"{span.span_id:016x}",
                    parent=None if span.parent_id is None else f"{span.parent_id:016x}",
                    name=span.name,
                    kind=span.kind.value,
                    started=show_time(span.started),
                    duration_ms=round((span.ended - span.started) * 1000, 3),
                    error=span.error,
                    **span.attributes,
                )
                await trio.lowlevel.checkpoint()

        yield deliver

    return connect
