"""What a namer is: it answers a name with a live name tree, whose leaves are bound or are names again.

Three states, as of finagle's Activity: not known yet, an error, an answer. An answer that a namer cannot give
for lack of data is Neg, so that the next alternative is tried; what is broken is a Failure, which stops the
Alt around it. Once a namer has answered, a later failure does not take the answer away.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Protocol, TypeAlias

from namer.addr import Addr
from namer.cell import Cell
from namer.nametree import NEG, Leaf, NameTree
from namer.path import Path


@dataclass(frozen=True, slots=True)
class Pending:
    """Not known yet; the cell that says so will change."""


@dataclass(frozen=True, slots=True)
class Failure:
    """The name cannot be bound, for a reason that is no answer.

    `lasting` when the table itself is at fault, so that trying again is of no use; else a source failed.
    """

    reason: str
    lasting: bool = False


class Provenance(Enum):
    """Whose word it is that a concrete name is served at its addresses: who can make the agent connect there."""

    CONFIGURATION = "configuration"
    """Whoever wrote the table spelled out the host."""
    REQUEST = "request"
    """The name that was asked for spells out the host, or part of it."""
    REGISTRY = "registry"
    """A source with many writers: Consul, Kubernetes, SRV records."""
    FILE = "file"
    """A file of this host."""


BoundKey: TypeAlias = tuple[Path, int, Provenance]


@dataclass(frozen=True, slots=True)
class Bound:
    """A concrete name: `id` is the whole path that names it, `residual` what of the asked path it did not
    use.

    `addr` is where it is served, live for whoever subscribes to it. `authority` is what its servers want to be
    called in `Host`, when that is not what the caller wrote. `twin` tells apart the namers that have one prefix,
    and so one id for different things: 0 is the first. Equal ids of one of them have equal addresses and
    authorities, so these take no part in comparing.

    `provenance` is whose word the addresses are. A namer that finds the host in the name itself cannot tell; it gives
    the place of that label in the name it was asked for as `host_at`, and the binder draws the conclusion.
    """

    id: Path
    residual: Path
    addr: Cell[Addr] = field(compare=False, repr=False)
    authority: str | None = field(default=None, compare=False)
    twin: int = 0
    provenance: Provenance = Provenance.FILE
    host_at: int | None = field(default=None, compare=False)

    @property
    def key(self) -> BoundKey:
        """What is served there: whoever keeps something for a concrete name keeps it under this."""
        return self.id, self.twin, self.provenance

    def said_by(self, whom: Provenance) -> Bound:
        """The same name on that word."""
        return Bound(self.id, self.residual, self.addr, self.authority, self.twin, whom)

    def __str__(self) -> str:
        return self.id.show()


PENDING: Final = Pending()
NameState: TypeAlias = Pending | Failure | NameTree[Path | Bound]


class Namer(Protocol):
    """A source of names."""

    def lookup(self, path: Path) -> Cell[NameState]:
        """The answer for `path`, which comes without the prefix of this namer; ids in the answer have it.

        Cheap and without effect: nothing is asked of the outside until somebody subscribes to the cell. Path
        leaves of the answer are looked up in the dtab again.
        """
        ...


class ConstantNamer:
    """Answers the same to every name: `/$/nil` and `/$/fail`."""

    def __init__(self, state: NameState) -> None:
        self._cell = Cell.constant(state)

    def lookup(self, path: Path) -> Cell[NameState]:  # noqa: ARG002
        """The one answer."""
        return self._cell


class RewritingNamer:
    """Answers with another name, or Neg where the name is not of the form that `rewrite` knows."""

    def __init__(self, rewrite: Callable[[Path], Path | None]) -> None:
        self._rewrite = rewrite

    def lookup(self, path: Path) -> Cell[NameState]:
        """The rewritten name."""
        rewritten = self._rewrite(path)
        return Cell.constant(NEG if rewritten is None else Leaf(rewritten))
