"""Where dtabs are kept for a fleet: a directory, Consul's key-value store, a ConfigMap; for the command line.

A store has namespaces, and a dtab in each. Who changes one says which version he saw: if it is another one by then,
nothing is changed (compare and set), so that two people never undo each other's work unseen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class StoreError(Exception):
    """The store could not be asked, or refused; the message names it and says how."""


class StoreConflict(StoreError):
    """Somebody else has changed the dtab since it was read; nothing was written."""


@dataclass(frozen=True, slots=True)
class StoredDtab:
    """A dtab as the store has it. `version` is the store's own mark of this text; None: it does not exist yet."""

    text: str
    version: str | None


class DtabStore(Protocol):
    """A place of dtabs. `name` is for messages, such as `consul 127.0.0.1:8500 /namerd/dtabs`."""

    name: str

    async def list(self) -> list[str]:
        """The namespaces, sorted. Raises StoreError. Cancelling is safe."""
        ...

    async def get(self, namespace: str) -> StoredDtab | None:
        """The dtab of a namespace, None where there is none. Raises StoreError. Cancelling is safe."""
        ...

    async def set(self, namespace: str, text: str, version: str | None) -> None:
        """Replace the dtab that has `version`, or make a new one where it is None.

        Raises StoreConflict when it is not the one that is there, else StoreError. Cancelled, it may have happened.
        """
        ...
