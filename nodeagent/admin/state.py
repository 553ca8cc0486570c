"""Discovery and balancing as they stand, for people and scripts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from namer.addr import Addr, AddrBound, AddrFailed
from namer.cell import Cell
from namer.watch import WatchStatistics
from nodeagent.admin.view import RouterView
from nodeagent.explain import show_addr, show_node
from nodeagent.proxy.balance import Client

Json: TypeAlias = dict[str, Any]


def bound_names(routers: Iterable[RouterView]) -> list[str]:
    """The concrete names that are in use in any router, as linkerd 1.x lists them."""
    return sorted({id_.show() for router in routers for id_ in router.router.bindings.clients})


def client_state(routers: Sequence[RouterView], now: float) -> dict[str, Json]:
    """By concrete name: its addresses as discovery has them, and what each router makes of them."""
    state: dict[str, Json] = {}
    for router in routers:
        for id_, client in router.router.bindings.clients.items():
            shown = state.setdefault(id_.show(), {**_show_addresses(client.addr, now), "routers": {}})
            shown["routers"][router.label] = _show_balancing(client)
    return state


def namer_state(watches: Iterable[WatchStatistics], now: float) -> list[Json]:
    """Every live source: where it comes from, what of, how fresh it is, who wants it, what went wrong."""
    return [
        {
            "source": watch.key.source,
            "what": watch.key.what,
            "name": watch.key.name,
            "subscribers": watch.subscribers,
            "version": watch.version,
            "age": _age(watch.updated_at, now),
            "error": watch.error,
        }
        for watch in watches
    ]


def _show_addresses(addr: Cell[Addr], now: float) -> Json:
    value = addr.value
    endpoints = value.endpoints if isinstance(value, AddrBound) else ()
    return {
        "addr": show_addr(value),
        "endpoints": [endpoint.show() for endpoint in endpoints],
        "version": addr.version,
        "age": _age(addr.updated_at, now),
        "error": value.reason if isinstance(value, AddrFailed) else addr.error,
    }


def _show_balancing(client: Client) -> Json:
    statistics = client.balancer.statistics()
    return {
        "connections": client.connections,
        "alive": statistics.alive,
        "dead": statistics.dead,
        "probing": statistics.probing,
        "endpoints": [show_node(node) for node in statistics.nodes],
    }


def _age(updated_at: float | None, now: float) -> float | None:
    """Seconds since a value was last confirmed; None for one that never was, and for a constant."""
    return None if updated_at is None else round(now - updated_at, 3)
