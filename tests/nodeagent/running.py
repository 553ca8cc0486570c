"""An agent in this process, made of a configuration text, for stories on real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio

import conf
from nodeagent.agent import Agent
from nodeagent.listen import Listening
from tests.nodeagent.proxy.world import Answer, Caller


@dataclass
class Running:
    """A running agent and where it listens."""

    agent: Agent
    listening: tuple[Listening, ...]

    def port(self, what: str) -> int:
        return next(each.port for each in self.listening if each.what == what)

    async def connect(self, what: str) -> trio.SocketStream:
        return await trio.open_tcp_stream("127.0.0.1", self.port(what))

    async def ask(self, what: str, request: bytes) -> Answer:
        async with await self.connect(what) as stream:
            caller = Caller(stream)
            await caller.send(request)
            return await caller.answer()

    async def admin(self, target: str, method: str = "GET") -> Answer:
        return await self.ask("admin", f"{method} {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())


@asynccontextmanager
async def running(
    routers: str, namers: str = "[]", admin: str = "port: 0", telemetry: str = "[]"
) -> AsyncIterator[Running]:
    text = f"admin: {{{admin}}}\nnamers: {namers}\ntelemetry: {telemetry}\nrouters:\n{routers}"
    config = conf.load(text, "test")
    agent = Agent(config)
    async with trio.open_nursery() as nursery:
        yield Running(agent, await nursery.start(agent.run))
        nursery.cancel_scope.cancel()
