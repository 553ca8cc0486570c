"""A derived cell: its value, its age, and that it asks for its sources only while it is asked for itself."""

from namer.cell import Cell
from namer.derived import Derived


class Listener:
    """Counts what it is told."""

    def __init__(self) -> None:
        self.told = 0

    def __call__(self) -> None:
        self.told += 1


def twice(value: int) -> int:
    return value * 2


def test_it_follows_its_source_while_somebody_subscribes() -> None:
    source, listener = Cell(1), Listener()
    cell = Derived(twice, source)
    assert (cell.value, cell.version) == (2, 0)

    cell.subscribe(listener)
    source.set(2, 1.0)
    assert (cell.value, cell.version, listener.told) == (4, 1, 1)

    cell.unsubscribe(listener)
    source.set(3, 2.0)
    assert (cell.value, listener.told) == (4, 1)


def test_its_source_is_wanted_only_while_it_is() -> None:
    source, one, two = Cell(1), Listener(), Listener()
    cell = Derived(twice, source)
    assert source.subscribers == 0

    cell.subscribe(one)
    cell.subscribe(two)
    assert source.subscribers == 1

    cell.unsubscribe(one)
    assert source.subscribers == 1
    cell.unsubscribe(two)
    assert source.subscribers == 0


def test_who_subscribes_after_a_change_is_told_of_it() -> None:
    source, listener = Cell(1), Listener()
    cell = Derived(twice, source)
    source.set(5, 1.0)

    cell.subscribe(listener)

    assert (cell.value, listener.told) == (10, 1)


def test_a_change_that_makes_no_difference_is_not_told() -> None:
    source, listener = Cell(1), Listener()
    cell = Derived(lambda value: value > 0, source)
    cell.subscribe(listener)

    source.set(2, 1.0)

    assert (cell.value, cell.version, listener.told) == (True, 0, 0)


def test_age_and_errors_are_those_of_the_source() -> None:
    source = Cell(1)
    cell = Derived(twice, source)
    assert (cell.updated_at, cell.error, cell.failures) == (None, None, 0)

    source.set(1, 7.0)
    assert cell.updated_at == 7.0

    source.fail("refused", 8.0, 9.0)
    assert (cell.error, cell.failed_at, cell.retry_at, cell.failures, cell.stale_since) == ("refused", 8.0, 9.0, 1, 8.0)


def test_of_several_sources_the_failed_one_is_heard() -> None:
    one, two = Cell(1), Cell(2)
    cell = Derived(lambda a, b: a + b, one, two)
    one.set(3, 1.0)
    two.set(4, 2.0)
    assert cell.updated_at == 1.0

    two.fail("refused", 3.0)

    assert (cell.error, cell.updated_at) == ("refused", 2.0)


async def test_waiting_for_a_change_works_as_for_any_cell(autojump_clock: object) -> None:
    source = Cell(1)
    cell = Derived(twice, source)
    source.set(2, 1.0)

    await cell.wait_changed(cell.version)

    assert cell.value == 4
