"""Discovery and balancing as they stand, for people and scripts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from namer.addr import Addr, AddrBound, AddrFailed, AddrNeg, AddrPending
from namer.binding import verdict
from namer.cell import Cell
from namer.dtab import Dtab
from namer.dtabcell import DtabState
from namer.namer import Failure, Pending
from namer.nametree import Alt, Empty, Fail, Leaf, Neg, Union
from namer.watch import WatchStatistics
from nodeagent.admin.view import RouterView
from nodeagent.explanation import Freshness, show_addr, show_node
from nodeagent.proxy.balance import Client
from nodeagent.proxy.binding import Binding

Json: TypeAlias = dict[str, Any]


def routers(routers: Iterable[RouterView], now: float) -> list[Json]:
    """Each router: where it listens, what stands before its names, and the table in force, a dentry a line.

    The table is None while there is none; how fresh it is stands beside it (`Freshness`).
    """
    return [
        {
            "router": router.label,
            "prefix": router.router.prefix.show(),
            "servers": [server.stats.address for server in router.servers],
            **_show_table(router.router.bindings.table, now),
        }
        for router in routers
    ]


def bound_names(routers: Iterable[RouterView]) -> list[str]:
    """The concrete names that are in use in any router, as linkerd 1.x lists them."""
    return sorted({client.id.show() for router in routers for client in router.router.bindings.clients.values()})


def client_state(routers: Sequence[RouterView], now: float) -> dict[str, Json]:
    """By concrete name: its addresses as discovery has them, and what each router makes of them."""
    state: dict[str, Json] = {}
    for router in routers:
        for client in router.router.bindings.clients.values():
            shown = state.setdefault(client.id.show(), {**_show_addresses(client.addr, now), "routers": {}})
            shown["routers"][router.label] = _show_balancing(client)
    return state


def logical_names(routers: Iterable[RouterView]) -> list[Json]:
    """The logical names in use, by router, each with the caller's own dentries if there are any, and its clients.

    `clients` are the concrete names that its traffic goes to now, each with its share.
    """
    return [
        {
            "router": router.label,
            "name": binding.path.show(),
            "dtab": binding.dtab.show() or None,
            "clients": _show_clients(binding),
        }
        for router in routers
        for binding in router.router.bindings.names.values()
    ]


def namer_state(watches: Iterable[WatchStatistics], now: float) -> list[Json]:
    """Every live source: where it comes from, what of, who wants it, what it says, and how fresh that is (`Freshness`).

    `overdue` when it is stale for longer than `maxStaleSecs`.
    """
    return [
        {
            "source": watch.key.source,
            "what": watch.key.what,
            "name": watch.key.name,
            "subscribers": watch.subscribers,
            "state": _show_state(watch.value),
            "endpoints": len(watch.value.endpoints) if isinstance(watch.value, AddrBound) else None,
            "version": watch.version,
            "overdue": watch.overdue,
            **Freshness.of(watch, now).to_json(),
        }
        for watch in watches
    ]


def _show_table(table: Cell[DtabState], now: float) -> Json:
    value = table.value
    freshness = Freshness.of(table, now)
    return {
        "dtab": ";\n".join(dentry.show() for dentry in value.dentries) if isinstance(value, Dtab) else None,
        **freshness.to_json(),
        "error": value.reason if isinstance(value, Failure) else freshness.error,
    }


def _show_clients(binding: Binding) -> list[Json]:
    derivation = None if binding.service is None else binding.service.derivation
    return [{"id": id_.show(), "weight": weight} for id_, weight in (() if derivation is None else derivation.branches)]


def _show_state(value: object) -> str | None:
    """What a source says of a name or an address, in one word; None for what is neither."""
    match value:
        case AddrBound() | AddrNeg() | AddrPending() | AddrFailed():
            return show_addr(value)
        case Failure():
            return "failed"
        case Pending() | Leaf() | Alt() | Union() | Neg() | Empty() | Fail():
            return verdict(value)
        case _:
            return None


def _show_addresses(addr: Cell[Addr], now: float) -> Json:
    value = addr.value
    endpoints = value.endpoints if isinstance(value, AddrBound) else ()
    return {
        "addr": show_addr(value),
        "endpoints": [endpoint.show() for endpoint in endpoints],
        "version": addr.version,
        "age": Freshness.of(addr, now).age,
        "error": value.reason if isinstance(value, AddrFailed) else addr.error,
    }


def _show_balancing(client: Client) -> Json:
    statistics = client.balancer.statistics()
    shown: Json = {
        "connections": client.connections,
        "alive": statistics.alive,
        "dead": statistics.dead,
        "probing": statistics.probing,
    }
    if client.checked is not None:
        shown["failing_checks"] = client.checked.failing()
    if statistics.local_share is not None:
        shown["local_share"] = round(statistics.local_share, 3)
    return shown | {"endpoints": [show_node(node) for node in statistics.nodes]}
