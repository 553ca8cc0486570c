"""What is tried again, and what is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nodeagent.proxy import errors
from nodeagent.proxy.errors import ProxyError
from nodeagent.proxy.frugal import REPLAY
from nodeagent.proxy.messages import SAFE_METHODS, Body, Request, RequestHead
from nodeagent.proxy.replay import ReplayBody
from nodeagent.proxy.retry import can_replay, may_repeat, rewind
from nodeagent.proxy.wire import Wire


class FakeBody:
    """A body of `length` bytes, given in pieces of 1000."""

    def __init__(self, length: int | None, total: int) -> None:
        self.length = length
        self.trailers: list[bytes] = []
        self.left = total
        self.closed = False

    async def read(self) -> bytes:
        size = min(self.left, 1000)
        self.left -= size
        return b"x" * size

    async def pour(self, sink: Wire, moved: Callable[[int], None]) -> None: ...

    def close(self) -> None:
        self.closed = True


def request(method: str, body: bytes | Body = b"") -> Request:
    return Request(RequestHead(method.encode(), b"a", b"/", 11, b"", {}), body, 0.0)


CHUNKED = FakeBody(None, 10)


@pytest.mark.parametrize(
    ("error", "asked", "again"),
    [
        pytest.param(
            errors.ConnectFailed("refused"), request("POST", b"x"), True, id="never sent: whatever the method"
        ),
        pytest.param(errors.ConnectTimeout("slow"), request("POST", CHUNKED), True, id="never sent: whatever the body"),
        pytest.param(errors.ResponseIncomplete("lost"), request("GET"), True, id="lost, and safe"),
        pytest.param(errors.ResponseIncomplete("lost"), request("PUT", b"x"), True, id="lost, and idempotent"),
        pytest.param(errors.ResponseIncomplete("lost"), request("POST", b"x"), False, id="lost, and maybe done"),
        pytest.param(errors.ResponseIncomplete("lost"), request("PUT", CHUNKED), False, id="lost, with its body"),
        pytest.param(
            errors.ResponseIncomplete("reset", unsent=True), request("POST", b"x"), True, id="provably unsent"
        ),
        pytest.param(errors.ResponseInvalid("garbage"), request("GET"), False, id="an answer, though a bad one"),
        pytest.param(errors.DeadlineExceeded("slow"), request("GET"), True, id="an attempt's timeout, method allowed"),
        pytest.param(
            errors.DeadlineExceeded("slow"),
            request("PUT", b"x"),
            False,
            id="an attempt's timeout, not allowed",
        ),
        pytest.param(errors.BadRequest("body broke off"), request("GET"), False, id="the caller's fault"),
        pytest.param(errors.LoopDetected("self", unsent=True), request("GET"), False, id="a loop stays one"),
        pytest.param(errors.Overloaded("full"), request("GET"), False, id="more would be worse"),
        pytest.param(errors.EndpointFull("full", waited=True), request("POST", CHUNKED), True, id="another has room"),
    ],
)
def test_may_repeat(error: ProxyError, asked: Request, again: bool) -> None:
    assert may_repeat(error, asked, SAFE_METHODS, attempt=1, repeats=0, elsewhere=True, hope=True) is again


@pytest.mark.parametrize(
    ("error", "attempt", "elsewhere", "again"),
    [
        pytest.param(errors.ConnectTimeout("slow"), 1, False, False, id="there is nowhere else to connect to"),
        pytest.param(errors.NoEndpoints("none"), 1, False, False, id="nowhere at all"),
        pytest.param(errors.NoEndpoints("none"), 1, True, True, id="another branch may have one"),
        pytest.param(errors.ConnectionStale("closed"), 1, False, True, id="a kept connection was closed"),
        pytest.param(errors.ResponseIncomplete("lost"), 2, True, True, id="lost twice"),
        pytest.param(errors.ResponseIncomplete("lost"), 3, True, False, id="lost three times: it may be the cause"),
        pytest.param(errors.ConnectFailed("refused"), 25, True, True, id="a refusal is soon known"),
        pytest.param(errors.ConnectFailed("refused"), 26, True, False, id="enough"),
        pytest.param(errors.ConnectTimeout("slow"), 5, True, True, id="slow, and there are others"),
        pytest.param(errors.ConnectTimeout("slow"), 6, True, False, id="the caller has waited long enough"),
    ],
)
def test_repeats_have_an_end(error: ProxyError, attempt: int, elsewhere: bool, again: bool) -> None:
    repeats = attempt - 1
    assert (
        may_repeat(error, request("GET"), SAFE_METHODS, attempt, repeats=repeats, elsewhere=elsewhere, hope=True)
        is again
    )


def test_what_was_never_sent_is_no_repeat_of_what_was_lost() -> None:
    """Two endpoints refused, the third one broke the connection: that is the first loss."""
    lost = errors.ResponseIncomplete("lost")
    assert may_repeat(lost, request("GET"), SAFE_METHODS, attempt=3, repeats=0, elsewhere=True, hope=True)


@pytest.mark.parametrize("error", [errors.ConnectionStale("closed"), errors.TrialTimeout("slow")])
async def test_a_body_that_was_begun_and_is_not_kept_is_never_sent_again(error: ProxyError) -> None:
    asked = request("PUT", ReplayBody(FakeBody(2000, 2000)))
    assert isinstance(asked.body, ReplayBody)
    asked.body.forget()
    assert may_repeat(error, asked, SAFE_METHODS, 1, repeats=0, elsewhere=True, hope=True), "nothing of it was read"
    await asked.body.read()
    assert not may_repeat(error, asked, SAFE_METHODS, 1, repeats=0, elsewhere=True, hope=True)
    with pytest.raises(AssertionError, match="cannot be sent again"):
        asked.body.rewind()


async def read_all(body: Body) -> bytes:
    out = b""
    while piece := await body.read():
        out += piece
    return out


async def test_a_small_body_is_sent_again() -> None:
    body = ReplayBody(FakeBody(2500, 2500))
    asked = request("PUT", body)

    assert await read_all(body) == b"x" * 2500
    assert can_replay(asked)
    rewind(asked)
    assert await read_all(body) == b"x" * 2500


async def test_a_body_that_was_sent_in_part_is_sent_whole_again() -> None:
    body = ReplayBody(FakeBody(2500, 2500))

    assert await body.read() == b"x" * 1000
    body.rewind()
    assert await read_all(body) == b"x" * 2500


@pytest.mark.parametrize("read", [0, 1, 3], ids=["nothing", "a part", "all"])
async def test_a_body_is_not_kept_while_memory_is_short(read: int) -> None:
    body = ReplayBody(FakeBody(2500, 2500))
    begun = b"".join([await body.read() for _ in range(read)])

    body.forget()
    assert not can_replay(request("PUT", body))
    assert begun + await read_all(body) == b"x" * 2500


async def test_a_body_that_is_sent_again_already_is_sent_to_its_end() -> None:
    body = ReplayBody(FakeBody(2500, 2500))
    for _ in range(2):
        await body.read()
    body.rewind()
    begun = await body.read()

    body.forget()
    assert begun + await read_all(body) == b"x" * 2500


async def test_a_large_body_is_not_kept() -> None:
    size = REPLAY + 1
    body = ReplayBody(FakeBody(size, size))

    assert not can_replay(request("PUT", body))
    assert len(await read_all(body)) == size
