"""Bound names: what a logical name means now, kept in step with discovery.

A `Binding` holds one (name, local dtab): the tree it binds to and the `Service` composed for it. It subscribes to every
cell that the binding read; when one changes it is out of date. Whoever needs it next binds it again, synchronously, so
the next request sees the change, and one that is under way can go on with it; what nobody asks for is bound again by
the next sweep, a few at a time: a table that changes under ten thousand names holds up nobody. A name that is bound
costs a request one look-up in `Bindings`.

How healthy a concrete name is counts as such an answer, unless `failover` is off: a branch without a usable endpoint is
passed over. Its `Client` is kept, and the service tries it as its balancer asks for, so that it is taken again.

Two caches, both bounded and neither ever the reason of an error: bindings by name, clients by concrete name
(clients.py). When the first is full, the entry that was not used for the longest time leaves (second chance, so that
use costs only a flag); requests that still hold it finish with it. Entries that nobody used for `idle_ttl` leave too.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass
from logging import DEBUG
from typing import Any

import structlog
import trio

from namer.binding import Namers, Outcome, Share, bind, shares
from namer.cell import Cell
from namer.dtab import Dtab
from namer.dtabcell import DtabState
from namer.health import Assess, Health, by_addresses
from namer.namer import Bound, Failure, Pending
from namer.path import Path
from nodeagent.proxy.balance import Client
from nodeagent.proxy.binding import Binding, Key
from nodeagent.proxy.clients import AT_A_TIME, CacheCounts, Clients
from nodeagent.proxy.errors import BindTimeout, NoEndpoints, NoSuchName, ProxyError
from nodeagent.proxy.guard import Guard, GuardPolicy
from nodeagent.proxy.service import Leaves, Renew, Service, no_successor
from nodeagent.proxy.unbound import why_unbound
from nodeagent.telemetry.exchange import Derivation

log = structlog.get_logger("nodeagent.bind")
is_enabled = logging.getLogger("nodeagent.bind").isEnabledFor


@dataclass(frozen=True, slots=True)
class CacheLimits:
    """Sizes of the two caches and seconds until an unused entry leaves."""

    names: int = 1000
    clients: int = 1000
    idle_ttl: float = 600.0


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
        guard: Guard | None = None,
    ) -> None:
        """`dtab` is the router's table, which may change; `timeout` is bindingTimeoutMs in seconds.

        `make_service` composes what a bound name does with a request: from its leaves, the clients that were passed
        over, and the service that it follows. Without `failover`, names alone decide. `guard` judges the addresses that
        clients are given.
        """
        self.table = dtab
        """The router's table, and what is wrong with it."""
        dtab.subscribe(_nothing)  # a table is followed whether or not a name is bound
        self.namers = namers
        self.guard = guard or Guard(GuardPolicy())
        """For whoever explains."""
        self.timeout = timeout
        self._limits = limits
        self._make_service = make_service
        self._failover = failover
        self.names: dict[Key, Binding] = {}
        self.clients = Clients(limits.clients, limits.idle_ttl, make_client)
        self.name_counts = CacheCounts()

    def service_nowait(self, path: Path, local: Dtab | None) -> Service | None:
        """Return the service that `path` is bound to, None when `service` has to be awaited for that."""
        binding = self.names.get(path if local is None else (path, local))
        if binding is None:
            return None
        binding.used = True
        if binding.outdated:
            self._rebind(binding)
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
                await service.wait_ready()
                await self._settled(binding)  # what discovery said may have moved the name, even to where it must wait
        service = self._up_to_date(binding).service
        if service is None:
            raise self._unbound(binding)
        if scope.cancelled_caught:
            if all(client.pending for client in service.clients):
                raise self._too_late(binding)
            service.ready = True  # a branch that stays silent does not hold up the others again
        return service

    async def tree(self, path: Path, local: Dtab | None) -> Binding:
        """Return the binding of `path` once its tree is known, whatever is known of addresses.

        Raises BindTimeout. Cancelling is safe.
        """
        binding = self.binding(path, local)
        with trio.move_on_after(self.timeout):
            await self._settled(binding)
        if not self._is_settled(binding):
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
        return self.table.value if isinstance(self.table.value, Dtab) else Dtab.EMPTY

    @property
    def assess(self) -> Assess | None:
        """How healthy concrete names are, for whoever explains; None when names alone decide."""
        return self._known_health if self._failover else None

    def _known_health(self, bound: Bound) -> tuple[Health, Cell[Any]]:
        client = self.clients.get(bound.key)
        return by_addresses(bound) if client is None else (client.health.value, client.health)

    async def wait_dtab(self) -> None:
        """Wait until the router's table is known, or known to be missing. Cancelling is safe."""
        while isinstance(self.table.value, Pending):
            await self.table.wait_changed(self.table.version)

    async def sweep(self, now: float) -> None:
        """Bind again what is out of date, let go of what nobody used for `idle_ttl`, close connections that idled long.

        Others get their turn in between. Cancelling is safe.
        """
        for number, (key, binding) in enumerate(tuple(self.names.items())):
            if number % AT_A_TIME == 0:
                await trio.lowlevel.checkpoint()
            if self.names.get(key) is binding:
                self._look_after(key, binding, now)
        await self.clients.sweep(now)

    def close(self) -> None:
        """Let go of everything."""
        self.table.unsubscribe(_nothing)
        for key, binding in list(self.names.items()):
            self._forget(key)
            if binding.service is not None:
                binding.service.successor = no_successor
        self.clients.close()

    def _add(self, key: Key, path: Path, local: Dtab | None) -> Binding:
        self.name_counts.misses += 1
        if len(self.names) >= self._limits.names:
            self._evict_name()
        binding = self.names[key] = Binding(path, local or Dtab.EMPTY)
        self._rebind(binding)
        return binding

    def _up_to_date(self, binding: Binding) -> Binding:
        if binding.outdated:
            self._rebind(binding)
        return binding

    def _successor(self, binding: Binding, service: Service) -> Renew | None:
        if self._up_to_date(binding).service is service:
            return None
        return functools.partial(self._serving, binding)

    def _rebind(self, binding: Binding) -> None:
        binding.outdated = False
        outcome, clients = self._bind(binding)
        cells = (self.table, *outcome.cells)
        for cell in cells:  # the new ones first: a source that stays wanted must not stop in between
            cell.subscribe(binding.outdate)
        for cell in binding.cells:
            cell.unsubscribe(binding.outdate)
        for client in binding.clients:
            client.users -= 1
        binding.cells, binding.clients = cells, clients
        old = binding.service
        binding.service, binding.error = self._compose(binding, outcome)
        if old is not None and old is not binding.service:
            old.release()
        if is_enabled(DEBUG):
            _tell(binding, anew=old is not None)

    def _bind(self, binding: Binding) -> tuple[Outcome, tuple[Client, ...]]:
        """Return what the name binds to under the table as it is now, and the clients that it holds from now on."""
        table = self.table.value
        if not isinstance(table, Dtab):
            return Outcome(table, (), (), ()), ()
        met: dict[Client, None] = {}

        def meet(bound: Bound) -> Client:
            client = self.clients.of(bound)
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
        found = () if isinstance(state, Failure) else shares(state)
        binding.derivation = Derivation(outcome.steps, tuple((share.bound.id, share.weight) for share in found))
        if isinstance(state, Failure):
            kind = NoSuchName if state.lasting else NoEndpoints
            return None, kind(f"bind {name}: {state.reason}")
        leaves = tuple((share, self.clients[share.bound.key]) for share in found)
        if not leaves:
            return None, NoSuchName(f"bind {name}: {why_unbound(outcome, self.dtab, binding.dtab)}")
        taken = {client for _, client in leaves}
        passed_over = ((Share(0.0, bound), self.clients[bound.key]) for bound in outcome.unusable)
        recovering = tuple(leaf for leaf in passed_over if leaf[1] not in taken)
        old = binding.service
        if old is not None and old.made_of == (leaves, recovering):
            old.derivation = binding.derivation
            return old, None
        service = self._make_service(binding.path, leaves, recovering, old)
        service.derivation = binding.derivation
        service.successor = functools.partial(self._successor, binding)
        return service, None

    def _look_after(self, key: Key, binding: Binding, now: float) -> None:
        if binding.used:
            binding.used, binding.unused_since = False, now
        elif now - binding.unused_since >= self._limits.idle_ttl:
            self._forget(key)
            self.name_counts.expires += 1
        self._up_to_date(binding)

    def _forget(self, key: Key) -> None:
        binding = self.names.pop(key)
        for cell in binding.cells:
            cell.unsubscribe(binding.outdate)
        for client in binding.clients:
            client.users -= 1
        binding.cells, binding.clients = (), ()
        binding.outdated = False
        if binding.service is not None:
            path, local = (key, None) if isinstance(key, Path) else key
            again = functools.partial(self.service, path, local)
            binding.service.successor = lambda _: again  # who still holds it finishes with it, or binds it anew
            binding.service.release()

    def _evict_name(self) -> None:
        """Drop the longest unused name; when all are waited for there is one more than the limit for a while."""
        free = [each for each in self.names.items() if not each[1].waiting]
        for key, binding in free:
            if not binding.used:
                break
            binding.used = False  # a second chance: to the end of the line
            self.names[key] = self.names.pop(key)
        else:
            if not free:
                return
            key = free[0][0]
        self.name_counts.evicts += 1
        self._forget(key)

    async def _settled(self, binding: Binding) -> None:
        while not self._is_settled(binding):
            await binding.wait_outdated()

    def _is_settled(self, binding: Binding) -> bool:
        self._up_to_date(binding)
        return binding.service is not None or binding.error is not None

    def _unbound(self, binding: Binding) -> ProxyError:
        error = binding.error
        return self._too_late(binding) if error is None else _derived(type(error)(error.message), binding)

    def _too_late(self, binding: Binding) -> ProxyError:
        error = BindTimeout(f"bind {binding.path.show()}: discovery gave no answer within {self.timeout:g} s")
        return _derived(error, binding)


def _derived(error: ProxyError, binding: Binding) -> ProxyError:
    """The error, knowing how the name came to nothing."""
    error.derivation = binding.derivation
    return error


def _tell(binding: Binding, *, anew: bool) -> None:
    to = [client.id.show() for client in binding.service.clients] if binding.service is not None else []
    error = binding.error and binding.error.message
    event = "a name is bound" if to else "a name waits for discovery" if error is None else "a name is not bound"
    log.debug(event, name=binding.path.show(), dtab=binding.dtab.show(), to=to, error=error, anew=anew)


def _nothing() -> None: ...
