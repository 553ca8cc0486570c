"""Errors come out of nurseries as themselves, when they are alone."""

from __future__ import annotations

import pytest
import trio

from nodeagent.cli.tasks import run_tasks


async def _fail(*errors: Exception) -> None:
    async def raise_(error: Exception) -> None:
        raise error

    async with trio.open_nursery() as outer, trio.open_nursery() as inner:
        outer.start_soon(trio.sleep_forever)
        for error in errors:
            inner.start_soon(raise_, error)


def test_an_error_alone_loses_its_groups() -> None:
    with pytest.raises(OSError, match=r"^refused$"):
        run_tasks(_fail, OSError("refused"))


def test_two_errors_stay_together() -> None:
    with pytest.raises(ExceptionGroup) as raised:
        run_tasks(_fail, OSError("one"), ValueError("two"))

    assert {type(error) for error in raised.value.exceptions} == {OSError, ValueError}


def test_what_the_tasks_return_is_returned() -> None:
    async def answer(number: int) -> int:
        await trio.lowlevel.checkpoint()
        return number + 1

    assert run_tasks(answer, 41) == 42
