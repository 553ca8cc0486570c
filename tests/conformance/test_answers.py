"""Broken answers of backends, in bytes, through a running agent: a clear error, one form, or an abort."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest
import trio

from tests.conformance.answers import BAD_ANSWERS, ODD_ANSWERS, TORN
from tests.conformance.rules import BadAnswer, OddAnswer, Torn
from tests.nodeagent.proxy.world import Backend, World

ANSWERS: tuple[BadAnswer | Torn | OddAnswer, ...] = (*BAD_ANSWERS, *TORN, *ODD_ANSWERS)


class Says(Backend):
    """Answers each request with `reply`, or as much of it as the agent cares to hear."""

    def __init__(self) -> None:
        super().__init__([self._say])
        self.reply = b""

    async def _say(self, stream: trio.SocketStream, _: bytes) -> bool:
        with contextlib.suppress(trio.BrokenResourceError):
            await stream.send_all(self.reply)
        return True


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with World().running(Says()) as running:
        yield running


async def hear(world: World, reply: bytes, method: bytes = b"GET") -> tuple[bytes, bool, bool]:
    """Let the backend say `reply` to a request whose caller then sends no more.

    Return what the caller got, whether that ended in a break, and whether the backend's connection was kept.
    """
    backend = world.backends[0]
    assert isinstance(backend, Says)
    backend.reply = reply
    caller = await world.connect()
    got, broken = b"", False
    with trio.fail_after(10):
        async with caller.stream:
            await caller.send(method + b" / HTTP/1.1\r\nHost: web\r\n\r\n")
            await caller.stream.send_eof()
            try:
                while data := await caller.stream.receive_some():
                    got += data
            except trio.BrokenResourceError:
                broken = True
        while world.server.conversations or world.server.in_flight:
            await trio.sleep(0.001)
    kept = any(client.connections for client in world.router.bindings.clients.values())
    return got, broken, kept


def brief(reply: bytes) -> str:
    return f"{reply[:200]!r}" + ("..." if len(reply) > 200 else "")


@pytest.mark.parametrize("row", [pytest.param(row, id=row.id) for row in BAD_ANSWERS])
async def test_what_is_no_answer_is_a_502(world: World, row: BadAnswer) -> None:
    wrong = {}
    for reply in row.examples:
        got, broken, kept = await hear(world, reply)
        final = got[got.rfind(b"HTTP/1.1 502 ") :]
        if not final.startswith(b"HTTP/1.1 502 ") or b"error=http_protocol_error;" not in final or broken or kept:
            wrong[brief(reply)] = got, broken, kept

    assert wrong == {}


@pytest.mark.parametrize("row", [pytest.param(row, id=row.id) for row in TORN])
async def test_a_torn_answer_ends_in_an_abort(world: World, row: Torn) -> None:
    wrong = {}
    for reply in row.examples:
        got, broken, kept = await hear(world, reply)
        told = got.startswith(b"HTTP/1.1 502 ") and b"error=http_protocol_error;" in got
        if got.endswith(b"0\r\n\r\n") or not (broken or told) or kept:
            wrong[brief(reply)] = got[-100:], broken, kept

    assert wrong == {}


@pytest.mark.parametrize("row", [pytest.param(row, id=row.id) for row in ODD_ANSWERS])
async def test_an_odd_answer_passes_in_one_form(world: World, row: OddAnswer) -> None:
    wrong = {}
    for (method, reply), (form, keeps) in row.examples.items():
        got, broken, kept = await hear(world, reply, method)
        if (got, broken, kept) != (form, False, keeps):
            wrong[brief(reply)] = got, form, broken, kept

    assert wrong == {}
