"""A small world for conversations in bytes: a router with a listener on loopback, and backends that do as told.

Real sockets, nothing configured by file. A backend is a list of replies, one for each request that it reads; it
records the exact bytes that it was sent.
"""

from __future__ import annotations

import math
import random
import re
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace

import trio

from balancer.backoff import Backoff, ConstantBackoff
from balancer.hedge import HedgeParams
from balancer.limiter import AdmissionParams
from balancer.params import RetryBudgetParams
from namer.addr import Addr, AddrBound, Endpoint
from namer.binding import Namers
from namer.builtin import builtin_namers
from namer.cell import Cell
from namer.dns.answers import Lifetimes
from namer.dns.resolver import Resolver
from namer.dns.settings import Overrides
from namer.dns.settings import Server as DnsServer
from namer.dtab import Dtab
from namer.dtabcell import DtabState
from namer.hosts import Hosts
from namer.namer import Bound, ConstantNamer, NameState
from namer.nametree import Leaf
from namer.path import Path
from namer.watch import Watches
from nodeagent.proxy.alarms import Alarms
from nodeagent.proxy.attemptspan import Around, as_they_are
from nodeagent.proxy.balance import ClientPolicy
from nodeagent.proxy.bind import Bindings, CacheLimits
from nodeagent.proxy.caller import Caller as Identity
from nodeagent.proxy.checks import Checks
from nodeagent.proxy.classify import RETRYABLE_METHODS, make_classifier
from nodeagent.proxy.compose import Composer
from nodeagent.proxy.dial import Dialer
from nodeagent.proxy.dispatch import Router
from nodeagent.proxy.fairness import Accounts
from nodeagent.proxy.guard import Guard, GuardPolicy
from nodeagent.proxy.identify import Identifier, by_host, first_of
from nodeagent.proxy.server import Server, ServerLimits
from nodeagent.proxy.service import ServicePolicy
from nodeagent.telemetry.exchange import Exchange, Exchanges
from nodeagent.telemetry.registry import Registry

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CLOSE = b""
"""A reply that is no reply: the backend closes."""


POOL = Path.parse("/#/pool")


def listen(address: str = "127.0.0.1", port: int = 0) -> socket.socket:
    """Return a listening socket on this address, on a free port unless one is given."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((address, port))
    sock.listen(128)
    return sock


@contextmanager
def queue_is_full() -> Iterator[int]:
    """A port where connecting is neither refused nor ends, for the time of the block."""
    with socket.socket() as full, ExitStack() as fillers:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = int(full.getsockname()[1])
        for _ in range(4):
            filler = fillers.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))  # the queue of who waits to be accepted is full now
        yield port


def free_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@dataclass
class Backend:
    """Answers the n-th request with the n-th of `replies`, the last one for ever.

    A reply is bytes, or a function that takes the stream and the request and does as it likes.
    """

    replies: Sequence[bytes | Callable[[trio.SocketStream, bytes], object]] = (OK,)
    seen: list[bytes] = field(default_factory=list)
    """Each request as it arrived, head and body."""
    connections: int = 0
    ended: int = 0
    """Connections that the agent closed."""
    port: int = 0
    address: str = "127.0.0.1"
    _scope: trio.CancelScope = field(default_factory=trio.CancelScope)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        sock = listen(self.address, self.port)
        self.port = sock.getsockname()[1]
        with self._scope:
            async with trio.SocketListener(trio.socket.from_stdlib_socket(sock)) as listener:
                await trio.serve_listeners(self._serve, [listener], task_status=_Started(task_status))

    def kill(self) -> None:
        """Stop listening and break all connections."""
        self._scope.cancel()

    async def _serve(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        buffer = bytearray()
        async with stream:
            while True:
                request = await _read_request(stream, buffer)
                if request is None:
                    self.ended += 1
                    return
                self.seen.append(request)
                reply = self.replies[min(len(self.seen), len(self.replies)) - 1]
                if callable(reply):
                    if await reply(stream, request) is None:  # type: ignore[misc]
                        return
                elif reply == CLOSE:
                    return
                else:
                    await stream.send_all(reply)


class Held(Backend):
    """Answers when it is let."""

    def __init__(self) -> None:
        super().__init__([self._hold])
        self.let = trio.Event()

    async def _hold(self, stream: trio.SocketStream, _: bytes) -> bool:
        await self.let.wait()
        await stream.send_all(OK)
        return True


class _Started:
    """Turns serve_listeners' value into nothing."""

    def __init__(self, status: trio.TaskStatus[None]) -> None:
        self._status = status

    def started(self, value: object = None) -> None:
        self._status.started()


async def _read_request(stream: trio.SocketStream, buffer: bytearray) -> bytes | None:
    """Read one request strictly by its framing; None at the end of the connection."""
    while (end := buffer.find(b"\r\n\r\n")) < 0:
        if not await _more(stream, buffer):
            return None
    head = bytes(buffer[: end + 4])
    length = re.search(rb"(?i)\r\ncontent-length: *([0-9]+)", head)
    need = end + 4 + int(length[1]) if length else end + 4
    chunked = re.search(rb"(?i)\r\ntransfer-encoding: *chunked", head)
    while len(buffer) < need or (chunked and b"0\r\n\r\n" not in buffer[end + 4 :]):
        if not await _more(stream, buffer):
            return None
    if chunked:
        need = buffer.index(b"0\r\n\r\n", end + 4) + 5
    request = bytes(buffer[:need])
    del buffer[:need]
    return request


async def _more(stream: trio.SocketStream, buffer: bytearray) -> bool:
    try:
        data = await stream.receive_some()
    except trio.BrokenResourceError:
        return False
    buffer += data
    return bool(data)


def by_address(_: socket.socket, address: object) -> Identity:
    """Tell callers apart by address, so that a test can be several."""
    assert isinstance(address, tuple)
    return Identity(None, str(address[0]))


@dataclass
class World:
    """What a test can turn, and then the running thing. `dtab` may name backends as {0}, {1}: their ports."""

    dtab: str = "/svc/web => /$/inet/127.0.0.1/{0}"
    classifier: str = "io.l5d.http.nonRetryable5XX"
    limits: ServerLimits = ServerLimits()
    client: ClientPolicy = ClientPolicy()
    total_timeout: float | None = None
    bind_timeout: float = 10.0
    cache: CacheLimits = CacheLimits()
    budget: RetryBudgetParams = RetryBudgetParams()
    backoff: Backoff = ConstantBackoff(0.0)
    max_retries: int = 5
    identifier: Identifier = field(default_factory=by_host)
    failover: bool = True
    authority: str | None = None
    """What the servers of `/#/pool` want to be called."""
    own: Callable[[str, int], bool] = lambda host, port: False
    hedging: HedgeParams | None = None
    guard: GuardPolicy = GuardPolicy()
    dns: DnsServer | None = None
    """Who is asked for hosts, in place of those of resolv.conf; what has a TTL of 0 holds for 50 ms."""

    everyone: Accounts | None = None
    """The connections of all listeners; each address is a caller."""

    port: int = 0
    server: Server = field(init=False)
    router: Router = field(init=False)
    stats: Registry = field(default_factory=Registry)
    alarms: Alarms = field(default_factory=Alarms)
    trace: Callable[[Mapping[bytes, bytes]], bytes] = lambda special: b""
    around: Around = as_they_are
    told: list[Exchange] = field(default_factory=list)
    """What became of each request that is over."""
    admission: AdmissionParams | None = None
    backends: tuple[Backend, ...] = ()

    @asynccontextmanager
    async def running(self, *backends: Backend) -> AsyncIterator[World]:
        """Run backends and agent for the time of the block."""
        self.backends = backends
        async with trio.open_nursery() as nursery:
            for backend in backends:
                await nursery.start(backend.run)
            rng = random.Random(7)
            watches = Watches(rng)
            nursery.start_soon(watches.run)
            nursery.start_soon(self.alarms.run)
            checks = Checks(rng)
            nursery.start_soon(checks.run)
            self.router = self._router(watches, checks, rng)
            sock = listen()
            self.port = sock.getsockname()[1]
            stats = self.stats.server("test", "127.0.0.1", self.port)
            self.server = Server(sock, self.router, self.limits, stats, everyone=self.everyone, who=by_address)
            await nursery.start(self.server.run, 5.0)
            yield self
            nursery.cancel_scope.cancel()
        self.router.bindings.close()

    def _router(self, watches: Watches, checks: Checks, rng: random.Random) -> Router:
        composer = Composer(
            "test",
            client_policy=lambda id_: self.client,
            service_policy=lambda name: self._service_policy(),
            dialer=Dialer(lambda endpoint: self.own(endpoint.host, endpoint.port)),
            stats=self.stats,
            rng=rng,
            alarms=self.alarms,
            checks=checks,
            around=self.around,
            guard=Guard(self.guard, lambda endpoint: self.own(endpoint.host, endpoint.port)),
        )
        resolver = None if self.dns is None else Resolver(Overrides((self.dns,), ()), Lifetimes(floor=0.05))
        bindings = Bindings(
            dtab=Cell.constant(self._table()),
            namers=Namers([(POOL, ConstantNamer(self._pool()))], builtin_namers(Hosts(watches, resolver, rng))),
            limits=self.cache,
            timeout=self.bind_timeout,
            make_client=composer.client,
            make_service=composer.service,
            failover=self.failover,
        )
        prefix = Path.parse("/svc")
        exchanges = Exchanges()
        exchanges.watch(self.told.append)
        return Router(
            "test",
            prefix=prefix,
            identify=first_of(prefix, [self.identifier]),
            bindings=bindings,
            trace=self.trace,
            stats=self.stats,
            exchanges=exchanges,
        )

    def _table(self) -> DtabState:
        return Dtab.parse(self.dtab.format(*(backend.port for backend in self.backends)))

    def _pool(self) -> NameState:
        """All backends as the endpoints of one name, `/#/pool`."""
        addr: Addr = AddrBound(tuple(Endpoint("127.0.0.1", backend.port) for backend in self.backends))
        return Leaf(Bound(POOL, Path(()), Cell.constant(addr), self.authority))

    def _service_policy(self) -> ServicePolicy:
        return ServicePolicy(
            make_classifier(self.classifier),
            RETRYABLE_METHODS[self.classifier],
            self.backoff.delays,
            self.total_timeout,
            self.budget,
            self.hedging,
            self.max_retries,
            self.admission,
        )

    async def connect(self, source: str | None = None) -> Caller:
        """Open a client connection to the agent, from that address of this host."""
        return Caller(await trio.open_tcp_stream("127.0.0.1", self.port, local_address=source))

    async def ask(self, request: bytes, *, method: str = "GET") -> Answer:
        """Send raw bytes on a connection of their own, return the first final answer."""
        caller = await self.connect()
        async with caller.stream:
            await caller.send(request)
            while (answer := await caller.answer(method)).status < 200:
                pass
            return answer

    async def ask_at_once(self, count: int, request: bytes) -> list[Answer]:
        """Send a request so many times, on as many connections, and return the answers as they come."""
        answers: list[Answer] = []

        async def ask() -> None:
            answers.append(await self.ask(request))

        async with trio.open_nursery() as nursery:
            for _ in range(count):
                nursery.start_soon(ask)
        return answers


@dataclass
class Answer:
    """A response as the client saw it."""

    status: int
    head: bytes
    body: bytes
    whole: bool = True
    """Whether the body came to the end that was announced."""

    def get(self, name: str) -> str | None:
        """Return a field's value."""
        found = re.search(rb"(?im)^" + re.escape(name.encode()) + rb":[ \t]*(.*?)\r$", self.head)
        return found[1].decode() if found else None


@dataclass
class Caller:
    """A client that speaks bytes."""

    stream: trio.SocketStream
    buffer: bytearray = field(default_factory=bytearray)

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def answer(self, method: str = "GET") -> Answer:
        """Read one response by its framing. Raises EOFError when the connection ends before its head."""
        with trio.fail_after(15):
            while (end := self.buffer.find(b"\r\n\r\n")) < 0:
                if not await _more(self.stream, self.buffer):
                    raise EOFError(bytes(self.buffer))
            head = bytes(self.buffer[: end + 4])
            del self.buffer[: end + 4]
            answer = Answer(int(head.split(b" ")[1]), head, b"")
            if answer.status < 200 or method in ("HEAD", "CONNECT") or answer.status in (204, 304):
                return answer
            return await self._with_body(answer)

    async def _with_body(self, answer: Answer) -> Answer:
        length = answer.get("content-length")
        if answer.get("transfer-encoding") == "chunked":
            return await self._chunks(answer)
        need = int(length) if length is not None else math.inf
        while len(self.buffer) < need and await _more(self.stream, self.buffer):
            pass
        size = int(min(need, len(self.buffer)))
        body = bytes(self.buffer[:size])
        del self.buffer[:size]
        return replace(answer, body=body, whole=need == math.inf or size == need)

    async def _chunks(self, answer: Answer) -> Answer:
        body = b""
        while True:
            while (end := self.buffer.find(b"\r\n")) < 0:
                if not await _more(self.stream, self.buffer):
                    return replace(answer, body=body, whole=False)
            size = int(self.buffer[:end], 16)
            while len(self.buffer) < end + 2 + size + 2:
                if not await _more(self.stream, self.buffer):
                    return replace(answer, body=body, whole=False)
            body += bytes(self.buffer[end + 2 : end + 2 + size])
            del self.buffer[: end + 2 + size + 2]
            if not size:
                return replace(answer, body=body)

    async def rest(self) -> bytes:
        """Read until the agent closes."""
        with trio.fail_after(15):
            while await _more(self.stream, self.buffer):
                pass
        rest = bytes(self.buffer)
        self.buffer.clear()
        return rest
