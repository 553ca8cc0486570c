"""Watching real files, in virtual time: the sweep runs in this thread."""

import os
import pathlib
from collections.abc import AsyncIterator, Callable

import pytest
import trio
from trio.testing import MockClock

from namer.files import AT_ONCE, Change, FileWatch, look, worker_threads
from tests.namer.fakes import offload_inline, rewrite, write


@pytest.fixture
async def files(nursery: trio.Nursery) -> AsyncIterator[FileWatch]:
    files = FileWatch(offload=offload_inline)
    await nursery.start(files.run)
    yield files
    nursery.cancel_scope.cancel()


async def seen_after(change: Change) -> float | None:
    """How long it took until the change was seen; None when there was none."""
    begin = trio.current_time()
    with trio.move_on_after(5):
        await change.wait()
        return trio.current_time() - begin
    return None


def link(path: pathlib.Path, target: str) -> None:
    """Point a symbolic link somewhere else in one step, as Kubernetes does."""
    fresh = path.with_name("fresh-link")
    fresh.symlink_to(target)
    fresh.rename(path)


@pytest.mark.parametrize(
    "act",
    [
        pytest.param(lambda path: rewrite(path, "two\n"), id="written in place, same size"),
        pytest.param(lambda path: write(path, "one\n"), id="replaced by an equal file"),
        pytest.param(lambda path: path.unlink(), id="removed"),
        pytest.param(lambda path: os.truncate(path, 0), id="emptied"),
        pytest.param(lambda path: path.chmod(0o600), id="made readable by others or not"),
        pytest.param(lambda path: path.parent.rename(path.parent.with_name("old")), id="its directory moved away"),
    ],
)
async def test_a_change_is_seen_within_a_second(
    files: FileWatch, autojump_clock: MockClock, tmp_path: pathlib.Path, act: Callable[[pathlib.Path], object]
) -> None:
    path = tmp_path / "disco" / "web"
    write(path, "one\n")
    async with files.watch(path) as change:
        assert await seen_after(change) is None

        act(path)
        took = await seen_after(change)
        assert took is not None
        assert took <= 1.0

        assert await seen_after(change) is None, "one change is told once"


async def test_creating_is_a_change(files: FileWatch, autojump_clock: MockClock, tmp_path: pathlib.Path) -> None:
    async with files.watch(tmp_path / "disco" / "web") as change:
        (tmp_path / "disco").mkdir()
        assert await seen_after(change) is None

        write(tmp_path / "disco" / "web", "one\n")
        assert await seen_after(change) is not None


async def test_a_swapped_link_above_the_file_is_a_change(
    files: FileWatch, autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    write(tmp_path / "..2024" / "web", "one\n")
    write(tmp_path / "..2025" / "web", "two\n")
    link(tmp_path / "..data", "..2024")
    (tmp_path / "web").symlink_to("..data/web")
    async with files.watch(str(tmp_path / "web")) as change:
        link(tmp_path / "..data", "..2025")
        assert await seen_after(change) is not None


async def test_of_a_directory_only_its_identity_counts(
    files: FileWatch, autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    async with files.watch(tmp_path) as change:
        write(tmp_path / "web", "one\n")
        assert await seen_after(change) is None


async def test_a_file_that_is_being_written_is_left_alone_for_a_moment(
    files: FileWatch, autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "web"
    rewrite(path, "one\n")
    async with files.watch(path) as change:
        rewrite(path, "")  # a careless writer truncates first ...
        await trio.sleep(0.52)
        rewrite(path, "two\n")  # ... and is done between two looks

        await change.wait()

        assert path.read_text() == "two\n"
        assert await seen_after(change) is None, "the second write was part of the first"


async def test_a_slow_writer_is_waited_for_but_not_for_ever(
    files: FileWatch, autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "web"
    rewrite(path, "")

    async def write_slowly(pieces: int) -> None:
        for number in range(pieces):
            rewrite(path, "one\n" * number)
            await trio.sleep(0.04)

    async with files.watch(path) as change, trio.open_nursery() as nursery:
        nursery.start_soon(write_slowly, 15)  # until 0.56
        await change.wait()
        assert trio.current_time() == pytest.approx(0.65)
        assert await seen_after(change) is None

        begin = trio.current_time()
        nursery.start_soon(write_slowly, 50)
        await change.wait()
        assert trio.current_time() - begin <= 1.0
        await trio.sleep(3)


async def test_who_has_seen_it_before_misses_nothing(
    files: FileWatch, autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "web"
    write(path, "one\n")
    seen = look(path)
    async with files.watch(path, seen) as change:
        assert await seen_after(change) is None

    write(path, "two\n")
    async with files.watch(path), files.watch(path, seen) as late:
        assert await seen_after(late) == 0.0
    async with files.watch(path, seen) as change:
        assert await seen_after(change) is not None


async def test_thousands_of_changes_do_not_keep_the_others_waiting(
    files: FileWatch, autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    woken = 0
    first = trio.Event()

    async def follow(path: pathlib.Path) -> None:
        nonlocal woken
        async with files.watch(path) as change:
            await change.wait()
            woken += 1
            first.set()

    async with trio.open_nursery() as nursery:
        for number in range(1000):
            nursery.start_soon(follow, tmp_path / "one" / str(number))
        await trio.sleep(0.1)
        (tmp_path / "one").write_text("")  # now all of them are missing for another reason
        await first.wait()
        most = woken
        while woken < 1000:
            before = woken
            await trio.lowlevel.checkpoint()
            most = max(most, woken - before)

    assert most <= 2 * AT_ONCE  # what is ready runs in any order


async def test_a_change_while_nobody_waits_is_not_lost(
    files: FileWatch, autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "web"
    async with files.watch(path) as change:
        write(path, "one\n")
        await trio.sleep(10)
        assert await seen_after(change) == 0.0


async def test_every_reader_of_a_file_is_told(
    files: FileWatch, autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "web"
    async with files.watch(path) as one, files.watch(path) as two:
        write(path, "one\n")
        assert await seen_after(one) is not None
        assert await seen_after(two) is not None

    async with files.watch(path) as three:
        path.unlink()
        assert await seen_after(three) is not None


async def test_a_watch_entered_while_the_file_changes_may_wake_once_too_often_never_too_rarely(
    files: FileWatch, autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "web"
    async with files.watch(path):
        write(path, "one\n")
        async with files.watch(path) as late:
            assert await seen_after(late) is not None


async def test_nothing_is_looked_at_that_nobody_watches(
    files: FileWatch, autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    looks = 0

    async def counting(function: Callable[..., object], *arguments: object) -> object:
        nonlocal looks
        looks += 1
        return function(*arguments)

    files.offload = counting  # type: ignore[assignment]
    async with files.watch(tmp_path / "web"):
        await trio.sleep(10.1)
    assert looks == 1 + 20

    await trio.sleep(10)
    assert looks == 1 + 20


def test_a_fingerprint_tells_why_a_file_is_not_there(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("")

    assert look(tmp_path / "missing") != look(tmp_path / "file" / "below")


async def test_worker_threads_run_what_blocks() -> None:
    offload = worker_threads(1)

    assert await offload(pow, 2, 10) == 1024
    with pytest.raises(ZeroDivisionError):
        await offload(divmod, 1, 0)
