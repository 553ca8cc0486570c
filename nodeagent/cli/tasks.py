"""Runs the tasks of a command. An edge module."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar, TypeVarTuple

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")


def run_tasks(main: Callable[[*Arguments], Awaitable[T]], *arguments: *Arguments) -> T:
    """Run `main` in trio and return what it returns.

    Every nursery that an error passes wraps it in a group. An error that is alone is raised as itself, so that a
    command can say what it expects: `except ListenError`, or a Ctrl-C.
    """
    import trio

    try:
        return trio.run(main, *arguments)
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        raise error from None
