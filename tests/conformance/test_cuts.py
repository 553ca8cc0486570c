"""However the network cuts a message, it is the same message; and wherever an answer breaks off, it is no clean end."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
import trio

from tests.conformance.recorder import Recorder, without_own
from tests.conformance.rules import CHUNKED, HOST, answer, chunks, get, message, post
from tests.nodeagent.proxy.test_backend_faults import Raw, reset
from tests.nodeagent.proxy.world import Backend, World

TWO = b"Content-Length: 2"

PASSING = [
    pytest.param(get(HOST, b"X: y"), get(HOST, b"X: y"), id="no body"),
    pytest.param(b"\r\n" + get(HOST, b"X: \xff"), get(HOST, b"X: \xff"), id="a blank line, obs-text"),
    pytest.param(get(b"Host: x", target=b"http://web/a"), get(HOST, target=b"/a"), id="a full URL"),
    pytest.param(post(TWO, body=b"ok"), post(TWO, body=b"ok"), id="a length"),
    pytest.param(chunks(b"0\r\n\r\n"), chunks(b"0\r\n\r\n"), id="no chunk"),
]
REFUSED = [
    pytest.param(post(TWO, CHUNKED, body=b""), 400, id="length and coding"),
    pytest.param(get(HOST, b"X: \xff", b"Y : z"), 400, id="space before a colon"),
    pytest.param(get(HOST, b"X: y", b" z"), 400, id="folding"),
    pytest.param(message(b"GET / HTTP/1.2", HOST), 505, id="version"),
    pytest.param(chunks(b"2\r\nok\r\nx\r\n"), 400, id="a chunk size"),
]


async def say_in_two(world: World, raw: bytes, at: int) -> int:
    """Send `raw` in two pieces that the agent reads apart; return the status of its answer."""
    caller = await world.connect()
    async with caller.stream:
        await caller.send(raw[:at])
        await trio.testing.wait_all_tasks_blocked()
        with contextlib.suppress(trio.BrokenResourceError):  # the agent has heard enough
            await caller.send(raw[at:])
        return (await caller.answer()).status


@pytest.mark.parametrize(("raw", "arrives"), PASSING)
async def test_a_request_cut_anywhere_is_the_same_request(raw: bytes, arrives: bytes) -> None:
    async with World().running(Recorder()) as world:
        backend = world.backends[0]
        assert isinstance(backend, Recorder)
        statuses = [await say_in_two(world, raw, at) for at in range(1, len(raw))]

    assert set(statuses) == {200}
    assert ({without_own(seen) for seen in backend.seen}, backend.faults) == ({arrives}, [])


@pytest.mark.parametrize(("raw", "status"), REFUSED)
async def test_a_request_cut_anywhere_is_refused_alike(raw: bytes, status: int) -> None:
    async with World().running(Recorder()) as world:
        statuses = [await say_in_two(world, raw, at) for at in range(1, len(raw))]

    assert (set(statuses), world.backends[0].seen) == ({status}, [])


async def test_chunks_cut_anywhere_carry_the_same_body() -> None:
    raw = chunks(b"3;a=b\r\nhel\r\n02\r\nlo\r\n0\r\nX: y\r\n\r\n")
    async with World().running(Recorder()) as world:
        backend = world.backends[0]
        assert isinstance(backend, Recorder)
        for at in range(1, len(raw)):
            await say_in_two(world, raw, at)

    bodies = {
        b"".join(piece for piece in seen.partition(b"\r\n\r\n")[2].split(b"\r\n")[1:-3:2]) for seen in backend.seen
    }
    ends = {seen[seen.index(b"\r\n0\r\n") :] for seen in backend.seen}
    assert (len(backend.seen), bodies, ends, backend.faults) == (
        len(raw) - 1,
        {b"hello"},
        {b"\r\n0\r\nX: y\r\n\r\n"},
        [],
    )


ANSWERS = [
    pytest.param(answer(TWO, b"X: y", body=b"ok"), id="a length"),
    pytest.param(answer(CHUNKED, body=b"2;x\r\nok\r\n0\r\nX: y\r\n\r\n"), id="chunks"),
    pytest.param(
        answer(status=b"103 Early Hints") + answer(TWO, b"X: \xff", body=b"ok"), id="an interim answer, obs-text"
    ),
    pytest.param(answer(b"X: y", status=b"204 No Content"), id="no body"),
]


@pytest.mark.parametrize("raw", ANSWERS)
async def test_an_answer_cut_anywhere_is_the_same_answer(raw: bytes) -> None:
    at = 0

    async def in_two(stream: trio.SocketStream, request: bytes) -> bool:
        await stream.send_all(raw[:at])
        await trio.testing.wait_all_tasks_blocked()
        await stream.send_all(raw[at:])
        return True

    async with World().running(Backend([in_two])) as world:
        got = set()
        for cut in range(1, len(raw)):
            at = cut
            said = await world.ask(get(HOST))
            got.add((said.head, said.body, said.whole))
        connections = world.backends[0].connections

    assert (len(got), connections) == (1, 1)


def end(stream: trio.SocketStream) -> None:
    """Close in peace."""
    stream.socket.close()


@pytest.mark.parametrize("close", [end, reset])
@pytest.mark.parametrize("raw", ANSWERS)
async def test_an_answer_that_breaks_off_anywhere_is_no_clean_end(
    raw: bytes, close: Callable[[trio.SocketStream], None]
) -> None:
    at = 0

    async def break_off(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(raw[:at])
        await trio.testing.wait_all_tasks_blocked()
        close(stream)

    async with World().running(Raw(break_off)) as world:
        wrong = {}
        for cut in range(len(raw)):
            at = cut
            try:
                said = await world.ask(get(HOST).replace(b"GET", b"POST"))
                outcome = said.status == 502 or not said.whole
            except EOFError:  # cut before the head could be read: an abort as well
                outcome = True
            if not outcome:
                wrong[cut] = said

    assert wrong == {}
