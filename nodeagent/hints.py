"""What a configuration says that is valid and hardly meant: names that lead nowhere, a zone that nobody tells. Pure.

None of it stops the agent, because a table may be written for more than one agent, and what is missing may come by a
request's own rules. `nodeagent check` prints it, and the agent logs it when it starts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice

from conf import AgentConfig
from conf.access import AccessPolicy
from conf.balancing import RingHash
from conf.client import AnyClientPolicy, StaticClient, parts_of
from conf.errors import KeyPath, did_you_mean, nearest, show_key_path
from conf.guard import AddressGuard
from conf.interpreters import DefaultInterpreter
from conf.router import AnyRouter
from namer.dtab import ANY
from namer.nametree import Alt, Leaf, NameTree, Union
from namer.path import Path

CONFIGURED = "#"
BUILTIN = "$"
MAX_HINTS = 20
"""Of one router; a table of rubbish is not told line by line."""

ALL = "{range} is every address, loopback and the metadata services among them; list what is needed"
RING = "loadBalancer ringHash of {other} goes by its key, whatever the zone, for names that both prefixes match"
UNVERIFIED = "whoever answers is believed, whatever {key} says: disableValidation stands beside it"
NO_ZONE = "no zone is given, and the environment variable NODE_ZONE is not set, so no zone is preferred"


@dataclass(frozen=True, slots=True)
class Hint:
    """One thing that is hardly meant, and the key where it stands."""

    origin: str
    line: int | None
    key_path: str
    message: str

    def __str__(self) -> str:
        place = self.origin if self.line is None else f"{self.origin}:{self.line}"
        return f"{place}: {self.key_path}: warning: {self.message}"


def hints(config: AgentConfig, builtins: Collection[str], zone: str | None) -> Iterator[Hint]:
    """All hints of a configuration; `builtins` are the labels that may follow `/$`, `zone` is that of this host."""
    origins = config.origins
    prefixes = [namer.prefix for namer in config.namers]
    for index, router in enumerate(config.routers):
        at: KeyPath = ("routers", index, "dtab")
        for message in islice(_lost(router, prefixes, builtins), MAX_HINTS):
            yield Hint(origins.origin, origins.lines.get(at), show_key_path(at), message)
        for at, message in _allows_all(("routers", index, "addressGuard"), router.address_guard):
            yield Hint(origins.origin, origins.lines.get(at), show_key_path(at), message)
        for at, message in _ring_and_zone(("routers", index, "client"), router.client):
            yield Hint(origins.origin, origins.lines.get(at), show_key_path(at), message)
        for at, message in _unverified(("routers", index, "client"), router.client):
            yield Hint(origins.origin, origins.lines.get(at), show_key_path(at), message)
        for at, message in _shadowed(("routers", index, "policy", "rules"), router.policy):
            yield Hint(origins.origin, origins.lines.get(at), show_key_path(at), message)
        if zone is None:
            for at in _without_zone(("routers", index, "client"), router.client):
                yield Hint(origins.origin, origins.lines.get(at), show_key_path(at), NO_ZONE)


def _allows_all(at: KeyPath, guard: AddressGuard) -> Iterator[tuple[KeyPath, str]]:
    """Where a list of addresses is one of all addresses."""
    for number, allowed in enumerate(guard.allow):
        if allowed.endswith("/0"):
            yield (*at, "allow", number), ALL.format(range=allowed)


def _shadowed(at: KeyPath, policy: AccessPolicy | None) -> Iterator[tuple[KeyPath, str]]:
    """Rules of which a rule before them takes all."""
    if policy is not None:
        from nodeagent.policy.compiled import compiled  # imported here, because most agents have none

        for number, earlier in compiled(policy).shadowed():
            yield (*at, number), f"never decides: {earlier.name}, before it, fits all that this one fits"


def _unverified(at: KeyPath, policy: AnyClientPolicy) -> Iterator[tuple[KeyPath, str]]:
    """Where certificates to trust are given, and nobody's is looked at."""
    for place, keys in parts_of(policy):
        tls = keys.tls
        if tls is not None and tls.disable_validation:
            for key, given in (("trustCerts", tls.trust_certs), ("trustCertsBundle", tls.trust_certs_bundle)):
                if given:
                    yield (*at, *place, "tls", key), UNVERIFIED.format(key=key)


def _ring_and_zone(at: KeyPath, policy: AnyClientPolicy) -> Iterator[tuple[KeyPath, str]]:
    """Where a zone is preferred, and a ring that another prefix asks for lets it have no effect."""
    if not isinstance(policy, StaticClient):
        return
    balanced = [(number, each) for number, each in enumerate(policy.configs) if each.load_balancer is not None]
    for number, keys in enumerate(policy.configs):
        over = [(other, each) for other, each in balanced if keys.prefix.overlaps(each.prefix)]
        if keys.zone_preference is not None and over and isinstance(over[-1][1].load_balancer, RingHash):
            yield (*at, "configs", number, "zonePreference"), RING.format(other=f"configs[{over[-1][0]}]")


def _without_zone(at: KeyPath, policy: AnyClientPolicy) -> Iterator[KeyPath]:
    """Where a zone is preferred and none is given."""
    for place, keys in parts_of(policy):
        if keys.zone_preference is not None and keys.zone_preference.zone is None:
            yield (*at, *place, "zonePreference")


def _lost(router: AnyRouter, prefixes: list[Path], builtins: Collection[str]) -> Iterator[str]:
    """Why names that stand in the table of a router lead nowhere."""
    starts = {dentry.prefix.elements[0] for dentry in router.dtab.dentries if dentry.prefix.elements}
    matches_all = ANY in starts or any(not dentry.prefix.elements for dentry in router.dtab.dentries)
    whole = isinstance(router.interpreter, DefaultInterpreter) and not matches_all
    names = dict.fromkeys(path for dentry in router.dtab.dentries for path in _paths(dentry.dst))
    for path in names:
        if path and path[0] not in starts:
            message = _nowhere(path, prefixes, builtins, whole=whole)
            if message is not None:
                yield message


def _nowhere(path: Path, prefixes: list[Path], builtins: Collection[str], *, whole: bool) -> str | None:
    match path.labels:
        case (first, *_) if first == CONFIGURED:
            name = path[1:]
            if any(name.startswith(prefix) or prefix.startswith(name) for prefix in prefixes):
                return None
            known = [f"/{CONFIGURED}{prefix.show()}" for prefix in prefixes]
            guess = did_you_mean(nearest(path[:2].show(), known))
            return f"{path.show()}: no namer has this prefix{guess or _listed(known)}"
        case (first, label, *_) if first == BUILTIN:
            known = [f"/{BUILTIN}/{each}" for each in sorted(builtins)]
            guess = did_you_mean(nearest(path[:2].show(), known))
            return None if label in builtins else f"{path.show()}: there is no namer {path[:2].show()}{guess}"
        case (first, *_) if whole and first not in (CONFIGURED, BUILTIN):
            return f"{path.show()}: no rule begins with /{first}, so it leads nowhere"
        case _:
            return None


def _listed(known: list[str]) -> str:
    return f"; there are {', '.join(known)}" if known else "; no namers are configured"


def _paths(tree: NameTree[Path]) -> Iterator[Path]:
    match tree:
        case Leaf(path):
            yield path
        case Alt(trees):
            for each in trees:
                yield from _paths(each)
        case Union(branches):
            for branch in branches:
                yield from _paths(branch.tree)
        case _:
            return
