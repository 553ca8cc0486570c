"""A live value: the last good one, how old it is, what went wrong since, and who wants to hear of a change.

Setting, failing and subscribing are synchronous, hence atomic under trio. A value that is set again unchanged
only becomes younger. An error never replaces a value: the last good answer wins.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import trio

T = TypeVar("T")


class Cell(Generic[T]):
    """The latest known value of something.

    `version` counts the changes of the value, `failures` the calls of `fail`. `updated_at` is when the value
    was last confirmed (seconds, trio clock), None while it is only the initial one. `error` is what went
    wrong since, at `failed_at`; `retry_at` is when its source tries again, None when that is not known.
    `stale_since` is when its source began to fail: until then no news was good news, and the value was known
    to hold. `subscribers` is how many subscriptions there are.

    `interest`, if given, is called with the cell when the first subscriber comes and when the last one
    leaves; so its owner knows when to keep the cell live.
    """

    __slots__ = (
        "__weakref__",
        "_interest",
        "_subscribers",
        "error",
        "failed_at",
        "failures",
        "retry_at",
        "stale_since",
        "subscribers",
        "updated_at",
        "value",
        "version",
    )

    def __init__(self, value: T, interest: Callable[[Cell[T]], None] | None = None) -> None:
        self.value = value
        self.version = 0
        self.failures = 0
        self.updated_at: float | None = None
        self.error: str | None = None
        self.failed_at: float | None = None
        self.retry_at: float | None = None
        self.stale_since: float | None = None
        self.subscribers = 0
        self._interest = interest
        self._subscribers: dict[Callable[[], None], int] = {}

    @classmethod
    def constant(cls, value: T) -> Cell[T]:
        """A cell that nobody will ever set."""
        return cls(value)

    def __repr__(self) -> str:
        error = f" error={self.error!r}" if self.error else ""
        return f"<Cell {self.value!r} version={self.version} subscribers={self.subscribers}{error}>"

    def set(self, value: T, now: float, flaw: str | None = None) -> None:
        """Confirm the value and clear the error. Subscribers are called when it is not the old one.

        A `flaw` is what is wrong with the answer itself, such as a line of a file that cannot be read. It is told
        as an error, but the value is as fresh as any.
        """
        self.updated_at = now
        self.error = self.failed_at = self.retry_at = self.stale_since = None
        if flaw is not None:
            self.error, self.failed_at = flaw, now
            self.failures += 1
        self.replace(value)

    def fail(self, error: str, now: float, retry_at: float | None = None) -> None:
        """Record what went wrong, and when its source will try again; the value stays."""
        self.error = error
        self.failed_at = now
        self.retry_at = retry_at
        self.failures += 1
        if self.stale_since is None and self.updated_at is not None:
            self.stale_since = now

    def forget(self, initial: T) -> None:
        """Go back to knowing nothing: what nobody keeps live is not to be trusted later."""
        self.updated_at = self.error = self.failed_at = self.retry_at = self.stale_since = None
        self.failures = 0
        self.replace(initial)

    def replace(self, value: T) -> None:
        """Have another value without confirming it: the error and the age stay. Subscribers are called as for `set`."""
        if value == self.value:
            return
        self.value = value
        self.version += 1
        for callback in tuple(self._subscribers):
            if callback in self._subscribers:  # a callback before this one may have taken it away
                callback()

    def subscribe(self, callback: Callable[[], None]) -> None:
        """Have `callback` called after each change of the value. It must not raise.

        Who subscribes twice is called once for a change, and stays until it has unsubscribed twice.
        """
        self._subscribers[callback] = self._subscribers.get(callback, 0) + 1
        self.subscribers += 1
        if self._interest is not None and self.subscribers == 1:
            self._interest(self)

    def unsubscribe(self, callback: Callable[[], None]) -> None:
        """Undo one `subscribe`. Raises KeyError when there was none."""
        self._subscribers[callback] -= 1
        if not self._subscribers[callback]:
            del self._subscribers[callback]
        self.subscribers -= 1
        if self._interest is not None and self.subscribers == 0:
            self._interest(self)

    async def wait_changed(self, version: int) -> None:
        """Return when the value is no longer the one of `version`; a subscriber while it waits.

        Cancelling is safe: the subscription is undone.
        """
        if self.version != version:
            await trio.lowlevel.checkpoint()
            return
        changed = trio.Event()
        self.subscribe(changed.set)
        try:
            await changed.wait()
        finally:
            self.unsubscribe(changed.set)
