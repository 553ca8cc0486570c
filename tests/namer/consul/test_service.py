"""How the instances of a service are asked for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock

from namer.cell import Cell
from namer.consul.catalog import Registered, Rules
from namer.consul.service import RECHECK, follow_service
from namer.httpapi import Reply
from namer.report import Report
from tests.namer.consul.fake import FakeConsul, has_no_path, hides, instance


@pytest.mark.parametrize(
    ("service", "statuses", "path", "query"),
    [
        ("web", {"passing"}, "web", {"dc": "dc2"}),
        ("web", {"passing", "warning"}, "web", {"dc": "dc2"}),
        ("a/b?c#d %", {"passing", "warning"}, "a%2Fb%3Fc%23d%20%25", {"dc": "dc2"}),
        ("b\udcffd", {"passing", "warning"}, "b%FFd", {"dc": "dc2"}),
    ],
)
async def test_the_question(
    service: str, statuses: set[str], path: str, query: dict[str, str], autojump_clock: MockClock
) -> None:
    fake = FakeConsul()
    with trio.move_on_after(1):
        await follow_service(fake.consul(), "dc2", service, Rules(frozenset(statuses)), Cell(Report(None)))

    assert (fake.asked[0].path, fake.asked[0].query) == (f"/v1/health/service/{path}", query)


async def test_what_is_not_believed_is_asked_again(autojump_clock: MockClock) -> None:
    fake = FakeConsul()
    cell: Cell[Report[Registered]] = Cell(Report(None))
    fake.serve("web", *(instance(f"10.0.0.{number}") for number in range(4)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(follow_service, fake.consul(), "dc2", "web", Rules(), cell)
        await trio.sleep(1)
        fake.serve("web")
        await trio.sleep(3 * RECHECK + 0.5)

        assert cell.value.answer is not None
        assert len(cell.value.answer.serving) == 4
        assert [each.query for each in fake.asked[-3:]] == [{"dc": "dc2"}] * 3
        assert cell.retry_at is not None
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("trouble", "says"),
    [
        pytest.param(has_no_path, "500 No path to datacenter (datacenter dc2)", id="an unknown datacenter is named"),
        pytest.param(hides, "an empty answer, filtered by ACLs: the token may not read it", id="ACLs are named"),
    ],
)
async def test_what_is_said_of_an_answer_that_is_none(
    trouble: Callable[[], Reply | None], says: str, autojump_clock: MockClock
) -> None:
    fake = FakeConsul(trouble=trouble)
    cell: Cell[Report[Registered]] = Cell(Report(None))
    with trio.move_on_after(1):
        await follow_service(fake.consul(), "dc2", "web", Rules(), cell)

    assert cell.value.answer is None
    assert says in str(cell.error)
