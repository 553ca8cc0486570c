"""The demo's load: callers that send one request after the other through the agent. An edge module.

Each caller keeps one connection to the agent and names a service as any program with `http_proxy` set does. Between
two requests it pauses, so that the load stays light whatever the machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import h11
import trio

from nodeagent.cli.demo_http import DISCONNECTED, read_message, render

CALLERS = 4  # connections for each service
PAUSE = 0.05  # seconds between two requests of a caller, on average


@dataclass(slots=True)
class Tally:
    """What the callers saw, all together."""

    answered: int = 0
    failed: int = 0
    """Of those, answered with 5xx."""
    lost: int = 0
    """Not answered at all."""


class Caller:
    """Calls one service through the agent at `host` and `port`."""

    def __init__(self, service: str, host: str, port: int, tally: Tally, rng: Random) -> None:
        self._service = service
        self._host = host
        self._port = port
        self._tally = tally
        self._rng = rng

    async def run(self) -> None:
        """Call until cancelled, over a new connection whenever the last one ended."""
        while True:
            await self._pause()
            try:
                async with await trio.open_tcp_stream(self._host, self._port) as stream:
                    await self._converse(stream)
            except (OSError, *DISCONNECTED):
                self._tally.lost += 1

    async def _converse(self, stream: trio.SocketStream) -> None:
        connection = h11.Connection(h11.CLIENT)
        while True:
            await stream.send_all(render(connection, self._request()))
            response = await read_message(connection, stream)
            if not isinstance(response, h11.Response):
                raise trio.BrokenResourceError("closed instead of an answer")
            self._tally.answered += 1
            self._tally.failed += response.status_code >= 500
            await self._pause()
            if connection.our_state is not h11.DONE:  # the answer said Connection: close
                return
            connection.start_next_cycle()

    def _request(self) -> h11.Request:
        return h11.Request(method="GET", target=f"http://{self._service}/", headers=[("host", self._service)])

    async def _pause(self) -> None:
        await trio.sleep(self._rng.uniform(0.5, 1.5) * PAUSE)
