"""Where lines go: files, pipes, the journal; and what happens when they cannot."""

from __future__ import annotations

import os
import resource
import socket
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.accesslog.sinks import PIPE_BUF, FileSink, JournalSink, batches, open_sink

LINES = [b"one\n", b"two\n"]


def test_a_file_is_made_for_its_owner_and_group_and_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "log"
    before = os.umask(0o022)
    try:
        assert FileSink(str(path)).write(LINES) == (2, None)
    finally:
        os.umask(before)
    assert FileSink(str(path)).write([b"three\n"]) == (1, None)

    assert path.read_bytes() == b"one\ntwo\nthree\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_file_that_was_moved_away_is_left_when_told(tmp_path: Path) -> None:
    path, old = tmp_path / "log", tmp_path / "log.1"
    sink = FileSink(str(path))
    sink.write([b"one\n"])
    path.rename(old)
    sink.write([b"two\n"])
    sink.reopen()
    assert sink.write([]) == (0, None)

    assert (old.read_bytes(), path.read_bytes()) == (b"one\ntwo\n", b"")


def test_what_cannot_be_opened_is_said_and_tried_again(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    sink = FileSink(str(folder / "log"))
    assert sink.write(LINES) == (0, f"{folder}/log: no such file or directory")

    folder.mkdir()
    assert sink.write(LINES) == (2, None)


def test_a_full_disk_is_said() -> None:
    assert FileSink("/dev/full").write(LINES) == (0, "/dev/full: no space left on device")


def test_a_pipe_that_nobody_reads_is_an_error_and_no_wait(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    assert FileSink(str(path)).write(LINES) == (0, f"{path}: nobody reads this pipe")


def test_after_a_torn_line_the_next_begins_on_its_own(tmp_path: Path) -> None:
    path = tmp_path / "log"
    sink = FileSink(str(path))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (6, before[1]))  # the disk is full within the second line
    try:
        assert sink.write(LINES) == (1, f"{path}: file too large")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert sink.write([b"three\n", b"four\n"]) == (2, None)
    assert path.read_bytes() == b"one\ntw\nthree\nfour\n"


def test_a_reader_that_goes_away_is_said(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    sink = FileSink(str(path))
    assert sink.write(LINES) == (2, None)
    os.close(reader)

    assert sink.write(LINES) == (0, f"{path}: broken pipe")


@given(st.lists(st.binary(min_size=1, max_size=40)), st.integers(0, 60))
def test_batches_hold_whole_records_in_their_order(records: list[bytes], most: int) -> None:
    found = list(batches(records, most))
    assert [each for batch in found for each in batch] == records
    assert all(batch and (not most or len(batch) == 1 or len(b"".join(batch)) <= most) for batch in found)


def test_a_pipe_takes_no_more_at_once_than_it_can_keep_together(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    sink = FileSink(str(path))
    assert sink.write([b"x" * 2999 + b"\n"] * 3) == (3, None)
    assert sink._most == PIPE_BUF
    assert len(os.read(reader, 65536)) == 9000
    os.close(reader)
    sink.reopen()


def test_entries_reach_the_journal_one_a_datagram(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    sink = JournalSink(path)
    assert sink.write([b"A=1\n"]) == (0, f"no journal: {path}: no such file or directory")

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(path)
        assert sink.write([b"A=1\n", b"A=2\n"]) == (2, None)
        assert [journal.recv(100), journal.recv(100)] == [b"A=1\n", b"A=2\n"]
        too_long = b"A=" + b"x" * 10_000_000 + b"\n"
        assert sink.write([too_long, b"A=3\n"]) == (1, "an entry of 10000003 bytes is too long for the journal")
        assert journal.recv(100) == b"A=3\n"
    assert sink.write([b"A=4\n"]) == (0, f"no journal: {path}: connection refused")


def test_the_journal_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    sink = JournalSink(str(path))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(path))
        assert sink.write([b"A=1\n"]) == (1, None)
    path.unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(path))
        assert sink.write([b"A=2\n"]) == (0, f"no journal: {path}: connection refused")
        assert sink.write([b"A=3\n"]) == (1, None)
        assert journal.recv(100) == b"A=3\n"
    sink.reopen()


@pytest.mark.parametrize(
    ("target", "kind"), [("stdout", FileSink), ("journald", JournalSink), ("/var/log/a", FileSink)]
)
def test_targets(target: str, kind: type) -> None:
    assert type(open_sink(target)) is kind
