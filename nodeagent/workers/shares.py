"""The part of a configuration that is a worker's: what is a limit for the whole is divided among all. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeVar, cast

import msgspec
from msgspec.structs import replace

from conf import AgentConfig
from conf.balancing import HostConnectionPool
from conf.concurrency import FixedConcurrency, GradientConcurrency
from conf.server import Server, TcpServer
from conf.tls import ServerTlsKeys

DIVIDED: Final[Mapping[type[msgspec.Struct], Sequence[str]]] = {
    Server: ("max_concurrent_requests", "max_connections"),
    TcpServer: ("max_concurrent_requests", "max_connections"),
    ServerTlsKeys: ("max_handshakes",),
    HostConnectionPool: ("min_size", "max_size", "max_waiters"),
    FixedConcurrency: ("limit", "max_waiters"),
    GradientConcurrency: ("min_limit", "max_limit", "initial_limit", "max_waiters"),
}
"""Limits for the whole. What is a part of the traffic, or a time, is the same for each worker."""

T = TypeVar("T")


def share_of(
    config: AgentConfig, workers: int, ports: Sequence[Sequence[int]], memory_limit_mb: int | None
) -> AgentConfig:
    """Return the configuration of one of so many `workers`.

    `ports` are those on which the servers of each router really listen, `memory_limit_mb` is for this worker alone.
    """
    shared = divided(config, workers)
    routers = tuple(
        replace(
            router,
            servers=tuple(replace(server, port=port) for server, port in zip(router.servers, own, strict=True)),
        )
        for router, own in zip(shared.routers, ports, strict=True)
    )
    asked = replace(shared.admin, token=None, token_file=None)  # by the supervisor, which has seen to it
    return replace(shared, routers=routers, memory_limit_mb=memory_limit_mb, admin=asked)


def divided(value: T, workers: int) -> T:
    """Return a configuration, or a part of one, with its limits divided; none of them becomes 0 by that."""
    if isinstance(value, tuple):
        return cast("T", tuple(divided(each, workers) for each in value))
    if not isinstance(value, msgspec.Struct):
        return value
    limits = DIVIDED.get(type(value), ())
    changed = {}
    for name in value.__struct_fields__:
        old = getattr(value, name)
        new = part(old, workers) if name in limits else divided(old, workers)
        if new is not old:
            changed[name] = new
    return replace(value, **changed) if changed else value


def part(limit: int | None, workers: int) -> int | None:
    """Return a worker's part of a limit, at least 1; 0 and none at all are the same for each."""
    return max(1, limit // workers) if limit else limit
