"""Active health checks over real sockets: what is asked, what counts as well, and where the traffic goes then."""

from __future__ import annotations

import math
import pathlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest
import trio
import trio.testing
import trustme
from structlog.testing import capture_logs

from balancer.backoff import ConstantBackoff
from balancer.checks import CheckSchedule
from balancer.params import AccrualParams, BalancerParams, make_balancer
from balancer.statistics import NodeStatistics
from namer.addr import Endpoint
from nodeagent.proxy import checks
from nodeagent.proxy.balance import Client, ClientPolicy
from nodeagent.proxy.checks import MAX_REST, MAX_STATUS_LINE, CheckedEndpoints, Checker, CheckParams, Checks, HttpCheck
from nodeagent.proxy.dial import Dialer
from nodeagent.telemetry.stats import ClientStats
from tests.nodeagent.proxy.tlsends import NAME, Trust
from tests.nodeagent.proxy.world import OK, Backend, World, free_port, listen, queue_is_full
from tls.params import ClientTls, ContextParams

GET = b"GET / HTTP/1.1\r\nHost: web\r\n\r\n"
SICK = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
SOON = CheckSchedule(interval=0.03, rise=2, fall=3)
HEALTH = CheckParams(SOON, timeout=60.0, http=HttpCheck("/health"))
POOL = "/svc/web => /#/pool"


@dataclass
class Patient(Backend):
    """A backend that answers its checks and its requests apart."""

    health: bytes = OK
    answer: bytes = OK
    checks: list[bytes] = field(default_factory=list)
    requests: int = 0

    def __post_init__(self) -> None:
        self.replies = [self._reply]

    async def _reply(self, stream: trio.SocketStream, request: bytes) -> bool:
        if request.startswith(b"GET /health "):
            self.checks.append(request)
            await stream.send_all(self.health)
        else:
            self.requests += 1
            await stream.send_all(self.answer)
        return True


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(30):
        while not condition():
            await trio.sleep(0.002)


def client(world: World) -> Client:
    (found,) = world.router.bindings.clients.values()
    return found


def state(world: World) -> list[NodeStatistics]:
    return list(client(world).balancer.statistics().nodes)


def reasons(world: World) -> list[str | None]:
    return [node.reason and node.reason.value for node in state(world)]


def checked(check: CheckParams = HEALTH, **policy: object) -> World:
    return World(dtab=POOL, client=replace(ClientPolicy(check=check), **policy))  # type: ignore[arg-type]


async def test_who_fails_its_checks_gets_nothing_and_who_passes_them_is_back() -> None:
    world, one, two = checked(), Patient(), Patient()
    with capture_logs() as logs:
        async with world.running(one, two):
            await world.ask_at_once(20, GET)
            one.health = SICK
            await until(lambda: reasons(world) == ["checks", None])
            assert state(world)[0].trouble == f"check 127.0.0.1:{one.port}: answered 503"
            before = one.requests
            await world.ask_at_once(20, GET)
            assert (before, one.requests, two.requests) == (before, before, 40 - before)

            one.health = OK
            await until(lambda: reasons(world) == [None, None])
            two.health = SICK
            await until(lambda: reasons(world) == [None, "checks"])
            await world.ask_at_once(5, GET)
            assert one.requests == before + 5

    about = {"router": "test", "client": "/#/pool", "endpoint": f"127.0.0.1:{one.port}"}
    assert [log for log in logs if log["endpoint"] == about["endpoint"]] == [
        {
            "event": "an endpoint is out, its health check fails",
            "log_level": "warning",
            "error": f"check 127.0.0.1:{one.port}: answered 503",
            **about,
        },
        {"event": "an endpoint passes its health check again", "log_level": "info", **about},
    ]


async def test_what_is_asked() -> None:
    world, backend = checked(), Patient()
    async with world.running(backend):
        await world.ask(GET)
        await until(lambda: len(backend.checks) == 2)

    assert backend.checks[0] == (
        b"GET /health HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUser-Agent: nodeagent-check\r\nConnection: close\r\n\r\n"
        % backend.port
    )


async def test_checks_are_no_traffic() -> None:
    world, backend = checked(), Patient()
    async with world.running(backend):
        await world.ask(GET)
        stats = client(world).stats
        await until(lambda: stats.checks["passed"] == 2)
        backend.health = SICK
        await until(lambda: stats.checks["failed"] == 2)

        assert (stats.success, stats.failure, stats.pending, stats.connections) == (1, 0, 0, 1)
        assert client(world).balancer.statistics().alive == 1, "two are not enough"


async def test_the_second_kind_of_check_is_content_with_a_connection() -> None:
    world, backend = checked(CheckParams(SOON, timeout=60.0)), Patient(health=SICK)
    async with world.running(backend):
        await world.ask(GET)
        stats = client(world).stats
        await until(lambda: stats.checks["passed"] == 3)
        assert backend.checks == []
        backend.kill()
        await until(lambda: reasons(world) == ["checks"])


async def test_a_request_changes_nothing_while_the_checks_fail() -> None:
    world, backend = checked(), Patient(health=SICK)
    async with world.running(backend):
        await world.ask(GET)
        await until(lambda: reasons(world) == ["checks"])
        answers = await world.ask_at_once(20, GET)

        assert {answer.status for answer in answers} == {200}, "with nobody else there, traffic flows"
        assert reasons(world) == ["checks"]


async def test_passing_its_checks_ends_no_ejection() -> None:
    ejecting = AccrualParams(failures=2, backoff=ConstantBackoff(60.0))
    world, backend = checked(accrual=ejecting), Patient(answer=SICK)
    async with world.running(backend):
        for _ in range(2):
            await world.ask(GET)
        stats = client(world).stats
        passed = stats.checks["passed"]
        await until(lambda: stats.checks["passed"] > passed + SOON.rise)

        assert reasons(world) == ["failures"]


async def test_the_next_choice_takes_over_while_all_fail_their_checks() -> None:
    fallback = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext"
    first, second = Patient(), Patient(answer=fallback)
    world = World(dtab="/svc/web => /$/inet/127.0.0.1/{0} | /$/inet/127.0.0.1/{1}", client=ClientPolicy(check=HEALTH))

    async with world.running(first, second):
        assert (await world.ask(GET)).body == b"ok"
        found = next(each for each in world.router.bindings.clients.values() if str(first.port) in each.id.show())
        first.health = SICK
        await until(lambda: not found.balancer.usable)
        assert {answer.body for answer in await world.ask_at_once(20, GET)} == {b"next"}
        assert first.requests == 1, "no request finds out whether it is back"
        first.health = OK
        await until(lambda: found.balancer.usable)
        assert (await world.ask(GET)).body == b"ok"


async def test_a_client_that_is_let_go_checks_no_more() -> None:
    world, backend = checked(), Patient()
    async with world.running(backend):
        await world.ask(GET)
        follower = client(world).checked
        assert follower is not None
        assert len(follower) == 1
        world.router.bindings.clients.close()
        assert len(follower) == 0


# One check.


async def problem(
    answer: Callable[[trio.SocketStream], Awaitable[object]] | bytes,
    http: HttpCheck | None = HEALTH.http,
    *,
    timeout: float = 60.0,
) -> str | None:
    """What is found wrong with an endpoint that answers like this."""

    async def reply(stream: trio.SocketStream, _: bytes) -> None:
        if isinstance(answer, bytes):
            await stream.send_all(answer)
        else:
            await answer(stream)

    backend = Backend([reply])
    async with trio.open_nursery() as nursery:
        await nursery.start(backend.run)
        checker = Checker(CheckParams(timeout=timeout, http=http), Dialer(lambda endpoint: False))
        found = await checker.problem(Endpoint("127.0.0.1", backend.port))
        nursery.cancel_scope.cancel()
    return None if found is None else found.replace(f"check 127.0.0.1:{backend.port}: ", "")


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        pytest.param(OK, None, id="well"),
        pytest.param(b"HTTP/1.0 204 \r\n\r\n", None, id="an old version, no reason"),
        pytest.param(b"HTTP/1.1 200\r\n\r\n", None, id="not even a space"),
        pytest.param(b"HTTP/1.1 399 what\xc3\xa9ver\r\n", None, id="the last good one, in a head that has no end"),
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", "answered 400", id="the first bad one"),
        pytest.param(SICK, "answered 503", id="sick"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "answered 100", id="no final answer"),
        pytest.param(b"", "the connection was closed before an answer", id="closed at once"),
        pytest.param(b"HTTP/1.1 200 O", "the connection was closed before an answer", id="closed in the middle"),
        pytest.param(b"HTTP/1.1 200 OK\n\n", "the answer is no HTTP/1.1", id="a bare line end"),
        pytest.param(b"HTTP/1.1 2000 OK\r\n\r\n", "the answer is no HTTP/1.1", id="four digits"),
        pytest.param(b"HTTP/2 200 OK\r\n\r\n", "the answer is no HTTP/1.1", id="another version"),
        pytest.param(b"220 mail.example ESMTP\r\n", "the answer is no HTTP/1.1", id="another protocol"),
        pytest.param(b" HTTP/1.1 200 OK\r\n", "the answer is no HTTP/1.1", id="something before"),
        pytest.param(b"HTTP/1.1 200 O\x00K\r\n", "the answer is no HTTP/1.1", id="a control character"),
        pytest.param(bytes(range(256)) * 1000, "the answer is no HTTP/1.1", id="anything"),
        pytest.param(
            b"HTTP/1.1 200 " + b"x" * MAX_STATUS_LINE + b"\r\n",
            "the first line of the answer is over 1024 bytes long",
            id="a line without end",
        ),
    ],
)
async def test_whatever_an_endpoint_answers_is_a_verdict(answer: bytes, found: str | None) -> None:
    assert await problem(answer) == found


async def test_an_answer_may_come_byte_by_byte() -> None:
    async def dribble(stream: trio.SocketStream) -> None:
        for byte in b"HTTP/1.1 200 OK\r\n":
            await stream.send_all(bytes([byte]))
            await trio.sleep(0)

    assert await problem(dribble) is None


async def test_silence_is_a_failure_after_the_timeout() -> None:
    assert await problem(lambda _: trio.sleep_forever(), timeout=0.05) == "no answer within 50 ms"


async def test_so_is_an_answer_that_begins_and_does_not_come() -> None:
    async def hang(stream: trio.SocketStream) -> None:
        await stream.send_all(b"HTTP/1.1 200 ")
        await trio.sleep_forever()

    assert await problem(hang, timeout=0.05) == "no answer within 50 ms"


async def test_a_connection_that_breaks_is_a_failure() -> None:
    async def reset(stream: trio.SocketStream) -> None:
        stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")

    found = await problem(reset)

    assert found is not None
    assert found.startswith("the connection broke (")


async def test_a_body_that_never_ends_is_not_waited_for() -> None:
    async def pour(stream: trio.SocketStream) -> None:
        await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await stream.send_all(bytes(MAX_REST))

    with trio.fail_after(30):
        assert await problem(pour) is None


async def test_an_answer_is_heard_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "LINGER", 30.0)
    ends: list[str] = []

    async def in_two_parts(stream: trio.SocketStream) -> None:
        await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\n")
        await trio.sleep(0.01)
        try:
            await stream.send_all(b"rest")
            await stream.send_eof()
            assert await stream.receive_some() == b""
            ends.append("clean")
        except trio.BrokenResourceError:
            ends.append("reset")

    backend = Backend([lambda stream, _: in_two_parts(stream)])
    async with trio.open_nursery() as nursery:
        await nursery.start(backend.run)
        await Checker(HEALTH, Dialer(lambda _: False)).problem(Endpoint("127.0.0.1", backend.port))
        await until(lambda: bool(ends))
        nursery.cancel_scope.cancel()

    assert ends == ["clean"]


@pytest.mark.parametrize(
    ("http", "request_line", "host"),
    [
        pytest.param(HttpCheck(), b"GET / HTTP/1.1", None, id="by default"),
        pytest.param(HttpCheck("/h?x=1", "HEAD", "web:80"), b"HEAD /h?x=1 HTTP/1.1", b"web:80", id="as configured"),
    ],
)
async def test_the_request_of_a_check(http: HttpCheck, request_line: bytes, host: bytes | None) -> None:
    backend = Backend([OK])
    async with trio.open_nursery() as nursery:
        await nursery.start(backend.run)
        found = await Checker(CheckParams(http=http), Dialer(lambda _: False)).problem(
            Endpoint("127.0.0.1", backend.port)
        )
        nursery.cancel_scope.cancel()

    assert found is None
    assert backend.seen[0].split(b"\r\n")[:2] == [
        request_line,
        b"Host: " + (host or b"127.0.0.1:%d" % backend.port),
    ]


@pytest.mark.parametrize(("status", "good"), [(b"204", True), (b"200", False), (b"301", False)])
async def test_which_statuses_are_good_can_be_said(status: bytes, good: bool) -> None:
    found = await problem(b"HTTP/1.1 %b x\r\n\r\n" % status, HttpCheck(good=(204, 299)))

    assert found == (None if good else f"answered {status.decode()}")


def test_an_address_of_version_6_is_in_brackets() -> None:
    assert b"\r\nHost: [::1]:80\r\n" in HttpCheck().request(Endpoint("::1", 80))


@pytest.mark.parametrize("http", [None, HttpCheck()], ids=["tcp", "http"])
async def test_a_refusal_is_a_failure(http: HttpCheck | None) -> None:
    port = free_port()
    found = await Checker(CheckParams(http=http), Dialer(lambda _: False)).problem(Endpoint("127.0.0.1", port))

    assert found == f"dial 127.0.0.1:{port}: connection refused"


@pytest.mark.parametrize("http", [None, HttpCheck()], ids=["tcp", "http"])
async def test_connecting_is_within_the_timeout(http: HttpCheck | None) -> None:
    with queue_is_full() as port:
        checker = Checker(CheckParams(timeout=0.05, http=http), Dialer(lambda _: False))
        found = await checker.problem(Endpoint("127.0.0.1", port))

    assert found == f"check 127.0.0.1:{port}: no answer within 50 ms"


async def test_another_port_can_be_asked_and_the_agents_own_cannot() -> None:
    backend = Backend([OK])
    async with trio.open_nursery() as nursery:
        await nursery.start(backend.run)
        params = CheckParams(port=backend.port, http=HttpCheck())
        endpoint = Endpoint("127.0.0.1", free_port())
        found = await Checker(params, Dialer(lambda _: False)).problem(endpoint)
        own = await Checker(params, Dialer(lambda asked: asked.port == backend.port)).problem(endpoint)
        nursery.cancel_scope.cancel()

    assert found is None
    assert own == f"dial 127.0.0.1:{backend.port}: that is the agent itself"
    assert backend.connections == 1


@pytest.mark.parametrize(
    ("name", "found"),
    [
        pytest.param(NAME, None, id="the right one"),
        pytest.param("other.example", "no TLS or a certificate that is refused", id="somebody else"),
    ],
)
async def test_where_requests_go_by_tls_checks_do(tmp_path: pathlib.Path, name: str, found: str | None) -> None:
    trust = Trust(trustme.CA(), tmp_path)
    trust.ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    seen: list[bytes] = []

    async def serve(stream: trio.SSLStream[trio.SocketStream]) -> None:
        try:
            seen.append(bytes(await stream.receive_some()))
            await stream.send_all(OK)
        except trio.BrokenResourceError:
            pass

    tcp = trio.SocketListener(trio.socket.from_stdlib_socket(listen()))
    async with trio.SSLListener(tcp, trust.server(name)) as listener, trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, serve, [listener])
        tls = ClientTls(NAME, ContextParams(trust=(str(tmp_path / "ca.pem"),)))
        endpoint = Endpoint("127.0.0.1", tcp.socket.getsockname()[1])
        told = await Checker(HEALTH, Dialer(lambda _: False), tls).problem(endpoint)
        nursery.cancel_scope.cancel()

    if found is None:
        assert told is None
        assert seen[0].startswith(b"GET /health HTTP/1.1\r\n")
    else:
        assert told is not None
        assert ": the certificate is refused: " in told


# Many checks.


class Slow(Checker):
    """A check that is under way until it is told to end, and counts."""

    def __init__(self) -> None:
        self.under_way = 0
        self.most = 0
        self.asked: list[int] = []
        self.end = trio.Event()
        self.breaks = False

    async def problem(self, endpoint: Endpoint) -> str | None:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        self.asked.append(endpoint.port)
        if self.breaks:
            raise RuntimeError("a bug")
        try:
            await self.end.wait()
        finally:
            self.under_way -= 1
        return None


@asynccontextmanager
async def following(checker: Checker, count: int, at_once: int = 256) -> AsyncIterator[CheckedEndpoints]:
    """So many endpoints under checks; one more discovery is `balancer.update` and `follow`."""
    rng = random.Random(1)
    balancer = make_balancer(BalancerParams(), AccrualParams(), rng)
    balancer.update([Endpoint("10.0.0.1", port) for port in range(count)], 0.0)
    owner = Checks(rng, at_once=at_once)
    follower = CheckedEndpoints(owner, CheckSchedule(5.0, 1, 1), checker, balancer, {}, ClientStats("out", "/#/x"))
    follower.follow()  # before there is anybody to do it
    async with trio.open_nursery() as nursery:
        nursery.start_soon(owner.run)
        yield follower
        nursery.cancel_scope.cancel()


async def test_only_so_many_checks_are_under_way_at_once(autojump_clock: trio.testing.MockClock) -> None:
    checker = Slow()
    async with following(checker, 50, at_once=8):
        await trio.sleep(6)
        assert (checker.under_way, len(checker.asked)) == (8, 8)
        checker.end.set()
        await trio.sleep(6)
    assert checker.most == 8
    assert set(checker.asked) == set(range(50))


async def test_each_endpoint_is_checked_once_an_interval(autojump_clock: trio.testing.MockClock) -> None:
    checker = Slow()
    checker.end.set()
    async with following(checker, 40):
        await trio.sleep(500)
    times = [checker.asked.count(port) for port in range(40)]
    assert all(97 <= count <= 103 for count in times), times


async def test_who_has_left_is_checked_no_more_and_who_has_come_is(autojump_clock: trio.testing.MockClock) -> None:
    checker = Slow()
    checker.end.set()
    async with following(checker, 3) as follower:
        await trio.sleep(6)
        follower._balancer.update([Endpoint("10.0.0.1", port) for port in (2, 3)], 6.0)
        follower.follow()
        follower.follow()  # nothing new
        checker.asked.clear()
        await trio.sleep(50)
        assert set(checker.asked) == {2, 3}
        assert checker.asked.count(2) <= 12


async def test_who_leaves_while_it_is_asked_is_forgotten(autojump_clock: trio.testing.MockClock) -> None:
    checker = Slow()
    async with following(checker, 1) as follower:
        await trio.sleep(6)
        assert checker.under_way == 1
        follower._balancer.update((), 6.0)
        follower.follow()
        checker.end.set()
        await trio.sleep(1)
        assert (checker.under_way, follower._stats.checks.total()) == (0, 0)


async def test_a_bug_in_a_check_ends_nobody_elses(autojump_clock: trio.testing.MockClock) -> None:
    checker = Slow()
    checker.breaks = True
    with capture_logs() as logs:
        async with following(checker, 2) as follower:
            await trio.sleep(math.ceil(2 * 5.5))
            checker.breaks = False
            checker.end.set()
            await trio.sleep(6)
            assert follower._stats.checks["passed"] >= 2
            assert follower._stats.checks["failed"] == 0
    assert {log["event"] for log in logs} == {"a health check broke, that is a bug"}
