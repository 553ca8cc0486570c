"""The agent: a configuration becomes listeners, routers and the tasks behind them. The composition root.

root -- naming      files, watches: one child a name that somebody needs
     |- certificates  certificates and keys whose files change: one child a file
     |- checks      active health checks: one child an endpoint that is checked
     |- admin       the administrative port; outlives the traffic, so that a drain can be watched
     |- pushes      one a StatsD server, if there are any; these two only where this agent is the whole
     |- housekeeping  caches, idle connections, windows of the statistics
     |- alarms      starts second copies of requests that take long: one child each
     |- logs        one child a router that has an access log; outlives the traffic until all is written
     |- exporters   hand spans over, one each
     '- servers     one child a listener, in it one a connection
"""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog
import trio

from balancer.peers import Peers
from conf import AgentConfig
from conf.router import AnyRouter, HttpRouter, TcpRouter, ZipkinTracePropagator
from conf.server import Listener, TcpServer
from namer.namer import Bound
from namer.path import Path
from namer.watch import SourceTotals
from nodeagent import policies
from nodeagent.certificates import CertificateFiles
from nodeagent.edges import make_edge
from nodeagent.hints import hints
from nodeagent.listen import (
    ListenError,
    Listening,
    OwnPorts,
    SocketFile,
    address,
    listen,
    listen_unix,
    open_admin,
    take_inherited,
)
from nodeagent.listenertls import ExpiryWarnings, expired, make_handshakes, own_certificates, served_certificates
from nodeagent.memory import ceiling, guard
from nodeagent.naming.naming import Naming
from nodeagent.priming import primed_names
from nodeagent.process import descriptors
from nodeagent.proxy.alarms import Alarms
from nodeagent.proxy.bind import Bindings
from nodeagent.proxy.caller import Callers
from nodeagent.proxy.checks import Checks
from nodeagent.proxy.compose import Composer
from nodeagent.proxy.conversation import Conversation
from nodeagent.proxy.dial import Dialer
from nodeagent.proxy.dispatch import Router
from nodeagent.proxy.errors import NoSuchName, ProxyError
from nodeagent.proxy.fairness import Accounts, connections_within
from nodeagent.proxy.guard import Guard
from nodeagent.proxy.server import ConnectionOptions, Server
from nodeagent.proxy.tcp import TcpConversation
from nodeagent.push import pushes
from nodeagent.recording import make_recent
from nodeagent.telemetry.exchange import Exchanges
from nodeagent.telemetry.levels import Levels
from nodeagent.telemetry.log import look_after
from nodeagent.telemetry.registry import SWEEP_SECONDS, Registry
from nodeagent.tracing import make_trace, make_tracing
from tls.contexts import Contexts
from tls.files import TlsConfigError

if TYPE_CHECKING:
    from nodeagent.accesslog.writer import AccessLogWriter

log = structlog.get_logger("nodeagent.agent")

HOUSEKEEPING = 1.0
"""Seconds between two rounds of letting go what is unused."""

FLUSH = 1.0
"""Seconds, when all traffic has ended, for what access logs have not written yet."""


@dataclass(slots=True)
class RunningRouter:
    """A router with its configuration and listeners."""

    config: AnyRouter
    router: Router
    servers: list[Server] = field(default_factory=list)

    @property
    def label(self) -> str:
        """Its name in metrics and on the admin pages."""
        return self.config.label


class Agent:
    """One agent. Construct it within trio; nothing is bound or asked before `run`."""

    def __init__(
        self,
        config: AgentConfig,
        rng: random.Random | None = None,
        *,
        peers: Callable[[str, Bound], Peers] | None = None,
        admin: Listening | None = None,
    ) -> None:
        """`rng` makes all choices by chance; it is seeded by the system unless given.

        Of several agents that are one to the host, each has `peers`, by router and concrete name, and is asked by
        whoever has the `admin` port of the whole.
        """
        self.config = config
        self._peers = peers
        self._admin = admin
        self._rng = rng or random.Random()
        self.zone = os.environ.get("NODE_ZONE") or None
        """The zone of this host, unless a policy says another one."""
        self.contexts = Contexts()
        self._expiry = ExpiryWarnings()
        self.naming = Naming(config.namers, self._rng, config.dns, self.contexts)
        self._checks = Checks(self._rng)
        self.stats = Registry(idle=config.common_metrics.idle_ttl_secs)
        self.stats.survey_namers = self._report_naming
        self.stats.survey_certificates = self._report_certificates
        self.levels = Levels()
        self._alarms = Alarms()
        self.exchanges = Exchanges()
        self.recent = make_recent(config.telemetry, self._rng)
        if self.recent is not None:
            self.exchanges.watch(self.recent.record)
        self._callers = Callers()
        self._connections = Accounts()
        """Of all listeners."""
        self.access_logs = tuple(self._access_log(router) for router in config.routers if router.logged)
        self.tracing = make_tracing(config.telemetry, self._rng, self.stats, self.to_epoch)
        for exporter in self.tracing.exporters:
            self.exchanges.watch(exporter.record)
        self._files: list[SocketFile] = []
        """Of the Unix sockets that were made here."""
        self._admin_file: SocketFile | None = None
        self._own = {router.label: OwnPorts() for router in config.routers}
        self._admin_ports = OwnPorts()
        self.stats.originators.update(router.label for router in config.routers if router.originator)
        self.routers = tuple(RunningRouter(router, self._router(router)) for router in config.routers)
        self.started_at: float | None = None
        self._unready: str | None = "starting"
        self.primed = trio.Event()
        """Set once the configured names were tried: traffic is welcome."""
        self.stopping = trio.Event()
        """Set by `shutdown`."""

    async def run(
        self,
        inherited: Sequence[socket.socket] = (),
        *,
        task_status: trio.TaskStatus[tuple[Listening, ...]] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until `shutdown`, then drain and return. Tells its listeners once all of them are open.

        `inherited` are listening sockets to use instead of binding the same address. Raises ListenError. Cancelling
        cuts everything at once.
        """
        self._connections.bound = connections_within(descriptors())
        sockets = self._listen(list(inherited))
        try:
            await self._serve(sockets, task_status)
        finally:
            self._callers.close()
            self._remove_files()
            if self._admin_file is not None:  # last: the drain can be watched there
                self._admin_file.remove()
            for running in self.routers:
                running.router.bindings.close()

    async def _serve(
        self,
        sockets: list[tuple[Listening, socket.socket]],
        task_status: trio.TaskStatus[tuple[Listening, ...]],
    ) -> None:
        grace = self.config.admin.shutdown_grace_ms / 1000
        async with trio.open_nursery() as root:
            await root.start(self.naming.run)
            root.start_soon(CertificateFiles(self.contexts, self.naming.files).run)
            root.start_soon(self._checks.run)
            root.start_soon(self._housekeeping)
            root.start_soon(self._alarms.run)
            for exporter in self.tracing.exporters:
                root.start_soon(exporter.run)
            if self._admin is None:
                await root.start(self._serve_admin, sockets[-1][1])
                for push in pushes(self.config.telemetry, self._counted, self.naming):
                    root.start_soon(push.run)
            if (limit := ceiling(self.config.memory_limit_mb)) is not None:
                root.start_soon(guard(limit, self.routers, self.stats.memory).watch)
            async with trio.open_nursery() as logs:
                for each in self.access_logs:
                    logs.start_soon(each.run)
                async with trio.open_nursery() as servers:
                    for running in self.routers:
                        for server in running.servers:
                            await servers.start(server.run, grace)
                    self.started_at = trio.current_time()
                    task_status.started(tuple(listening for listening, _ in sockets))
                    root.start_soon(self._prime)
                    await self.stopping.wait()
                    until = trio.current_time() + grace
                    self._unready = "shutting down"
                    self._remove_files()
                    for running in self.routers:
                        for server in running.servers:
                            server.drain()
                logs.cancel_scope.deadline = trio.current_time() + FLUSH
                for each in self.access_logs:
                    each.close()
            with trio.move_on_at(until):
                await self._hand_over_spans()
            root.cancel_scope.cancel()

    async def _hand_over_spans(self) -> None:
        """Wait until the exporters have nothing left, when there will be no more requests."""
        for exporter in self.tracing.exporters:
            exporter.close()
        for exporter in self.tracing.exporters:
            await exporter.ended()

    def _remove_files(self) -> None:
        while self._files:
            self._files.pop().remove()

    def shutdown(self) -> None:
        """Begin the drain: `run` returns when what is under way is answered, or the grace time is over."""
        if not self.stopping.is_set():
            grace = self.config.admin.shutdown_grace_ms / 1000
            log.info("draining: no new connections, what is under way is answered", grace_seconds=grace)
        self.stopping.set()

    def reopen_logs(self) -> None:
        """Go on in new files, where access logs are files: whoever rotates them has moved the old ones away."""
        for each in self.access_logs:
            each.reopen()

    def give_hints(self) -> None:
        """Log what in the configuration is hardly meant."""
        for hint in hints(self.config, self.naming.builtins, self.zone):
            log.warning("the configuration has what is hardly meant", hint=str(hint))

    def to_epoch(self) -> float:
        """Return what turns trio's clock into seconds since 1970, when added to it."""
        return time.time() - trio.current_time()  # noqa: TID251  (for people; nothing is decided by it)

    def readiness(self) -> str | None:
        """Return None when traffic is welcome, else the reason why not."""
        return self._unready or expired(served_certificates(self.contexts), datetime.now(UTC))

    # Construction

    def _access_log(self, router: AnyRouter) -> AccessLogWriter:
        # Imported here, because most agents have none.
        from nodeagent.accesslog.writer import make_writer

        assert router.logged is not None
        counts = self.stats.access_log(router.label)
        writer = make_writer(router.logged, router.label, counts=counts, to_epoch=self.to_epoch, rng=self._rng)
        self.exchanges.describe = True
        self.exchanges.watch(writer.record)
        return writer

    def _router(self, config: AnyRouter) -> Router:
        opaque = isinstance(config, TcpRouter)
        own, admin = self._own[config.label], self._admin_ports
        guard = Guard(policies.guard_policy(config.address_guard), own.__contains__, admin.__contains__)
        composer = Composer(
            config.label,
            client_policy=lambda id_: policies.client_policy(config.client, id_, self.zone, opaque=opaque),
            service_policy=lambda name: policies.service_policy(config.service, name),
            dialer=Dialer(lambda endpoint: endpoint in own or endpoint in admin, self.contexts),
            stats=self.stats,
            rng=self._rng,
            alarms=self._alarms,
            checks=self._checks,
            guard=guard,
            peers=self._peers,
            around=self.tracing.around,
        )
        bindings = Bindings(
            dtab=self.naming.dtab(config),
            namers=self.naming.namers_of(config),
            limits=policies.cache_limits(config),
            timeout=config.binding_timeout_ms / 1000,
            make_client=composer.client,
            make_service=composer.service,
            failover=config.failover == "health",
            guard=guard,
        )
        zipkin = isinstance(config, HttpRouter) and isinstance(config.trace_propagator, ZipkinTracePropagator)
        return Router(
            config.label,
            prefix=config.dst_prefix,
            identify=policies.identifier(config),
            bindings=bindings,
            trace=make_trace(self._rng, b3=zipkin, rate=self.tracing.rate),
            stats=self.stats,
            max_error=config.max_err_response_kb * 1024 if isinstance(config, HttpRouter) else 0,
            exchanges=self.exchanges,
        )

    def _listen(self, inherited: list[socket.socket]) -> list[tuple[Listening, socket.socket]]:
        """Open every listener, or none."""
        opened: list[tuple[Listening, socket.socket]] = []
        try:
            for running in self.routers:
                opened += self._listen_router(running, inherited)
            if self._admin is None:
                listening, sock, file = open_admin(self.config.admin, inherited)
                opened.append((listening, sock))
                self._admin_file = file
        except BaseException:
            self._remove_files()
            for _, sock in opened:
                sock.close()
            raise
        for sock in inherited:
            log.warning("an inherited socket belongs to no listener", address=sock.getsockname())
        for label, own in self._own.items():  # other routers may be the next hop: out by one, in by the other
            own.add((each.host, each.port) for each, _ in opened if each.what == f"router {label}")
        admin = [each for each, _ in opened if each.what == "admin"] + ([self._admin] if self._admin else [])
        self._admin_ports.add((each.host, each.port) for each in admin)
        return opened

    def _listen_router(
        self, running: RunningRouter, inherited: list[socket.socket]
    ) -> Iterator[tuple[Listening, socket.socket]]:
        what = f"router {running.label}"
        for config in running.config.servers:
            options = config.socket_options
            sock = take_inherited(inherited, *config.address) or self._bind(what, config)
            listening = Listening(what, *address(sock))
            name = config.name
            stats = self.stats.server(running.label, listening.host, listening.port)
            try:
                tls = make_handshakes(config, self.contexts, stats)
            except TlsConfigError as error:
                sock.close()
                raise ListenError(f"{listening} cannot speak TLS: {error}") from None
            running.servers.append(
                Server(
                    sock,
                    running.router if name is None else running.router.always(running.router.prefix + name),
                    policies.server_limits(running.config, config),
                    stats,
                    edge=make_edge(config, running.label, listening.address, self._rng),
                    options=ConnectionOptions(options.no_delay, options.keep_alive, config.proxy_protocol),
                    converse=TcpConversation if isinstance(config, TcpServer) else Conversation,
                    everyone=self._connections,
                    who=self._callers.of,
                    tls=tls,
                )
            )
            yield listening, sock

    def _bind(self, what: str, config: Listener) -> socket.socket:
        options = config.socket_options
        if config.path is not None:
            sock, file = listen_unix(what, config.path, mode=int(config.mode, 8), backlog=options.backlog)
            self._files.append(file)
            return sock
        reuse = {"reuse_addr": options.reuse_addr, "reuse_port": options.reuse_port}
        return listen(what, config.ip, config.port, **reuse, backlog=options.backlog)

    # Tasks

    async def _serve_admin(
        self, sock: socket.socket, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        # Imported here, because only a running agent should pay for the libraries of the admin server.
        from nodeagent.admin.app import admin_app
        from nodeagent.admin.serve import serve

        app = admin_app(self, socket.gethostname())
        await serve(app, sock, self.config.admin, shutdown=trio.sleep_forever, task_status=task_status)

    async def _housekeeping(self) -> None:
        """Let go of what is unused, move the statistics on, and take back what was changed for a time."""
        window_at = trio.current_time() + SWEEP_SECONDS
        while True:
            await trio.sleep(HOUSEKEEPING)
            now = trio.current_time()
            look_after(self.levels, now)
            self._warn_of_expiry()
            for running in self.routers:
                await running.router.bindings.sweep(now)
            if now >= window_at:
                await self.stats.sweep(now)
                window_at = now + SWEEP_SECONDS

    def _warn_of_expiry(self) -> None:
        certificates = own_certificates(self.contexts)
        if not certificates:
            return
        now = datetime.now(UTC)
        for validity in self._expiry.due(certificates, now):
            hours = round((validity.expires - now).total_seconds() / 3600, 1)
            log.warning("a certificate nears its end, and was not replaced", file=validity.file, hours_left=hours)

    async def _counted(self) -> Registry:
        return self.stats

    def _report_naming(self) -> None:
        """Bring the statistics of the namers up to date, when somebody looks at them."""
        totals = self.naming.watches.totals()
        for source in {*totals, *self.naming.sources}:
            found, stats = totals.get(source, SourceTotals()), self.stats.namer(source)
            stats.updates, stats.errors = found.updates, found.errors
            stats.staleness, stats.overdue_answers = found.staleness, found.overdue

    def _report_certificates(self) -> dict[str, float]:
        return {file: each.expires.timestamp() for file, each in own_certificates(self.contexts).items()}

    async def _prime(self) -> None:
        """Try the names that listeners stand for and dtabs spell out, so that the first request finds them bound."""
        self._unready = "trying the names of the dtabs"
        async with trio.open_nursery() as nursery:
            for running in self.routers:
                nursery.start_soon(self._prime_router, running)
        if not self.stopping.is_set():
            self._unready = None
            self.primed.set()

    async def _prime_router(self, running: RunningRouter) -> None:
        bindings = running.router.bindings
        await bindings.wait_dtab()
        async with trio.open_nursery() as nursery:
            prefix = running.config.dst_prefix
            own = (prefix + server.name for server in running.config.servers if server.name is not None)
            for name in dict.fromkeys((*own, *primed_names(bindings.dtab, prefix))):
                nursery.start_soon(self._try_name, running, name)

    async def _try_name(self, running: RunningRouter, name: Path) -> None:
        try:
            await running.router.bindings.service(name, None)
        except NoSuchName:
            log.info("a name of the dtab is bound to nothing", router=running.label, name=name.show())
        except ProxyError as error:
            log.warning("a name of the dtab cannot be bound yet", router=running.label, error=error.message)
