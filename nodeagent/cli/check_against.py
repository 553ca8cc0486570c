"""`nodeagent check CONFIG --against URL`: which names of a running agent would go elsewhere with a configuration."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click
import msgspec

from nodeagent.cli.admin_client import AdminClient, decode
from nodeagent.cli.explain_documents import EXPLANATION, Explanation
from nodeagent.cli.tasks import run_tasks
from nodeagent.routes import SHARE_TOLERANCE

if TYPE_CHECKING:
    from conf import AgentConfig


class NameInUse(msgspec.Struct, frozen=True):
    """A logical name that a running agent has bound, with the dentries of its caller."""

    router: str
    name: str
    dtab: str | None


NAMES_IN_USE = msgspec.json.Decoder(tuple[NameInUse, ...])


@dataclass(frozen=True, slots=True)
class Place:
    """Where the traffic of a name goes: its outcome, the concrete names with their shares, the endpoints.

    `unknown` is what discovery did not tell in time, so that all the rest may be otherwise in a moment.
    """

    outcome: str
    bound: dict[str, float]
    endpoints: tuple[str, ...]
    unknown: tuple[str, ...] = ()

    @staticmethod
    def of(explanation: Explanation) -> Place:
        """What an explanation comes to."""
        bound: dict[str, float] = {}
        for leaf in explanation.bound:
            bound[leaf.id] = bound.get(leaf.id, 0.0) + leaf.weight
        endpoints = {endpoint for leaf in explanation.bound for endpoint in leaf.endpoints}
        return Place(explanation.outcome, bound, tuple(sorted(endpoints)), explanation.unknown)

    def to_json(self) -> dict[str, object]:
        """As an object; `unknown` stands there only when there is something."""
        unknown = {"unknown": self.unknown} if self.unknown else {}
        return {"outcome": self.outcome, "bound": self.bound, "endpoints": self.endpoints, **unknown}


@dataclass(frozen=True, slots=True)
class Comparison:
    """A name now, and with the configuration; None when that has no such router."""

    name: NameInUse
    now: Place
    then: Place | None

    @property
    def changes(self) -> tuple[str, ...]:
        """What would change: router, outcome, bound, endpoints; or unknown, when that cannot be told."""
        if self.then is None:
            return ("router",)
        if self.now.unknown or self.then.unknown:
            return ("unknown",)
        same = {
            "outcome": self.now.outcome == self.then.outcome,
            "bound": _same_shares(self.now.bound, self.then.bound),
            "endpoints": self.now.endpoints == self.then.endpoints,
        }
        return tuple(what for what, is_same in same.items() if not is_same)

    def to_json(self) -> dict[str, object]:
        """As an object."""
        return {
            "router": self.name.router,
            "name": self.name.name,
            "dtab": self.name.dtab,
            "changes": self.changes,
            "now": self.now.to_json(),
            "then": None if self.then is None else self.then.to_json(),
        }


def check_against(config: AgentConfig, url: str, *, as_json: bool) -> int:
    """Print the names in use that would change; 0 when none would, else 1. Raises ClickException."""
    from nodeagent.telemetry import log

    log.configure("critical")  # what goes wrong with a source stands in the answer
    client = AdminClient(url, "--against")
    names = decode(client.get("/names.json", {}), NAMES_IN_USE)
    now = [Place.of(_ask(client, name)) for name in names]
    then = run_tasks(_work_out, config, names)
    compared = [Comparison(*each) for each in zip(names, now, then, strict=True)]
    changed = [each for each in compared if each.changes]
    if as_json:
        click.echo(json.dumps({"names": len(compared), "changed": [each.to_json() for each in changed]}, indent=2))
    else:
        for each in changed:
            click.echo("\n".join(render(each)))
        click.echo(summary(compared))
    return 1 if changed else 0


def render(compared: Comparison) -> Iterator[str]:
    """A change for people: the name, and below it what it is now and what it would be."""
    name, now, then = compared.name, compared.now, compared.then
    yield f"{name.router}: {name.name}" + (f" with the dtab {name.dtab}" if name.dtab else "")
    if then is None:
        yield "  router: the configuration has no such router"
        return
    if "unknown" in compared.changes:
        yield f"  not known yet: {', '.join(now.unknown) or 'nothing'} -> {', '.join(then.unknown) or 'nothing'}"
    if "outcome" in compared.changes:
        yield f"  outcome: {now.outcome} -> {then.outcome}"
    if "bound" in compared.changes:
        yield f"  bound: {_show(now.bound)} -> {_show(then.bound)}"
    if "endpoints" in compared.changes:
        gone, new = set(now.endpoints) - set(then.endpoints), set(then.endpoints) - set(now.endpoints)
        yield "  endpoints: " + ", ".join([f"-{each}" for each in sorted(gone)] + [f"+{each}" for each in sorted(new)])


def summary(compared: Sequence[Comparison]) -> str:
    """How many names would change."""
    unknown = sum("unknown" in each.changes for each in compared)
    changed = sum(bool(each.changes) for each in compared) - unknown
    shown = f"{changed} of {len(compared)} names would change" if changed else "no name would change"
    return shown + (f"; {unknown} not known" if unknown else "")


def _ask(client: AdminClient, name: NameInUse) -> Explanation:
    query = {"path": name.name, "router": name.router, "dtab": name.dtab or ""}
    return decode(client.get("/explain.json", query), EXPLANATION)


async def _work_out(config: AgentConfig, names: Sequence[NameInUse]) -> list[Place | None]:
    import trio

    from namer.dtab import Dtab
    from namer.path import Path
    from nodeagent.cli.offline import Resolver, discovery

    routers = {router.label: router for router in config.routers}
    places: list[Place | None] = [None] * len(names)
    async with discovery(config) as naming:
        resolver = Resolver(naming)
        await resolver.read_tables([routers[label] for label in {name.router for name in names} & routers.keys()])

        async def one(index: int, name: NameInUse) -> None:
            path, local = Path.parse(name.name), Dtab.parse(name.dtab or "")
            found = await resolver.explain(routers[name.router], (path,), local)
            places[index] = Place.of(decode(json.dumps(found.to_json()).encode(), EXPLANATION))

        async with trio.open_nursery() as nursery:
            for index, name in enumerate(names):
                if name.router in routers:
                    nursery.start_soon(one, index, name)
    return places


def _same_shares(one: dict[str, float], other: dict[str, float]) -> bool:
    return one.keys() == other.keys() and all(abs(one[id_] - other[id_]) <= SHARE_TOLERANCE for id_ in one)


def _show(bound: dict[str, float]) -> str:
    shown = [id_ if share == 1.0 else f"{id_} {share:.4g}" for id_, share in bound.items()]
    return ", ".join(shown) or "nothing"
