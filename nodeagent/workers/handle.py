"""One worker process as its supervisor has it: started, asked, ended. An edge."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Final, TypeVar

import msgspec
import structlog
import trio

from nodeagent.workers.channel import (
    Channel,
    Congested,
    Drain,
    Ping,
    Pong,
    Reopen,
    Reply,
    Standing,
    ToSupervisor,
    ToWorker,
    Unwatch,
)

log = structlog.get_logger("nodeagent.supervisor")

PING: Final = 1.0
"""Seconds between two looks at whether it answers."""
PROMPT: Final = 2.0
"""Seconds within which it answers unless it is in trouble."""
HUNG: Final = 4
"""Looks without an answer, 11 s, after which it is killed. By the clock alone a host that was paused would kill all."""
SLOW_START: Final = 60.0
"""Seconds that it may take from its start to its first word."""

Wanted = TypeVar("Wanted", bound=Reply)


class NoAnswer(Exception):
    """A worker has not answered in time; the text says why."""


class WorkerProcess:
    """A process of `nodeagent.workers.worker`."""

    def __init__(self, process: trio.Process, channel: Channel[ToWorker, ToSupervisor]) -> None:
        self.process = process
        self._channel = channel
        self.served = trio.Event()
        """Set once it serves."""
        self.unready: str | None = "starting"
        self.warnings: list[str] = []
        self.silent = False
        """Whether it gives no answer now, so that there is no use in asking."""
        self.hung = False
        """Whether it was killed because it gave no answer."""
        self._ids = count()
        self._replies: dict[int, trio.MemorySendChannel[Reply]] = {}

    async def run(self, changed: Callable[[], None]) -> int:
        """Look after it until it ends, and return its exit code, negative for a signal.

        `changed` is called when it says how far it is. Cancelling kills it.
        """
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._channel.pump)
                nursery.start_soon(self._listen, changed)
                nursery.start_soon(self._watch)
                code = await self.process.wait()
                nursery.cancel_scope.cancel()
        finally:
            with trio.CancelScope(shield=True):
                self.process.kill()
                await self.process.wait()
                await self._channel.aclose()
        return code

    def drain(self) -> None:
        """Let it end gently; one that takes no messages is killed."""
        try:
            self._channel.post(Drain())
        except Congested:
            self.process.kill()

    def reopen_logs(self) -> None:
        """Let it go on in new files; one that takes no messages will be told with the next signal, or replaced."""
        with suppress(Congested):
            self._channel.post(Reopen())

    def unwatch(self, tap: int) -> None:
        """Close a tap; one that takes no messages is about to be replaced."""
        with suppress(Congested):
            self._channel.post(Unwatch(tap))

    async def call(self, message: Callable[[int], ToWorker], wanted: type[Wanted], seconds: float) -> Wanted:
        """Send what `message` makes of a new id, and return the answer to it. Raises NoAnswer."""
        id_ = next(self._ids)
        told, reply = trio.open_memory_channel[Reply](1)
        self._replies[id_] = told
        try:
            self._channel.post(message(id_))
            with trio.move_on_after(seconds):
                answer = await reply.receive()
                assert isinstance(answer, wanted), "an answer is of the kind that was asked for"
                return answer
        except (Congested, trio.EndOfChannel) as error:
            raise NoAnswer(str(error) or "it ended") from None
        finally:
            self._replies.pop(id_, None)
        raise NoAnswer(f"no answer within {seconds:g} s")

    async def _listen(self, changed: Callable[[], None]) -> None:
        try:
            while (message := await self._channel.receive()) is not None:
                if isinstance(message, Standing):
                    self.unready, self.warnings = message.unready, message.warnings
                    if message.serves:
                        self.served.set()
                    changed()
                elif (told := self._replies.get(message.id)) is not None:
                    told.send_nowait(message)
        except msgspec.DecodeError as error:  # a bug: what it says can no longer be trusted
            log.error("a worker says what is no message", pid=self.process.pid, error=str(error))
            self.process.kill()
        for told in self._replies.values():
            told.close()

    async def _watch(self) -> None:
        """Kill it when it hangs: its replacement serves again."""
        with trio.move_on_after(SLOW_START):
            await self.served.wait()
        unanswered = 0
        while True:
            try:
                await self.call(Ping, Pong, PROMPT)
            except NoAnswer:
                self.silent = True
                unanswered += 1
                if unanswered == HUNG:
                    self.hung = True
                    self.process.kill()
                    return
            else:
                self.silent = False
                unanswered = 0
            await trio.sleep(PING)
