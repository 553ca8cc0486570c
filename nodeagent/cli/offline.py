"""How names resolve by a configuration alone: for `explain --config` and `check`. An edge module."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from conf import AgentConfig
    from conf.router import AnyRouter
    from namer.cell import Cell
    from namer.dtab import Dtab
    from namer.dtabcell import DtabState
    from namer.path import Path
    from nodeagent.explanation import Explanation
    from nodeagent.naming.naming import Naming

AT_ONCE = 50
"""Names that are worked out at a time."""


@asynccontextmanager
async def discovery(config: AgentConfig) -> AsyncIterator[Naming]:
    """The namers of a configuration, running for as long as the block does."""
    from random import Random

    import trio

    from nodeagent.naming.naming import Naming

    naming = Naming(config.namers, Random(), config.dns)
    async with trio.open_nursery() as nursery:
        await nursery.start(naming.run)
        yield naming
        nursery.cancel_scope.cancel()


async def table_of(naming: Naming, router: AnyRouter) -> Dtab:
    """Return the table of a router, which may have to be read. Raises ClickException when that fails."""
    import trio

    from namer.dtab import Dtab
    from namer.namer import Failure, Pending
    from namer.settle import subscribed

    cell = naming.dtab(router)
    seconds = router.binding_timeout_ms / 1000
    with subscribed((cell,), lambda: None), trio.move_on_after(seconds):
        while isinstance(cell.value, Pending):
            await cell.wait_changed(cell.version)
    match cell.value:
        case Dtab() as dtab:
            return dtab
        case Failure(reason):
            raise click.ClickException(reason)
        case Pending():
            raise click.ClickException(f"router {router.label}: its dtab was not there within {seconds:g} s")


class Resolver:
    """Explains names as routers with one configuration would bind them, many at a time."""

    def __init__(self, naming: Naming) -> None:
        import trio

        self._naming = naming
        self._limiter = trio.CapacityLimiter(AT_ONCE)
        self._tables: dict[str, Cell[DtabState]] = {}

    async def read_tables(self, routers: Sequence[AnyRouter]) -> None:
        """Read the tables of the routers, for all names. Raises ClickException when one is not to be had."""
        from namer.cell import Cell

        for router in routers:
            table: DtabState = await table_of(self._naming, router)
            self._tables[router.label] = Cell.constant(table)

    async def explain(self, router: AnyRouter, names: Sequence[Path], local: Dtab) -> Explanation:
        """Explain the one of `names` that a request to the router takes, under the caller's `local` dentries."""
        from nodeagent.explain import explain_any
        from nodeagent.naming.naming import assessment
        from nodeagent.policies import make_guard

        async with self._limiter:
            return await explain_any(
                self._naming.namers_of(router),
                self._tables[router.label],
                names,
                local=local,
                timeout=router.binding_timeout_ms / 1000,
                assess=assessment(router),
                guard=make_guard(router),
            )
