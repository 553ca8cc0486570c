"""The memory that workers share: who holds which slot, and what it says."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import inf

import pytest

from balancer.accrual import Health, Reason, Verdict
from namer.addr import Endpoint
from nodeagent.workers import table as tables
from nodeagent.workers.table import WINDOW, Neighbours, Place, Table, make_table

KEY, OTHER = b"k" * 16, b"o" * 16
ENDPOINT = Endpoint("10.0.0.1", 8080)
DEAD = Verdict(10.0, Health.DEAD, Reason.FAILURES, 15.0, 9.5)


@pytest.fixture
def fd() -> Iterator[int]:
    fd = make_table(3)
    yield fd
    os.close(fd)


def seat(fd: int, worker: int, *, name: str = "name", offset: float = 0.0) -> Place:
    found = Neighbours(Table(fd, 3), worker, offset, name).seat(ENDPOINT)
    assert found is not None
    return found


def test_all_workers_find_the_same_slot_and_different_names_different_ones(fd: int) -> None:
    one, two = Table(fd, 3), Table(fd, 3)

    assert one.take(KEY, 0) == two.take(KEY, 1)
    assert one.take(OTHER, 0) != two.take(KEY, 2)


def test_nobody_holds_a_slot_twice(fd: int) -> None:
    table = Table(fd, 3)
    slot = table.take(KEY, 0)
    assert slot is not None

    assert table.take(KEY, 0) is None

    table.leave(slot, 0)
    assert table.take(KEY, 0) == slot


def test_a_slot_that_nobody_holds_is_taken_by_another_name(fd: int) -> None:
    table = Table(fd, 3)
    crowd = [KEY[:8] + number.to_bytes(8) for number in range(WINDOW + 1)]  # they begin at the same place
    slots = [table.take(key, 0) for key in crowd]

    assert slots[-1] is None, "there is no room for one more"
    assert len({*slots}) == WINDOW + 1

    freed = slots[3]
    assert freed is not None
    table.leave(freed, 0)
    assert table.take(crowd[-1], 1) == freed


def test_a_dead_worker_is_cleared_and_the_others_stay(fd: int) -> None:
    dead, alive = seat(fd, 0), seat(fd, 1)
    dead.put_pending(7)
    dead.put_verdict(DEAD)
    alive.put_pending(2)
    Table(fd, 3).clear(0)

    assert (alive.pending_elsewhere(), alive.newest_elsewhere()) == (0, None)
    assert seat(fd, 0).pending_elsewhere() == 2


def test_what_each_tells_is_read_by_the_others(fd: int) -> None:
    seats = [seat(fd, worker) for worker in range(3)]
    for worker, each in enumerate(seats):
        each.put_pending(10**worker)
        each.put_cost(0.1 * worker)

    assert [each.pending_elsewhere() for each in seats] == [110, 101, 11]
    assert [each.cost_elsewhere() for each in seats] == [0.2, 0.2, 0.1]


def test_the_newest_verdict_of_another_is_read_by_ones_own_clock(fd: int) -> None:
    one, two, three = (seat(fd, worker, offset=offset) for worker, offset in ((0, 100.0), (1, -100.0), (2, 0.0)))
    newest = replace(DEAD, version=one.version(10.0))
    before = Verdict(three.version(50.0), Health.ALIVE, None, inf, inf)
    one.put_verdict(newest)
    three.put_verdict(before)

    assert two.newest_elsewhere() == Verdict(110.0, Health.DEAD, Reason.FAILURES, 215.0, 209.5)
    assert three.newest_elsewhere() == Verdict(110.0, Health.DEAD, Reason.FAILURES, 115.0, 109.5)
    assert one.newest_elsewhere() == before


def test_a_verdict_that_is_being_written_is_none(fd: int) -> None:
    one, two = seat(fd, 0), seat(fd, 1)
    one.put_verdict(DEAD)
    table = Table(fd, 3)
    table.numbers[table.first(one._slot, 0) + tables._VERSION] = 0.0

    assert two.newest_elsewhere() is None


def test_the_same_endpoint_of_another_name_is_another_one(fd: int) -> None:
    one, two = seat(fd, 0, name="one"), seat(fd, 1, name="two")
    one.put_pending(5)

    assert two.pending_elsewhere() == 0


def test_while_another_process_holds_the_lock_an_endpoint_is_not_shared(fd: int) -> None:
    with locked_by_another_process(fd):
        assert Neighbours(Table(fd, 3), 0, 0.0, "name").seat(ENDPOINT) is None
    assert Neighbours(Table(fd, 3), 0, 0.0, "name").seat(ENDPOINT) is not None


@contextmanager
def locked_by_another_process(fd: int) -> Iterator[None]:
    ready, go_on = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        fcntl.lockf(fd, fcntl.LOCK_EX)
        os.write(ready[1], b"!")
        os.read(go_on[0], 1)
        os._exit(0)
    try:
        os.read(ready[0], 1)
        yield
    finally:
        os.write(go_on[1], b"!")
        os.waitpid(child, 0)
        for end in (*ready, *go_on):
            os.close(end)
