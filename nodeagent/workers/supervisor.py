"""The supervisor: keeps so many workers alive, and has the one admin port. It touches no traffic.

run -- admin    the administrative port; outlives the workers, so that a drain can be watched
    |- survey   asks what was counted
    |- pushes   one a StatsD server, if there are any
    |- identity renews the certificate of this host, where that is configured
    '- keep     one a worker: starts it, waits for its end, starts another one
"""

from __future__ import annotations

import os
import random
import signal
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Final, TypeVar

import structlog
import trio

from balancer.backoff import EqualJitter
from conf import AgentConfig
from conf.telemetry import Statsd
from nodeagent.admin.serve import serve
from nodeagent.listen import Listening, open_admin
from nodeagent.telemetry.levels import Levels
from nodeagent.telemetry.log import look_after
from nodeagent.telemetry.registry import SWEEP_SECONDS, Registry
from nodeagent.workers.channel import Answer, Ask, Seen, Survey, Told, Watch
from nodeagent.workers.handle import NoAnswer, WorkerProcess
from nodeagent.workers.hire import Hire, memory_part
from nodeagent.workers.ledger import Ledger
from nodeagent.workers.sockets import open_ports
from nodeagent.workers.table import Table, make_table

if TYPE_CHECKING:
    from nodeagent.identity import HostIdentity

log = structlog.get_logger("nodeagent.supervisor")

SURVEY: Final = 10.0
"""Seconds between two times that workers are asked what they have counted, if nobody looks."""
LOOK: Final = 1.0
"""Seconds between two looks at what was changed for a time."""
SURVEY_TIME: Final = 2.0
"""Seconds that a worker has to tell it."""
PAGE_TIME: Final = 5.0
"""Seconds that a worker has for a page; discovery gets two of them."""
SETTLED: Final = 10.0
"""Seconds after which a worker that dies is replaced at once; one that dies sooner, after a pause."""
PAUSES: Final = EqualJitter(0.1, 2.0)
"""Short, for who connects meanwhile may wait for the replacement."""
LATE: Final = 5.0
"""Seconds beyond shutdownGraceMs after which a worker that has not drained is killed."""

R = TypeVar("R")


class Supervisor:
    """Runs the agent in several processes. Construct it within trio; nothing is bound or started before `run`."""

    def __init__(
        self, config: AgentConfig, text: str, rng: random.Random | None = None, *, log_level: str = "info"
    ) -> None:
        """`text` is the configuration as it was read; `log_level` is what workers log from the start."""
        self.config = config
        self._text = text
        self._rng = rng or random.Random()
        self.workers: list[WorkerProcess | None] = [None] * config.workers
        """Those that run; None while one is replaced."""
        self.deaths = [0] * config.workers
        self.ledger = Ledger(config.common_metrics.idle_ttl_secs)
        self.log_level = log_level
        self.levels = Levels()
        self.ledger.originators.update(router.label for router in config.routers if router.originator)
        self.identity: HostIdentity | None = None
        """What keeps the certificate of this host, None where nobody does; the workers see its files change."""
        if config.identity is not None:
            from nodeagent.identity import HostIdentity

            self.identity = self.ledger.identity = HostIdentity(config.identity, self._rng)
        self._all_serve = trio.Event()
        self.primed = trio.Event()
        """Set once all workers were ready for traffic."""
        self.stopping = trio.Event()
        """Set by `shutdown`."""

    async def run(
        self,
        inherited: Sequence[socket.socket] = (),
        *,
        task_status: trio.TaskStatus[tuple[Listening, ...]] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Keep the workers alive until `shutdown`, then drain them and return; tells the listeners once all serve.

        As `Agent.run`: raises ListenError, and cancelling cuts everything at once.
        """
        left = list(inherited)
        with ExitStack() as opened:
            ports = opened.enter_context(closing(open_ports(self.config, left)))
            admin, sock, file = open_admin(self.config.admin, left)
            opened.enter_context(sock)
            if file is not None:
                opened.callback(file.remove)
            for other in left:
                log.warning("an inherited socket belongs to no listener", address=other.getsockname())
            fd = make_table(self.config.workers)
            opened.callback(os.close, fd)
            hire = Hire(self.config, self._text, ports, admin, fd, memory_part(self.config))
            await self._serve(hire, sock, Table(fd, self.config.workers), task_status)

    async def _serve(
        self, hire: Hire, admin: socket.socket, table: Table, task_status: trio.TaskStatus[tuple[Listening, ...]]
    ) -> None:
        async with trio.open_nursery() as root:
            await root.start(self._serve_admin, admin)
            root.start_soon(self._survey_often)
            await self._start_pushes(root)
            root.start_soon(self._look_after_log)
            if self.identity is not None:
                root.start_soon(self.identity.run)
            async with trio.open_nursery() as workers:
                for worker in range(self.config.workers):
                    workers.start_soon(self._keep, worker, hire, table)
                await self._all_serve.wait()
                task_status.started((*hire.ports.listening(), hire.admin))
                await self.stopping.wait()
                hire.ports.close()  # so that the workers' own are the last, and who comes now is refused
                workers.cancel_scope.deadline = trio.current_time() + self.config.admin.shutdown_grace_ms / 1000 + LATE
                for running in self.workers:
                    if running is not None:
                        running.drain()
            if workers.cancel_scope.cancelled_caught:
                log.error("some workers had not drained in time, and were killed")
            root.cancel_scope.cancel()

    def shutdown(self) -> None:
        """Begin the drain: `run` returns when the workers have ended."""
        self.stopping.set()
        self._all_serve.set()

    def reopen_logs(self) -> None:
        """As `Agent.reopen_logs`, of all workers."""
        for running in self.workers:
            if running is not None:
                running.reopen_logs()

    def readiness(self) -> str | None:
        """Return None when traffic is welcome, else the reason why not."""
        if self.stopping.is_set():
            return "shutting down"
        for number, worker in enumerate(self.workers):
            if worker is None:
                return f"worker {number}: is replaced"
            if worker.unready is not None:
                return f"worker {number}: {worker.unready}"
            if worker.silent:
                return f"worker {number}: gives no answer"
        return None

    def warnings(self) -> list[str]:
        """Return what an operator should see to before it makes the agent unready, each once."""
        of_workers = [each for worker in self.workers if worker is not None for each in worker.warnings]
        kept = None if self.identity is None else self.identity.warning()
        return list(dict.fromkeys([*of_workers, *([] if kept is None else [kept])]))

    # What the pages ask for

    def standing(self) -> list[dict[str, object]]:
        """Return for each: its process, None while it is replaced; why it is not ready; how many died in its place."""
        return [
            {
                "worker": number,
                "pid": None if worker is None else worker.process.pid,
                "unready": "is replaced" if worker is None else worker.unready,
                "deaths": deaths,
            }
            for number, (worker, deaths) in enumerate(zip(self.workers, self.deaths, strict=True))
        ]

    async def survey(self) -> dict[int, str]:
        """Ask all workers what they have counted; return why for each that has not told."""
        told, missing = await self._gather(lambda worker: worker.call(Survey, Told, SURVEY_TIME))
        for number, answer in told.items():
            self.ledger.tell(number, answer.counts)
        return missing

    async def ask_all(
        self, ask: Callable[[int], Ask], seconds: float = PAGE_TIME
    ) -> tuple[dict[int, Answer], dict[int, str]]:
        """Ask all workers for a page; return their answers, and why for each that gave none in so many seconds."""
        return await self._gather(lambda worker: worker.call(ask, Answer, seconds))

    async def watch(self, tap: int, filter_: str, most: int) -> tuple[dict[int, Seen], dict[int, str]]:
        """Ask all workers what a tap saw since they were asked last; return that, and why for each that has not told.

        The first time opens it; who asks closes it.
        """
        return await self._gather(
            lambda worker: worker.call(lambda id_: Watch(id_, tap, filter_, most), Seen, PAGE_TIME)
        )

    def unwatch(self, tap: int) -> None:
        """Close a tap in all workers."""
        for running in self.workers:
            if running is not None:
                running.unwatch(tap)

    async def ask_one(self, ask: Callable[[int], Ask], wanted: int | None = None, seconds: float = PAGE_TIME) -> Answer:
        """Ask the worker of that number for a page, or the first that answers. Raises NoAnswer when there is none."""
        why = "no such worker runs"
        for number, worker in enumerate(self.workers):
            if worker is not None and wanted in (None, number) and not worker.silent:
                try:
                    return await worker.call(ask, Answer, seconds)
                except NoAnswer as error:
                    why = f"worker {number}: {error}"
        raise NoAnswer(why)

    async def _gather(self, call: Callable[[WorkerProcess], Awaitable[R]]) -> tuple[dict[int, R], dict[int, str]]:
        found: dict[int, R] = {}
        missing: dict[int, str] = {}

        async def one(number: int, worker: WorkerProcess) -> None:
            try:
                answer = await call(worker)
            except NoAnswer as error:
                missing[number] = f"worker {number}: {error}"
            else:
                if self.workers[number] is worker:  # what a dead one told last was taken in
                    found[number] = answer

        async with trio.open_nursery() as nursery:
            for number, worker in enumerate(self.workers):
                if worker is None:
                    missing[number] = f"worker {number}: is replaced"
                elif worker.silent:
                    missing[number] = f"worker {number}: gives no answer"
                else:
                    nursery.start_soon(one, number, worker)
        return dict(sorted(found.items())), dict(sorted(missing.items()))

    # Tasks

    async def _serve_admin(
        self, sock: socket.socket, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        from nodeagent.workers.pages import host_app

        app = host_app(self, socket.gethostname())
        await serve(app, sock, self.config.admin, shutdown=trio.sleep_forever, task_status=task_status)

    async def _start_pushes(self, root: trio.Nursery) -> None:
        if any(isinstance(each, Statsd) for each in self.config.telemetry):
            # Imported here, because a supervisor names nothing but for this.
            from nodeagent.naming.naming import Naming
            from nodeagent.push import pushes

            naming = Naming((), self._rng, self.config.dns)  # for the names of the servers
            await root.start(naming.run)
            for push in pushes(self.config.telemetry, self._counted, naming):
                root.start_soon(push.run)

    async def _counted(self) -> Registry:
        await self.survey()
        return self.ledger.registry()

    async def _survey_often(self) -> None:
        roll_at = trio.current_time() + SWEEP_SECONDS
        while True:
            await trio.sleep(SURVEY)
            await self.survey()
            if trio.current_time() >= roll_at:
                self.ledger.roll()
                roll_at += SWEEP_SECONDS

    async def _look_after_log(self) -> None:
        while True:
            await trio.sleep(LOOK)
            look_after(self.levels, trio.current_time())

    async def _keep(self, number: int, hire: Hire, table: Table) -> None:
        """Have a worker of this number until the agent stops."""
        pauses = PAUSES.delays(self._rng)
        while not self.stopping.is_set():
            began = trio.current_time()
            how = await self._employ(number, hire)
            self.workers[number] = None
            self.ledger.lose(number)
            table.clear(number)
            if self.stopping.is_set():
                return
            self.deaths[number] += 1
            pause = 0.0
            if trio.current_time() - began >= SETTLED:
                pauses = PAUSES.delays(self._rng)
            else:
                pause = next(pauses)
            log.error("a worker has ended and is replaced", worker=number, how=how, pause=round(pause, 3))
            with trio.move_on_after(pause):
                await self.stopping.wait()

    async def _employ(self, number: int, hire: Hire) -> str:
        """Have one worker process from its start to its end, and say how it ended."""
        try:
            worker = self.workers[number] = await hire.start(
                number,
                says_hints=number == 0 and not self.deaths[0],
                log_level=self.log_level,
                log_changes=self.levels.standing(trio.current_time()),
            )
        except OSError as error:  # no memory, no descriptors: later there may be some
            return f"it could not be started: {error}"
        if self.stopping.is_set():
            worker.drain()
        code = await worker.run(self._changed)
        how = "it gave no answer and was killed" if worker.hung else ending(code)
        return f"process {worker.process.pid}: {how}"

    def _changed(self) -> None:
        """A worker says how far it is."""
        running = [worker for worker in self.workers if worker is not None]
        if len(running) == len(self.workers):
            if all(worker.served.is_set() for worker in running):
                self._all_serve.set()
            if self.readiness() is None:
                self.primed.set()


def ending(code: int) -> str:
    """Say how a process ended, by its exit code, which is negative for a signal."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
