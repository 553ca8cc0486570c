"""Asks a program whether a request may be sent on. An edge.

An answer has a deadline, and so many questions are under way at most, so that one that hangs holds up only who asks it,
and these not for long. What is no answer is up to the rule.
"""

from __future__ import annotations

import ssl
from collections import Counter

import trio

from namer.httpapi import ApiError, Session, session
from nodeagent.policy.asked import (
    Answer,
    Asking,
    NoAnswerError,
    Remembered,
    Told,
    UnclearError,
    UselessAnswerError,
    told_of,
)
from nodeagent.policy.call import Call

LIMIT = 64 * 1024
"""Bytes of an answer."""

DENIALS = frozenset((401, 403))


class Authorizer:
    """One program that is asked. `run` must run while `ask` is called."""

    def __init__(
        self,
        name: str,
        origin: str,
        asking: Asking,
        remembered: Remembered,
        *,
        inputs: tuple[str, ...],
        headers: tuple[str, ...],
        timeout: float,
        most: int,
        counts: Counter[str],
    ) -> None:
        """`origin` is scheme, host and port. `timeout` is in seconds. `counts` counts by `RESULT NAME`."""
        self.name = name
        self.takes = frozenset(name.encode() for name in asking.takes)
        """Fields of requests that only it says, in lower case."""
        self._origin = origin
        self._asking = asking
        self._remembered = remembered
        self._inputs = inputs
        self._headers = headers
        self._timeout = timeout
        self._most = most
        self._pending = 0
        self._counts = counts
        self._session: Session | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the connections until cancelled."""
        tls = ssl.create_default_context() if self._origin.startswith("https:") else None
        async with session(self._origin, tls=tls) as self._session:
            task_status.started()
            await trio.sleep_forever()

    async def ask(self, call: Call) -> Answer:
        """Return its answer, or one that is remembered. Raises NoAnswerError. Cancelling gives the question up."""
        try:
            told = told_of(call, self._inputs, self._headers)
        except UnclearError as error:
            self._count("denied")
            return Answer(False, str(error))
        answer = self._remembered.get(told, trio.current_time())
        if answer is not None:
            self._count("remembered")
            return answer
        if self._pending >= self._most:
            self._count("failed")
            raise NoAnswerError(f"{self._pending} questions to {self.name} are under way, as many as maxPending allows")
        self._pending += 1
        begun = trio.current_time()
        try:
            answer = await self._answered(told)
        except (ApiError, UselessAnswerError) as error:
            self._count("failed")
            raise NoAnswerError(str(error)) from None
        finally:
            self._pending -= 1
            self._counts[f"microseconds {self.name}"] += round((trio.current_time() - begun) * 1e6)
        self._count("allowed" if answer.allowed else "denied")
        self._remembered.put(told, answer, trio.current_time())
        return answer

    async def _answered(self, told: Told) -> Answer:
        assert self._session is not None, "the agent runs it before it listens"
        question = self._asking.question(told)
        reply = await self._session.call(
            question.method,
            question.path,
            headers=question.headers,
            content=question.content,
            timeout=self._timeout,
            limit=LIMIT,
            answers=DENIALS,
        )
        return self._asking.answer(reply.status, reply.headers, reply.body)

    def _count(self, result: str) -> None:
        self._counts[f"{result} {self.name}"] += 1
