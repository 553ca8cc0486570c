"""aiohttp reads the variables if it is told to: `trust_env=True`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import aiohttp

from tests.clients.programs.conversation import Answer, Body, converse


class Aiohttp:
    def __init__(self, runner: asyncio.Runner) -> None:
        self._run = runner.run
        self._session = runner.run(self._open())

    async def _open(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(trust_env=True)

    async def _ask(self, method: str, url: str, body: bytes | AsyncIterator[bytes] | None = None) -> Answer:
        async with self._session.request(method, url, data=body) as response:
            return Answer(response.status, response.headers, await response.read())

    async def _pair(self, url: str) -> list[Answer]:
        return list(await asyncio.gather(self._ask("GET", url), self._ask("GET", url)))

    async def _lines(self, url: str) -> AsyncIterator[str]:
        async with self._session.get(url) as response:
            async for line in response.content:
                yield line.decode().rstrip()

    def get(self, url: str) -> Answer:
        return self._run(self._ask("GET", url))

    def post(self, url: str, body: Body) -> Answer:
        return self._run(self._ask("POST", url, body if isinstance(body, bytes) else _async(body)))

    def pair(self, url: str) -> list[Answer]:
        return self._run(self._pair(url))

    def events(self, url: str) -> Iterator[str]:
        lines = self._lines(url)

        async def following() -> str | None:
            return await anext(lines, None)

        while (line := self._run(following())) is not None:
            yield line

    def close(self) -> None:
        self._run(self._session.close())


async def _async(parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


with asyncio.Runner() as own_runner:
    library = Aiohttp(own_runner)
    converse(library)
    library.close()
