"""What Consul says of a service, as instances: which are healthy enough, where they are, how heavy. Pure.

    health    the worst of an instance's checks and of its node's: maintenance, critical, warning, passing
    address   the service's, or the node's where it has none; an instance without a port cannot be dialled
    zone      the pair `zone` of the service, or of the node, or else their `Locality`
    weight    the largest that the configuration gives one of its tags, else Consul's own for its health

The forms are those of `/v1/health/service`. An entry of another form makes the whole answer unusable. An instance that
may not serve is kept apart, with the reason: a service whose instances all fail is not one that nobody knows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import msgspec

from namer.agents import NODE
from namer.subset import TAG, Meta
from namer.targets import Target

STATUSES: Final = ("passing", "warning", "critical", "maintenance")
"""From the best to the worst, as Consul's own clients order them."""

MAX_META: Final = 64  # tags and pairs of one instance, Consul's own limit for pairs
MAX_TEXT: Final = 512  # characters of one tag or value, as there

MAX_WEIGHT: Final = 1_000_000.0  # as in the configuration; Consul itself takes up to 65,535

MAX_PORT: Final = 65535

_IN_WORDS: Final = {"maintenance": "under maintenance"}
_MAINTENANCE: Final = ("_node_maintenance", "_service_maintenance:")


class Locality(msgspec.Struct, frozen=True, rename="pascal"):
    """Where something is, since Consul 1.17."""

    zone: str = ""


class Node(msgspec.Struct, frozen=True, rename="pascal"):
    """The machine of an instance."""

    node: str = ""
    address: str = ""
    datacenter: str = ""
    meta: dict[str, str] | None = None
    locality: Locality | None = None


class Weights(msgspec.Struct, frozen=True, rename="pascal"):
    """What Consul's own DNS weighs an instance by."""

    passing: float = 1.0
    warning: float = 1.0


class Service(msgspec.Struct, frozen=True, rename="pascal"):
    """The instance as it was registered."""

    id: str = msgspec.field(name="ID", default="")
    tags: list[str] | None = None
    address: str = ""
    port: int = 0
    meta: dict[str, str] | None = None
    weights: Weights | None = None
    locality: Locality | None = None


class Check(msgspec.Struct, frozen=True, rename="pascal"):
    """A check of the instance or of its node."""

    check_id: str = msgspec.field(name="CheckID", default="")
    status: str = ""


class Entry(msgspec.Struct, frozen=True, rename="pascal"):
    """One instance in Consul's answer."""

    node: Node
    service: Service
    checks: list[Check] | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """How instances are read: the statuses that may serve, weights by tag, whose address is meant."""

    statuses: frozenset[str] = frozenset({"passing", "warning"})
    weights: Mapping[str, float] = field(default_factory=dict)
    prefer_service_address: bool = True


@dataclass(frozen=True, slots=True)
class Instance:
    """One that may serve. `node` and `id` tell it from others, whatever else of it changes."""

    node: str
    id: str
    target: Target

    @property
    def meta(self) -> Meta:
        """What is known of it besides."""
        return self.target.meta


Instances: TypeAlias = tuple[Instance, ...]


@dataclass(frozen=True, slots=True)
class Barred:
    """An instance that may not serve: why not, and what is known of it besides."""

    reason: str
    meta: Meta


@dataclass(frozen=True, slots=True)
class Registered:
    """What is registered of a service: who may serve and who may not."""

    serving: Instances = ()
    barred: tuple[Barred, ...] = ()


def registered(entries: Iterable[Entry], rules: Rules) -> Registered:
    """Consul's entries told apart, in an order that stays."""
    found = {(each.node.node, each.service.id): _judged(each, rules) for each in entries}
    in_order = [found[key] for key in sorted(found)]
    return Registered(
        tuple(each for each in in_order if isinstance(each, Instance)),
        tuple(each for each in in_order if isinstance(each, Barred)),
    )


def has_tag(meta: Meta, tag: str) -> bool:
    """Whether an instance has a tag, which is in lower case: Consul compares them without case."""
    return any(key == TAG and value.lower() == tag for key, value in meta)


def none_may_serve(name: str, barred: Iterable[Barred]) -> str:
    """What to tell people of a name all of whose instances are barred."""
    reasons = Counter(each.reason for each in barred)
    why = ", ".join(f"{reasons[reason]} {reason}" for reason in sorted(reasons))
    count = reasons.total()
    whole = "the only instance" if count == 1 else f"none of the {count} instances"
    return f"{whole} of {name} may {'not ' if count == 1 else ''}serve: {why}"


def health(entry: Entry) -> str:
    """The worst of an instance's checks; an unknown status counts as critical, and no checks as passing."""
    return max((_status(check) for check in entry.checks or ()), key=STATUSES.index, default="passing")


def _status(check: Check) -> str:
    if check.check_id.startswith(_MAINTENANCE):
        return "maintenance"
    return check.status if check.status in STATUSES else "critical"


def _judged(entry: Entry, rules: Rules) -> Instance | Barred:
    status, host, port, meta = health(entry), _address(entry, rules), entry.service.port, _meta(entry)
    weight = _weight(entry.service, status, rules)
    if status not in rules.statuses:
        return Barred(_IN_WORDS.get(status, status), meta)
    if not host:
        return Barred("without an address", meta)
    if not 0 < port <= MAX_PORT:
        return Barred("without a usable port", meta)
    if not weight > 0:
        return Barred("of weight 0", meta)
    return Instance(entry.node.node, entry.service.id, Target(host, port, min(weight, MAX_WEIGHT), meta))


def _address(entry: Entry, rules: Rules) -> str:
    own = entry.service.address if rules.prefer_service_address else ""
    return own or entry.node.address


def _weight(service: Service, status: str, rules: Rules) -> float:
    given = [rules.weights[tag] for tag in service.tags or () if tag in rules.weights]
    if given:
        return max(given)
    own = service.weights or Weights()
    return own.warning if status == "warning" else own.passing


def _meta(entry: Entry) -> Meta:
    """What is known of an instance: its tags, its pairs over those of its node, and where it is."""
    zones = (place.locality.zone for place in (entry.service, entry.node) if place.locality is not None)
    place = {NODE: entry.node.node, "dc": entry.node.datacenter}
    zone = {"zone": next(filter(None, zones), "")}
    pairs = place | zone | (entry.node.meta or {}) | (entry.service.meta or {}) | place  # first, and not to be changed
    tagged = [(TAG, tag) for tag in entry.service.tags or ()]
    known = [(key, value) for key, value in (*pairs.items(), *tagged) if value and len(key) + len(value) <= MAX_TEXT]
    return tuple(sorted(known[:MAX_META]))
