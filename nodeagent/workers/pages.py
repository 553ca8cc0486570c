"""The admin pages of the whole: numbers of all workers in one, other pages of one or of all of them.

A worker that hangs holds up no page for longer than `PAGE_TIME`: the others' answers are shown, and the header
`Nodeagent-Missing` says whose is not there; in the metrics it is `nodeagent_worker_up`. What the dead and the silent
told last stays counted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

import msgspec
import structlog
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

import conf
from nodeagent import __version__
from nodeagent.admin import dashboard
from nodeagent.admin.answers import JsonAnswer
from nodeagent.admin.app import (
    exposed,
    guarded,
    identity,
    influxdb_page,
    influxdb_pages,
    metrics_json,
    prometheus_pages,
    readiness,
)
from nodeagent.admin.logs import levels_page, read_change, set_level
from nodeagent.admin.names import read_body
from nodeagent.admin.profiles import MAX_TRACED, profile_question, show
from nodeagent.admin.requests import how_many, wanted_by
from nodeagent.admin.tap import TapPage
from nodeagent.telemetry import log as agent_log
from nodeagent.telemetry.profile import Profile
from nodeagent.telemetry.prometheus import Exposition
from nodeagent.workers import merge
from nodeagent.workers.channel import Ask
from nodeagent.workers.handle import NoAnswer
from nodeagent.workers.processes import AllProcesses, WorkerMetrics, WorkerNumbers
from nodeagent.workers.supervisor import PAGE_TIME, Supervisor
from nodeagent.workers.taps import watching

log = structlog.get_logger("nodeagent.admin")

MISSING: Final = "nodeagent-missing"
"""The header that says which workers have no part in a page, and why."""

WORKER: Final = "worker"
"""What a query says when it wants the page of one worker, by its number, instead of that of all."""


def host_app(supervisor: Supervisor, machine: str) -> Starlette:
    """Make the application for all workers; `machine` is the name of this host."""
    return guarded(_Pages(supervisor).routes(), supervisor.config.admin, machine)


class _Pages:
    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._tap = TapPage(lambda wanted: watching(supervisor, wanted))
        self._prefixes = prometheus_pages(supervisor.config)

    def routes(self) -> list[Route]:
        return [
            *dashboard.routes(),
            Route("/admin/ping", self.ping),
            Route("/live", self.ping),
            Route("/ready", self.ready),
            *(Route(path, self.metrics) for path in sorted(self._prefixes)),
            Route("/admin/metrics.json", self.metrics_json),
            *(Route(path, self.influxdb) for path in influxdb_pages(self._supervisor.config)),
            Route("/delegator.json", self.one, methods=["GET", "POST"]),
            Route("/explain.json", self.merged(merge.explanation)),
            Route("/config.json", self.config),
            Route("/routers.json", self.one),
            Route("/names.json", self.merged(merge.logical_names)),
            Route("/bound-names.json", self.merged(merge.names)),
            Route("/client_state.json", self.merged(merge.client_state)),
            Route("/namer_state.json", self.merged(merge.namer_state)),
            Route("/requests.json", self.requests),
            Route("/requests/{id}.json", self.merged(merge.request)),
            Route("/tap", self._tap.page),
            Route("/identity.json", self.identity),
            Route("/logging.json", self.levels, methods=["GET", "POST"]),
            Route("/log.json", self.recent),
            Route("/profile", self.profile),
            Route("/heap.json", self.heap, methods=["GET", "POST"]),
            Route("/workers.json", self.workers),
            Route("/admin/shutdown", self.shutdown, methods=["POST"]),
        ]

    async def ping(self, request: Request) -> Response:  # noqa: ARG002
        return PlainTextResponse("pong")

    async def ready(self, request: Request) -> Response:  # noqa: ARG002
        return readiness(self._supervisor.readiness(), self._supervisor.warnings())

    async def metrics(self, request: Request) -> Response:
        supervisor = self._supervisor
        missing = await supervisor.survey()
        numbers = [
            WorkerNumbers(number not in missing, deaths, *supervisor.ledger.traffic(number))
            for number, deaths in enumerate(supervisor.deaths)
        ]
        others = (
            AllProcesses(worker.process.pid for worker in supervisor.workers if worker is not None),
            WorkerMetrics(numbers),
        )
        prefix = self._prefixes[request.url.path]
        page = Exposition(supervisor.ledger.registry(), __version__, prefix, others)
        return _with(await exposed(request, page), missing.values())

    async def metrics_json(self, request: Request) -> Response:
        missing = await self._supervisor.survey()
        return _with(await metrics_json(request, self._supervisor.ledger.registry()), missing.values())

    async def influxdb(self, request: Request) -> Response:
        missing = await self._supervisor.survey()
        return _with(influxdb_page(request, self._supervisor.ledger.registry()), missing.values())

    async def config(self, request: Request) -> Response:  # noqa: ARG002
        return JsonAnswer(conf.effective(self._supervisor.config))

    async def workers(self, request: Request) -> Response:  # noqa: ARG002
        """By worker: its process, None while it is replaced; how far it is; how many died in its place."""
        return JsonAnswer(self._supervisor.standing())

    async def requests(self, request: Request) -> Response:
        count, _ = how_many(request), wanted_by(request)
        page: Response = await self.merged(lambda documents: merge.requests(documents, count))(request)
        return page

    async def profile(self, request: Request) -> Response:
        """Where the time of all workers goes, of each under its number, or of the one that is asked for."""
        seconds, form = profile_question(request)
        wait = seconds + PAGE_TIME
        if WORKER in request.query_params:
            return await self.one(request, wait)
        target = f"{request.url.path}?seconds={seconds}"
        answers, missing = await self._supervisor.ask_all(lambda id_: Ask(id_, "GET", target, [], b""), wait)
        profile = Profile()
        for number, answer in answers.items():
            if answer.status != 200:
                raise HTTPException(answer.status, answer.body.decode().strip())
            profile.stacks.update(Profile.of(answer.body.decode()).under(f"worker {number}").stacks)
        return _with(show(profile, form), missing.values())

    async def heap(self, request: Request) -> Response:
        return await self.one(request, MAX_TRACED + PAGE_TIME)

    async def one(self, request: Request, seconds: float = PAGE_TIME) -> Response:
        """The page of one worker: the one that is asked for, or whichever answers first in their order."""
        try:
            answer = await self._supervisor.ask_one(await _asking(request, request.method), _worker(request), seconds)
        except NoAnswer as error:
            raise HTTPException(503, str(error)) from None
        return Response(answer.body, answer.status, media_type=answer.content_type)

    def merged(self, merge: Callable[[Sequence[Any]], Any]) -> Callable[[Request], Any]:
        """A page that is made of those of all workers, unless one is asked for; where none has it, an error of them."""

        async def page(request: Request) -> Response:
            if WORKER in request.query_params:
                return await self.one(request)
            answers, missing = await self._supervisor.ask_all(await _asking(request, "GET"))
            if not answers:
                raise HTTPException(503, "; ".join(missing.values()))
            documents = [json.loads(answer.body) for answer in answers.values() if answer.status == 200]
            if not documents:
                first = next(iter(answers.values()))
                return Response(first.body, first.status, media_type=first.content_type)
            return _with(JsonAnswer(merge(documents)), missing.values())

        return page

    async def levels(self, request: Request) -> Response:
        """Those of this process, which all workers share: what is changed here is changed there, and in who comes."""
        if request.method != "POST":
            return await (self.one(request) if WORKER in request.query_params else self.levels_here(request))
        change = await read_change(request)
        answer = set_level(change, self._supervisor.levels)
        headers, body = [("content-type", "application/json")], msgspec.json.encode(change)
        _, missing = await self._supervisor.ask_all(lambda id_: Ask(id_, "POST", request.url.path, headers, body))
        return _with(answer, missing.values())

    async def levels_here(self, request: Request) -> Response:
        return await levels_page(request, self._supervisor.levels)

    async def recent(self, request: Request) -> Response:
        """The last warnings of all processes, in the order of their time."""
        answers, missing = await self._supervisor.ask_all(await _asking(request, "GET"))
        documents = [json.loads(answer.body) for answer in answers.values() if answer.status == 200]
        return _with(JsonAnswer(merge.recent([agent_log.recent(), *documents])), missing.values())

    async def identity(self, request: Request) -> Response:  # noqa: ARG002
        return identity(self._supervisor.identity)

    async def shutdown(self, request: Request) -> Response:  # noqa: ARG002
        async def begin() -> None:
            log.info("shutdown was asked for on the admin port")
            self._supervisor.shutdown()

        return PlainTextResponse("shutting down\n", background=BackgroundTask(begin))


def _worker(request: Request) -> int | None:
    """The worker that is asked for."""
    text = request.query_params.get(WORKER)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 4):
        raise HTTPException(400, f"{WORKER}={text!r}: expected the number of a worker, see /workers.json")
    return int(text)


async def _asking(request: Request, method: str) -> Callable[[int], Ask]:
    """What a worker is asked: the same as this agent."""
    body = await read_body(request) if request.method == "POST" else b""
    target = request.scope["raw_path"].decode("latin-1")
    if request.url.query:
        target += f"?{request.url.query}"
    return lambda id_: Ask(id_, method, target, request.headers.items(), body)


def _with(response: Response, missing: Collection[str]) -> Response:
    response.headers.update(_missing(missing))
    return response


def _missing(missing: Collection[str]) -> dict[str, str]:
    return {MISSING: ", ".join(missing)} if missing else {}
