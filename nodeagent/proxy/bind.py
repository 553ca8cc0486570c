"""Bound names: what a logical name means now, kept in step with discovery.

A `Binding` holds one (name, local dtab): the tree it binds to and the `Service` composed for it. It subscribes to every
cell that the binding read; when one changes it binds again, at once and synchronously, so the next request sees it, and
one that is under way can go on with it. A name that is bound costs a request one look-up in `Bindings`.

How healthy a concrete name is counts as such an answer, unless `failover` is off: a branch without a usable endpoint is
passed over. Its `Client` is kept, and the service tries it as its balancer asks for, so that it is taken again.

Two caches, both bounded and neither ever the reason of an error: bindings by name, clients by concrete id. When one is
full, the entry that was not used for the longest time leaves (second chance, so that use costs only a flag); requests
that still hold it finish with it. Entries that nobody used for `idle_ttl` leave too.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import trio

from namer.binding import Namers, Outcome, Share, bind, shares
from namer.cell import Cell
from namer.dtab import Dtab
from namer.dtabcell import DtabState
from namer.health import Assess, Health, by_addresses
from namer.namer import Bound, Failure, Pending
from namer.nametree import Empty, Fail
from namer.path import Path
from nodeagent.proxy.balance import Client
from nodeagent.proxy.errors import BindTimeout, NoEndpoints, NoSuchName, ProxyError
from nodeagent.proxy.service import Leaves, Service

Key: TypeAlias = Path | tuple[Path, Dtab]
"""A name, with the caller's local dtab when there is one."""


@dataclass(frozen=True, slots=True)
class CacheLimits:
    """Sizes of the two caches and seconds until an unused entry leaves."""

    names: int = 1000
    clients: int = 1000
    idle_ttl: float = 600.0


@dataclass(slots=True)
class CacheCounts:
    """What a cache did so far."""

    misses: int = 0
    evicts: int = 0
    expires: int = 0


class Binding:
    """One logical name as bound now. Exactly one of `service` and `error` is set, or neither while it is pending."""

    __slots__ = (
        "cells",
        "changed",
        "clients",
        "dtab",
        "error",
        "on_change",
        "path",
        "service",
        "unused_since",
        "used",
    )

    def __init__(self, path: Path, dtab: Dtab) -> None:
        self.path = path
        self.dtab = dtab
        """The caller's local dtab only."""
        self.service: Service | None = None
        self.error: ProxyError | None = None
        self.cells: tuple[Cell[Any], ...] = ()
        self.clients: tuple[Client, ...] = ()
        """Those that it holds: all that were met on the way to what it is bound to."""
        self.changed = trio.Event()
        """Set and replaced at each new state."""
        self.on_change: Callable[[], None] = _nothing
        self.used = True
        """Since the last sweep."""
        self.unused_since = math.inf


class Bindings:
    """The bound names of one router."""

    def __init__(
        self,
        *,
        dtab: Cell[DtabState],
        namers: Namers,
        limits: CacheLimits,
        timeout: float,
        make_client: Callable[[Bound], Client],
        make_service: Callable[[Path, Leaves, Leaves, Service | None], Service],
        failover: bool = True,
    ) -> None:
        """`dtab` is the router's table, which may change; `timeout` is bindingTimeoutMs in seconds.

        `make_service` composes what a bound name does with a request: from its leaves, the clients that were passed
        over, and the service that it follows. Without `failover`, names alone decide.
        """
        self._dtab = dtab
        dtab.subscribe(_nothing)  # a table is followed whether or not a name is bound
        self.namers = namers
        self.timeout = timeout
        self._limits = limits
        self._make_client = make_client
        self._make_service = make_service
        self._failover = failover
        self.names: dict[Key, Binding] = {}
        self.clients: dict[Path, Client] = {}
        self.name_counts = CacheCounts()
        self.client_counts = CacheCounts()

    def service_nowait(self, path: Path, local: Dtab | None) -> Service | None:
        """Return the service that `path` is bound to, None when `service` has to be awaited for that."""
        binding = self.names.get(path if local is None else (path, local))
        if binding is None:
            return None
        binding.used = True
        service = binding.service
        return service if service is not None and service.ready else None

    async def service(self, path: Path, local: Dtab | None) -> Service:
        """Return the service that `path` is bound to, waiting for discovery at most the binding timeout.

        Raises NoSuchName, NoEndpoints (a namer failed) or BindTimeout. Cancelling is safe.
        """
        return await self._serving(self.binding(path, local))

    async def _serving(self, binding: Binding) -> Service:
        with trio.move_on_after(self.timeout) as scope:
            await self._settled(binding)
            while (service := binding.service) is not None and not service.ready:
                await service.wait_ready()  # what discovery says may move the name elsewhere
        if binding.service is None:
            raise self._unbound(binding)
        if scope.cancelled_caught:
            if all(client.pending for client in binding.service.clients):
                raise self._too_late(binding)
            binding.service.ready = True  # a branch that stays silent does not hold up the others again
        return binding.service

    async def tree(self, path: Path, local: Dtab | None) -> Binding:
        """Return the binding of `path` once its tree is known, whatever is known of addresses.

        Raises BindTimeout. Cancelling is safe.
        """
        binding = self.binding(path, local)
        with trio.move_on_after(self.timeout):
            await self._settled(binding)
        if binding.service is None and binding.error is None:
            raise self._too_late(binding)
        return binding

    def binding(self, path: Path, local: Dtab | None) -> Binding:
        """Return the binding of `path` under the caller's `local` dtab, made now when it is not there."""
        key = path if local is None else (path, local)
        binding = self.names.get(key)
        if binding is None:
            binding = self._add(key, path, local)
        binding.used = True
        return binding

    @property
    def dtab(self) -> Dtab:
        """The router's table as it is now; empty while it is not known."""
        return self._dtab.value if isinstance(self._dtab.value, Dtab) else Dtab.EMPTY

    @property
    def assess(self) -> Assess | None:
        """How healthy concrete names are, for whoever explains; None when names alone decide."""
        return self._known_health if self._failover else None

    def _known_health(self, bound: Bound) -> tuple[Health, Cell[Any]]:
        client = self.clients.get(bound.id)
        return by_addresses(bound) if client is None else (client.health.value, client.health)

    async def wait_dtab(self) -> None:
        """Wait until the router's table is known, or known to be missing. Cancelling is safe."""
        while isinstance(self._dtab.value, Pending):
            await self._dtab.wait_changed(self._dtab.version)

    def sweep(self, now: float) -> None:
        """Let go of what nobody used for `idle_ttl`, and close connections that idled too long."""
        for key, binding in list(self.names.items()):
            if binding.used:
                binding.used, binding.unused_since = False, now
            elif now - binding.unused_since >= self._limits.idle_ttl:
                self._forget(key)
                self.name_counts.expires += 1
        for id_, client in list(self.clients.items()):
            client.expire(now)
            if client.users:
                client.idle_since = now
            elif now - client.idle_since >= self._limits.idle_ttl:
                self.clients.pop(id_).close()
                self.client_counts.expires += 1

    def close(self) -> None:
        """Let go of everything."""
        self._dtab.unsubscribe(_nothing)
        for key in list(self.names):
            self._forget(key)
        while self.clients:
            self.clients.popitem()[1].close()

    # Bindings

    def _add(self, key: Key, path: Path, local: Dtab | None) -> Binding:
        self.name_counts.misses += 1
        if len(self.names) >= self._limits.names:
            self._evict_name()
        binding = self.names[key] = Binding(path, local or Dtab.EMPTY)

        def rebind() -> None:
            self._rebind(binding)

        binding.on_change = rebind
        self._rebind(binding)
        return binding

    def _rebind(self, binding: Binding) -> None:
        outcome, clients = self._bind(binding)
        cells = (self._dtab, *outcome.cells)
        for cell in cells:  # the new ones first: a source that stays wanted must not stop in between
            cell.subscribe(binding.on_change)
        for cell in binding.cells:
            cell.unsubscribe(binding.on_change)
        for client in binding.clients:
            client.users -= 1
        binding.cells, binding.clients = cells, clients
        old = binding.service
        binding.service, binding.error = self._compose(binding, outcome)
        if old is not None and old is not binding.service:
            old.renewed = functools.partial(self._serving, binding)
            old.release()
        binding.changed.set()
        binding.changed = trio.Event()

    def _bind(self, binding: Binding) -> tuple[Outcome, tuple[Client, ...]]:
        """Return what the name binds to under the table as it is now, and the clients that it holds from now on."""
        table = self._dtab.value
        if not isinstance(table, Dtab):
            return Outcome(table, (), (), ()), ()
        met: dict[Client, None] = {}

        def meet(bound: Bound) -> Client:
            client = self._client(bound)
            if client not in met:
                met[client] = None
                client.users += 1  # at once: it must not be let go to make room for the next
            return client

        def assess(bound: Bound) -> tuple[Health, Cell[Any]]:
            client = meet(bound)
            return client.health.value, client.health

        whole = table + binding.dtab if binding.dtab.dentries else table
        outcome = bind(binding.path, whole, self.namers, assess if self._failover else None)
        if not isinstance(outcome.state, Pending | Failure):
            for share in shares(outcome.state):
                meet(share.bound)
        return outcome, tuple(met)

    def _compose(self, binding: Binding, outcome: Outcome) -> tuple[Service | None, ProxyError | None]:
        name = binding.path.show()
        state = outcome.state
        if isinstance(state, Pending):
            return None, None
        if isinstance(state, Failure):
            kind = NoSuchName if state.lasting else NoEndpoints
            return None, kind(f"bind {name}: {state.reason}")
        leaves = tuple((share, self.clients[share.bound.id]) for share in shares(state))
        if not leaves:
            return None, NoSuchName(f"bind {name}: {self._why_unbound(binding, outcome)}")
        taken = {client for _, client in leaves}
        passed_over = ((Share(0.0, bound), self.clients[bound.id]) for bound in outcome.unusable)
        recovering = tuple(leaf for leaf in passed_over if leaf[1] not in taken)
        old = binding.service
        if old is not None and old.made_of == (leaves, recovering):
            return old, None
        return self._make_service(binding.path, leaves, recovering, old), None

    def _why_unbound(self, binding: Binding, outcome: Outcome) -> str:
        if outcome.absent:
            return f"no such host or service: {', '.join(bound.id.show() for bound in outcome.absent[:5])}"
        words = {Fail: "to Fail", Empty: "to Empty"}
        return f"the name binds {words.get(type(outcome.state), 'to nothing')}{self._dtabs(binding)}"

    def _dtabs(self, binding: Binding) -> str:
        text = f", base dtab: {_short(self.dtab)}"
        return text + f", local dtab: {_short(binding.dtab)}" if binding.dtab.dentries else text

    def _forget(self, key: Key) -> None:
        binding = self.names.pop(key)
        for cell in binding.cells:
            cell.unsubscribe(binding.on_change)
        for client in binding.clients:
            client.users -= 1
        binding.cells, binding.clients = (), ()
        if binding.service is not None:
            binding.service.release()

    def _evict_name(self) -> None:
        self.name_counts.evicts += 1
        for key, binding in list(self.names.items()):
            if not binding.used:
                break
            binding.used = False  # a second chance: to the end of the line
            self.names[key] = self.names.pop(key)
        else:
            key = next(iter(self.names))
        self._forget(key)

    async def _settled(self, binding: Binding) -> None:
        while binding.service is None and binding.error is None:
            await binding.changed.wait()

    def _unbound(self, binding: Binding) -> ProxyError:
        error = binding.error
        return self._too_late(binding) if error is None else type(error)(error.message)

    def _too_late(self, binding: Binding) -> ProxyError:
        return BindTimeout(f"bind {binding.path.show()}: discovery gave no answer within {self.timeout:g} s")

    # Clients

    def _client(self, bound: Bound) -> Client:
        client = self.clients.get(bound.id)
        if client is None:
            self.client_counts.misses += 1
            if len(self.clients) >= self._limits.clients:
                self._evict_client()
            client = self.clients[bound.id] = self._make_client(bound)
        return client

    def _evict_client(self) -> None:
        """Drop the longest unused client; when all are in use there is one more than the limit for a while."""
        for id_, client in self.clients.items():
            if not client.users:
                self.client_counts.evicts += 1
                self.clients.pop(id_).close()
                return


def _nothing() -> None: ...


def _short(dtab: Dtab) -> str:
    text = dtab.show()
    return text if len(text) <= 500 else text[:500] + "..."
