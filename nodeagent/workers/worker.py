"""One worker: an agent without an admin port, which does what its supervisor says.

    work -- agent      the traffic
         |- exchange   learns from the other workers, and lets them learn
         |- report     how far it is, and how well
         |- pump       sends what was said
         '- obey       one child a page, or a look of a tap, that is asked for

It ends when it has drained: because the supervisor says so, because the supervisor is gone, or on SIGTERM.
"""

from __future__ import annotations

import functools
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from typing import Final

import structlog
import trio

import conf
from nodeagent.admin.app import admin_app
from nodeagent.admin.tap import news_of
from nodeagent.agent import Agent
from nodeagent.listen import Listening
from nodeagent.process import serving_process
from nodeagent.telemetry import log as logging
from nodeagent.telemetry.tap import Tap
from nodeagent.workers.asking import page_of
from nodeagent.workers.channel import (
    Ask,
    Channel,
    Drain,
    Ping,
    Pong,
    Reopen,
    Seen,
    Standing,
    Start,
    Survey,
    Told,
    ToSupervisor,
    ToWorker,
    Unwatch,
    Watch,
    worker_end,
)
from nodeagent.workers.counts import counts_of
from nodeagent.workers.exchange import exchange
from nodeagent.workers.shares import share_of
from nodeagent.workers.table import Table, neighbours
from nodeagent.workers.taps import Taps

log = structlog.get_logger("nodeagent.worker")

ASKED: Final = 16
"""Pages that are made at once."""

LOOK: Final = 1.0
"""Seconds between two looks at whether it is still as well as it was."""


async def work(sock: socket.socket) -> None:
    """Serve until the supervisor, or a signal, ends it."""
    channel = worker_end(sock)
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGHUP) as signals:
        start = await channel.receive()
        if not isinstance(start, Start):  # the supervisor ended before it had said anything
            await channel.aclose()
            return
        logging.configure(start.log_level)
        structlog.contextvars.bind_contextvars(worker=start.worker)
        worker = Worker(start, channel)
        try:
            with serving_process():
                await worker.run(signals)
        finally:
            await channel.aclose()


class Worker:
    """The agent, and what its supervisor may ask of it."""

    def __init__(self, start: Start, channel: Channel[ToSupervisor, ToWorker]) -> None:
        self._channel = channel
        config = conf.load(start.text, start.origin)
        self._config = share_of(config, start.workers, start.ports, start.memory_limit_mb)
        offset = time.perf_counter() - trio.current_time()  # both run alike; the first is the same for all workers
        peers = functools.partial(neighbours, Table(start.table, start.workers), start.worker, offset)
        self.agent = Agent(self._config, peers=peers, admin=Listening("admin", *start.admin))
        for logger, level, seconds in start.log_changes:
            self.agent.levels.change(logger, level, seconds, trio.current_time())
        self._listeners = [socket.socket(fileno=fd) for fd in start.listeners]
        self._pages = admin_app(self.agent, socket.gethostname())
        self._taps = Taps(self.agent.exchanges)
        self._room = trio.CapacityLimiter(ASKED)
        if start.says_hints:
            self.agent.give_hints()

    async def run(self, signals: AsyncIterator[int]) -> None:
        """Serve until it has drained."""
        async with trio.open_nursery() as root:
            root.start_soon(self._channel.pump)
            root.start_soon(self._obey, root)
            root.start_soon(self._heed, signals)
            root.start_soon(exchange, self.agent.routers)
            async with trio.open_nursery() as traffic:
                await traffic.start(self.agent.run, self._listeners)
                root.start_soon(self._report)
            root.cancel_scope.cancel()

    async def _report(self) -> None:
        """Say how far it is: at once, and when that has changed."""
        told = None
        while True:
            standing = Standing(serves=True, unready=self.agent.readiness(), warnings=self.agent.warnings())
            if standing != told:
                await self._channel.send(standing)
                told = standing
            with trio.move_on_after(LOOK):
                await (trio.sleep_forever if self.agent.primed.is_set() else self.agent.primed.wait)()

    async def _heed(self, signals: AsyncIterator[int]) -> None:
        async for number in signals:
            if number == signal.SIGTERM:
                self.agent.shutdown()
            else:  # to all processes of the service, as systemctl kill does it
                self.agent.reopen_logs()

    async def _obey(self, root: trio.Nursery) -> None:
        """Do what the supervisor says, until it is gone."""
        while (message := await self._channel.receive()) is not None:
            match message:
                case Drain():
                    self.agent.shutdown()
                case Reopen():
                    self.agent.reopen_logs()
                case Ping():
                    await self._channel.send(Pong(message.id))
                case Survey():
                    await self._channel.send(Told(message.id, counts_of(self.agent.stats)))
                case Ask():
                    root.start_soon(self._answer, message)
                case Watch():
                    root.start_soon(self._see, message, self._taps.open(message))  # open before it may be closed
                case Unwatch():
                    self._taps.close(message.tap)
        log.warning("the supervisor is gone")
        self.agent.shutdown()

    async def _answer(self, asked: Ask) -> None:
        async with self._room:
            await self._channel.send(await page_of(self._pages, asked))

    async def _see(self, asked: Watch, tap: Tap) -> None:
        news = await news_of(tap, self.agent.to_epoch(), asked.most)
        await self._channel.send(Seen(asked.id, news.records, news.dropped))


def main() -> None:
    """Run the worker whose channel is the descriptor that the command line has."""
    logging.configure()
    trio.run(work, socket.socket(fileno=int(sys.argv[1])))


if __name__ == "__main__":
    main()
