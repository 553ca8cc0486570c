"""`nodeagent check CONFIG --routes FILE`: whether requests go where a table says that they should."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from nodeagent.cli.tasks import run_tasks

if TYPE_CHECKING:
    from conf import AgentConfig, Problem
    from conf.router import HttpRouter
    from conf.routes import Route, RouteTable
    from nodeagent.cli.offline import Resolver
    from nodeagent.explanation import Explanation


def check_routes(config: AgentConfig, path: str) -> int:
    """Print what does not go where the table in the file `path` expects it; 0 when all does, else 1."""
    import conf
    from conf.routes import read_routes
    from nodeagent.telemetry import log

    log.configure("critical")  # what goes wrong with a source stands in the mismatch
    try:
        table = read_routes(path)
    except conf.ConfigErrors as error:
        return _print(error.problems)
    routers = _readers(config)
    if not routers:
        return _print([f"{config.origins.origin}: there is no router of protocol http, and no other reads requests"])
    strangers = list(_unknown_routers(table, routers))
    if strangers:
        return _print(strangers)
    wrong = run_tasks(_run, config, table)
    if wrong:
        _print(line for lines in wrong for line in lines)
        click.echo(f"{table.origin}: {len(wrong)} of {_routes(len(table.routes))} not as expected", err=True)
        return 1
    click.echo(f"{table.origin}: {_routes(len(table.routes))}, all as expected")
    return 0


def _readers(config: AgentConfig) -> dict[str, HttpRouter]:
    """The routers that name requests, by label."""
    from conf.router import HttpRouter

    return {router.label: router for router in config.routers if isinstance(router, HttpRouter)}


def _unknown_routers(table: RouteTable, routers: Iterable[str]) -> Iterable[Problem]:
    from conf.errors import did_you_mean, nearest, quote

    for index, route in enumerate(table.routes):
        if route.router is not None and route.router not in routers:
            guess = did_you_mean(nearest(route.router, routers)) or f"; there is {', '.join(routers)}"
            yield table.problem(index, "router", f"there is no router {quote(route.router)}{guess}")


async def _run(config: AgentConfig, table: RouteTable) -> list[list[str]]:
    """Tell of each route that is not as expected what is wrong, in lines, in the order of the table."""
    import trio

    from nodeagent.cli.offline import Resolver, discovery

    found: dict[int, list[str]] = {}
    async with discovery(config) as naming:
        resolver = Resolver(naming)
        routers = _readers(config)
        first = next(iter(routers.values()))
        chosen = [routers[route.router] if route.router else first for route in table.routes]
        await resolver.read_tables(list({router.label: router for router in chosen}.values()))

        async def run_one(index: int) -> None:
            found[index] = await _check(resolver, chosen[index], table, index)

        async with trio.open_nursery() as nursery:
            for index in range(len(chosen)):
                nursery.start_soon(run_one, index)
    return [found[index] for index in sorted(found) if found[index]]


async def _check(resolver: Resolver, router: HttpRouter, table: RouteTable, index: int) -> list[str]:
    """Tell what is not as expected of one route: a line for each key, and below them the rules that led there."""
    from nodeagent.proxy.errors import BadRequest
    from nodeagent.routes import mismatches, rules_of

    def line(key: str, expected: str, found: str) -> str:
        return str(table.problem(index, key, f"{route.request}: {key}: expected {expected}, found {found}"))

    route = table.routes[index]
    try:
        found = await _explain(resolver, router, route)
    except BadRequest as refused:  # as the router would: there is no name
        if route.outcome == "error" and route.name is None:
            return []
        return [line("request", "a name", f"none: {refused.message}")]
    wrong = [line(each.key, each.expected, each.found) for each in mismatches(route, found)]
    return wrong and [*wrong, *(f"    {rule}" for rule in rules_of(found))]


async def _explain(resolver: Resolver, router: HttpRouter, route: Route) -> Explanation:
    """Explain what the router would make of the request. Raises BadRequest when it would refuse it."""
    from namer.dtab import Dtab
    from nodeagent.policies import identifier
    from nodeagent.routes import names_of_request

    names, local = names_of_request(route.asked, route.headers, identifier(router), router.dst_prefix)
    obeyed = any(server.trusts_dtabs for server in router.servers)
    return await resolver.explain(router, names, local if obeyed else Dtab.EMPTY)


def _print(lines: Iterable[Problem | str]) -> int:
    for line in lines:
        click.echo(line, err=True)
    return 1


def _routes(count: int) -> str:
    return "1 route" if count == 1 else f"{count} routes"
