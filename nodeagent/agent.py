"""The agent: a configuration becomes listeners, routers and the tasks behind them. The composition root.

root -- naming      files, watches: one child a name that somebody needs
     |- certificates  certificates and keys whose files change: one child a file
     |- identity    renews the certificate of this host, where it is configured and this agent is the whole
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

import functools
import os
import random
import socket
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog
import trio

from balancer.peers import Peers
from conf import AgentConfig
from conf.router import AnyRouter
from namer.namer import Bound
from namer.watch import SourceTotals
from nodeagent.certificates import CertificateFiles
from nodeagent.endpointtls import endpoint_hints
from nodeagent.hints import hints
from nodeagent.listen import Listening
from nodeagent.listeners import Listeners
from nodeagent.listenertls import ExpiryWarnings, ends_soon, expired, own_certificates, served_certificates
from nodeagent.memory import ceiling, guard
from nodeagent.naming.naming import Naming
from nodeagent.priming import prime
from nodeagent.proxy.alarms import Alarms
from nodeagent.proxy.checks import Checks
from nodeagent.proxy.dispatch import Router
from nodeagent.push import pushes
from nodeagent.recording import keep_recent, write_access_logs
from nodeagent.routers import Common, RunningRouter, make_router
from nodeagent.telemetry.exchange import Exchanges
from nodeagent.telemetry.levels import Levels
from nodeagent.telemetry.log import look_after
from nodeagent.telemetry.registry import SWEEP_SECONDS, Registry
from nodeagent.tracing import make_tracing
from tls.contexts import Contexts

if TYPE_CHECKING:
    from nodeagent.identity import HostIdentity

log = structlog.get_logger("nodeagent.agent")

HOUSEKEEPING = 1.0
"""Seconds between two rounds of letting go what is unused."""

FLUSH = 1.0
"""Seconds, when all traffic has ended, for what access logs have not written yet."""


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
        self._admin = admin
        rng = rng or random.Random()
        self.zone = os.environ.get("NODE_ZONE") or None
        """The zone of this host, unless a policy says another one."""
        self.contexts = Contexts()
        self._expiry = ExpiryWarnings()
        self.naming = Naming(config.namers, rng, config.dns, self.contexts)
        self._checks = Checks(rng)
        self.stats = Registry(idle=config.common_metrics.idle_ttl_secs)
        self.stats.survey_namers = self._report_naming
        self.stats.survey_certificates = self._report_certificates
        self.identity: HostIdentity | None = None
        """What keeps the certificate of this host, None where nobody does, or whoever has the admin port."""
        if config.identity is not None and admin is None:
            from nodeagent.identity import HostIdentity  # an agent without one should not pay for it

            self.identity = HostIdentity(config.identity, rng)
            self.stats.survey_identity = self.identity.renewals
        self.stats.originators.update(router.label for router in config.routers if router.originator)
        self.levels = Levels()
        self._alarms = Alarms()
        self.exchanges = Exchanges()
        self.recent = keep_recent(config.telemetry, self.exchanges, rng)
        self.access_logs = write_access_logs(config.routers, self.exchanges, self.stats, self.to_epoch, rng)
        self.tracing = make_tracing(config.telemetry, rng, self.stats, self.to_epoch)
        for exporter in self.tracing.exporters:
            self.exchanges.watch(exporter.record)
        self._listeners = Listeners(config, self.contexts, self.stats, rng, admin)
        common = Common(
            naming=self.naming,
            contexts=self.contexts,
            stats=self.stats,
            exchanges=self.exchanges,
            tracing=self.tracing,
            alarms=self._alarms,
            checks=self._checks,
            rng=rng,
            zone=self.zone,
            peers=peers,
        )
        self.routers = tuple(RunningRouter(router, self._router(router, common)) for router in config.routers)
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
        sockets = self._listeners.open(self.routers, inherited)
        try:
            await self._serve(sockets, task_status)
        finally:
            self._listeners.close()
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
            if self.identity is not None:
                root.start_soon(self.identity.run)
            root.start_soon(self._checks.run)
            root.start_soon(self._housekeeping)
            root.start_soon(self._alarms.run)
            for exporter in self.tracing.exporters:
                root.start_soon(exporter.run)
            async with trio.open_nursery() as helpers:  # all at once: rules that do not come are waited for together
                for running in self.routers:
                    for helper in running.router.helpers:
                        helpers.start_soon(root.start, helper.run)
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
                    self._listeners.remove_files()
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
        for hint in (
            *hints(self.config, self.naming.builtins, self.zone),
            *endpoint_hints(self.config, self.contexts),
        ):
            log.warning("the configuration has what is hardly meant", hint=str(hint))

    def to_epoch(self) -> float:
        """Return what turns trio's clock into seconds since 1970, when added to it."""
        return time.time() - trio.current_time()  # noqa: TID251  (for people; nothing is decided by it)

    def readiness(self) -> str | None:
        """Return None when traffic is welcome, else the reason why not."""
        return self._unready or expired(served_certificates(self.contexts), datetime.now(UTC))

    def warnings(self) -> list[str]:
        """Return what an operator should see to before it makes the agent unready."""
        own = ends_soon(own_certificates(self.contexts), datetime.now(UTC))
        kept = None if self.identity is None else self.identity.warning()
        of_rules = (running.router.permits.warning() for running in self.routers if running.router.permits is not None)
        return [*own, *filter(None, (kept, *of_rules))]

    def _router(self, config: AnyRouter, common: Common) -> Router:
        is_own = functools.partial(self._listeners.is_own, config.label)
        return make_router(config, common, is_own=is_own, is_admin=self._listeners.is_admin)

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
        own = {file: each.expires.timestamp() for file, each in own_certificates(self.contexts).items()}
        return own if self.identity is None else self.identity.expiry() | own

    async def _prime(self) -> None:
        """Try names, so that the first request finds them bound; then traffic is welcome."""
        self._unready = "trying the names of the dtabs"
        await prime(self.routers)
        if not self.stopping.is_set():
            self._unready = None
            self.primed.set()
