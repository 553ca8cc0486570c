"""The ASGI application of the admin port: which page is where.

Pages only read, but for `POST /admin/shutdown` and `POST /logging.json`. They run on the event loop; none waits but for
discovery, within a limit, and what tells of all names lets traffic pass in between.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Any, Final

import structlog
import trio
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

import conf
from conf import AgentConfig
from conf.admin import Admin
from conf.telemetry import InfluxDb, Prometheus
from nodeagent import __version__
from nodeagent.admin import dashboard, logs, names, profiles, requests, state
from nodeagent.admin.answers import JsonAnswer, problem
from nodeagent.admin.guard import Guard
from nodeagent.admin.security import Gate, PathRules
from nodeagent.admin.tap import TapPage, watching
from nodeagent.admin.token import token_of
from nodeagent.admin.view import AgentView, IdentityView
from nodeagent.telemetry import influxdb, linkerd_metrics
from nodeagent.telemetry import log as agent_log
from nodeagent.telemetry.prometheus import Exposition
from nodeagent.telemetry.registry import Registry

YES: Final = frozenset({"", "1", "t", "true"})
"""What `?tree=` and `?pretty=` take for yes."""

log = structlog.get_logger("nodeagent.admin")


def admin_app(agent: AgentView, machine: str) -> Starlette:
    """Make the application for one agent; `machine` is the name of this host, by which it may be asked too.

    Raises TokenError when the file of the token is not usable.
    """
    return guarded(_Pages(agent).routes(), agent.config.admin, machine)


def guarded(routes: list[Route], config: Admin, machine: str) -> Starlette:
    """Make an application of pages, each of which is asked for only as the configuration allows. Raises TokenError."""
    security = config.security
    rules = PathRules(
        ui=security.ui_enabled,
        control=security.control_enabled,
        diagnostics=security.diagnostics_enabled,
        whitelist=security.path_whitelist,
        blacklist=security.path_blacklist,
    )
    exposed = config.path is None and not ip_address(config.ip).is_loopback
    public = [re.compile(pattern) for pattern in config.public_paths]
    gate = Gate(rules, machine, exposed=exposed, token=token_of(config), public=public)
    return Starlette(
        routes=routes,
        middleware=[Middleware(Guard, gate)],
        exception_handlers={HTTPException: _problem},
    )


class _Pages:
    """The pages of one agent."""

    def __init__(self, agent: AgentView) -> None:
        self._agent = agent
        self._tap = TapPage(lambda wanted: watching(agent.exchanges, agent.to_epoch, wanted))
        configured = prometheus_pages(agent.config)
        self._expositions = {path: Exposition(agent.stats, __version__, prefix) for path, prefix in configured.items()}

    def routes(self) -> list[Route]:
        return [
            *dashboard.routes(),
            Route("/admin/ping", self.ping),
            Route("/live", self.ping),
            Route("/ready", self.ready),
            *(Route(path, self.metrics) for path in sorted(self._expositions)),
            Route("/admin/metrics.json", self.metrics_json),
            *(Route(path, self.influxdb) for path in influxdb_pages(self._agent.config)),
            Route("/delegator.json", self.delegator, methods=["GET", "POST"]),
            Route("/explain.json", self.explain),
            Route("/config.json", self.config),
            Route("/routers.json", self.routers),
            Route("/names.json", self.logical_names),
            Route("/bound-names.json", self.bound_names),
            Route("/client_state.json", self.client_state),
            Route("/namer_state.json", self.namer_state),
            Route("/requests.json", self.requests),
            Route("/requests/{id}.json", self.request),
            Route("/tap", self._tap.page),
            Route("/identity.json", self.identity),
            Route("/logging.json", self.levels, methods=["GET", "POST"]),
            Route("/log.json", self.recent),
            Route("/profile", profiles.profile_page),
            Route("/heap.json", profiles.heap_page, methods=["GET", "POST"]),
            Route("/admin/shutdown", self.shutdown, methods=["POST"]),
        ]

    async def ping(self, request: Request) -> Response:  # noqa: ARG002
        return PlainTextResponse("pong")

    async def ready(self, request: Request) -> Response:  # noqa: ARG002
        return readiness(self._agent.readiness(), self._agent.warnings())

    async def metrics(self, request: Request) -> Response:
        return await exposed(request, self._expositions[request.url.path])

    async def metrics_json(self, request: Request) -> Response:
        return await metrics_json(request, self._agent.stats)

    async def influxdb(self, request: Request) -> Response:
        return influxdb_page(request, self._agent.stats)

    async def delegator(self, request: Request) -> Response:
        return await names.delegator(request, self._agent.routers)

    async def explain(self, request: Request) -> Response:
        return await names.explanation(request, self._agent.routers)

    async def config(self, request: Request) -> Response:  # noqa: ARG002
        return JsonAnswer(conf.effective(self._agent.config))

    async def routers(self, request: Request) -> Response:  # noqa: ARG002
        return JsonAnswer(state.routers(self._agent.routers, trio.current_time()))

    async def logical_names(self, request: Request) -> Response:  # noqa: ARG002
        return JsonAnswer(state.logical_names(self._agent.routers))

    async def bound_names(self, request: Request) -> Response:  # noqa: ARG002
        return JsonAnswer(state.bound_names(self._agent.routers))

    async def client_state(self, request: Request) -> Response:  # noqa: ARG002
        return JsonAnswer(state.client_state(self._agent.routers, trio.current_time()))

    async def namer_state(self, request: Request) -> Response:  # noqa: ARG002
        return JsonAnswer(state.namer_state(self._agent.naming.watches.statistics(), trio.current_time()))

    async def requests(self, request: Request) -> Response:
        return requests.latest(request, self._agent.recent, self._agent.to_epoch())

    async def request(self, request: Request) -> Response:
        return requests.one(request, self._agent.recent, self._agent.to_epoch())

    async def levels(self, request: Request) -> Response:
        return await logs.levels_page(request, self._agent.levels)

    async def recent(self, request: Request) -> Response:  # noqa: ARG002
        return JsonAnswer(agent_log.recent())

    async def identity(self, request: Request) -> Response:  # noqa: ARG002
        return identity(self._agent.identity)

    async def shutdown(self, request: Request) -> Response:  # noqa: ARG002
        async def begin() -> None:
            log.info("shutdown was asked for on the admin port")
            self._agent.shutdown()

        # Only once the answer is sent: the end of the agent must not overtake it.
        return PlainTextResponse("shutting down\n", background=BackgroundTask(begin))


def readiness(waiting: str | None, warnings: list[str]) -> Response:
    """Answer a probe: why the agent is not ready, or that it is, with what an operator should see to all the same."""
    if waiting is not None:
        return PlainTextResponse(f"{waiting}\n", 503)
    return PlainTextResponse("".join(f"{line}\n" for line in ("ready", *(f"warning: {each}" for each in warnings))))


def identity(kept: IdentityView | None) -> Response:
    """Answer how the certificate of this host stands. Raises HTTPException 404 where the agent does not keep one."""
    if kept is None:
        raise HTTPException(404, "this agent does not keep the certificate of its host: there is no `identity`")
    return JsonAnswer(kept.to_json())


async def metrics_json(request: Request, registry: Registry) -> Response:
    """Answer a request for the metrics under linkerd's names. Raises HTTPException 404 where there are none.

    Others get their turn in between; cancelling is safe.
    """
    asked = request.query_params
    scope = asked.get("q", "")
    found: dict[str, Any] = {}
    fill = linkerd_metrics.fill_tree if asked.get("tree") in YES else linkerd_metrics.fill_flat
    try:
        for number, _ in enumerate(fill(found, registry, scope)):
            if number % 10 == 0:
                await trio.lowlevel.checkpoint()
    except linkerd_metrics.UnknownSubtreeError:
        raise HTTPException(404, f"there is no metric {scope!r}, nor any below it") from None
    return JsonAnswer(found, pretty=asked.get("pretty") in YES)


async def exposed(request: Request, exposition: Exposition) -> Response:
    """Answer a request of Prometheus. Others get their turn in between; cancelling is safe."""
    pieces, content_type = exposition.pieces(request.headers.get("accept", ""), request.query_params.getlist("name[]"))
    body = bytearray()
    for piece in pieces:
        body += piece
        await trio.lowlevel.checkpoint()
    return Response(bytes(body), headers={"content-type": content_type})


def influxdb_page(request: Request, registry: Registry) -> Response:
    """Answer a request for the metrics in InfluxDB's line protocol."""
    return PlainTextResponse(influxdb.render(registry, request.headers.get("host", "")))


def prometheus_pages(config: AgentConfig) -> dict[str, str]:
    """Return the pages for Prometheus by their paths, with what stands before the names of their metrics."""
    configured = {each.path: each.prefix for each in config.telemetry if isinstance(each, Prometheus)}
    return {"/metrics": "", "/admin/metrics/prometheus": ""} | configured


def influxdb_pages(config: AgentConfig) -> set[str]:
    """Return the paths of the pages for InfluxDB."""
    return {each.path for each in config.telemetry if isinstance(each, InfluxDb)}


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException), "it is registered for no other"
    return problem(request.scope["path"], error.status_code, error.detail, error.headers)
