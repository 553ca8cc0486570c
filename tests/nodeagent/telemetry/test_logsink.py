"""Real descriptors whose other end is slow, gone, or a journal."""

from __future__ import annotations

import io
import logging
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from typing import TextIO

import pytest

from nodeagent.telemetry.logsink import Sink, priority


def say(sink: Sink, text: str, level: int = logging.INFO) -> None:
    sink.handle(logging.LogRecord("nodeagent", level, "", 0, text, (), None))


@contextmanager
def piped() -> Iterator[tuple[TextIO, int]]:
    """A pipe to write to, and the descriptor of its other end, which does not block."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    with os.fdopen(writing, "w") as stream:
        yield stream, reading
    with suppress(OSError):
        os.close(reading)


@contextmanager
def connected() -> Iterator[tuple[TextIO, int]]:
    """The same with a socket, as a journal is."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    with ours, theirs, os.fdopen(os.dup(ours.fileno()), "w") as stream:
        yield stream, theirs.fileno()


def taken(fd: int) -> str:
    found = b""
    with suppress(BlockingIOError):
        while data := os.read(fd, 1 << 20):
            found += data
    return found.decode()


@pytest.mark.parametrize("ends", [piped, connected])
def test_a_reader_that_hangs_holds_up_nobody_and_hears_how_much_it_missed(
    ends: Callable[[], AbstractContextManager[tuple[TextIO, int]]], caplog: pytest.LogCaptureFixture
) -> None:
    with ends() as (stream, reading), closing(Sink(stream, {})) as sink:
        logging.getLogger("nodeagent.log").addHandler(sink)
        try:
            for number in range(2_000):
                say(sink, f"line {number} " + "x" * 1_000)
            before = taken(reading)
            say(sink, "it reads again")
            after = taken(reading)
        finally:
            logging.getLogger("nodeagent.log").removeHandler(sink)

    lines = (before + after).splitlines()
    kept = [int(line.split()[1]) for line in lines if line.startswith("line ")]
    assert kept == list(range(len(kept))), "whole lines, without a gap, until there was no room"
    assert 10 < len(kept) < 2_000
    assert lines[-2:] == ["it reads again", f"nobody took the log for a while: {2_000 - len(kept)} lines are lost"]
    assert len(caplog.records) == 1


def test_the_descriptor_of_others_stays_as_it_was() -> None:
    with piped() as (stream, _), closing(Sink(stream, {})) as sink:
        say(sink, "line")
        assert os.get_blocking(stream.fileno())


def test_a_reader_that_is_gone_is_no_reason_to_fail() -> None:
    with piped() as (stream, reading), closing(Sink(stream, {})) as sink:
        os.close(reading)
        say(sink, "line")
        say(sink, "another")


def test_a_file_gets_all(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as stream:
        sink = Sink(stream, {})
        for number in range(3_000):
            say(sink, f"{number}")
    assert (tmp_path / "log").read_text().split() == [str(number) for number in range(3_000)]


def test_the_journal_is_told_the_priority_of_each_line() -> None:
    with connected() as (stream, reading):
        found = os.fstat(stream.fileno())
        with closing(Sink(stream, {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"})) as sink:
            say(sink, '{"event": "a"}', logging.WARNING)
            say(sink, '{"event": "b"}', logging.DEBUG)
        assert taken(reading) == '<4>{"event": "a"}\n<7>{"event": "b"}\n'


def test_a_stderr_that_was_sent_elsewhere_is_not_the_journal() -> None:
    stream = io.StringIO()
    say(Sink(stream, {"JOURNAL_STREAM": "8:1234"}), "line")
    assert stream.getvalue() == "line\n"


@pytest.mark.parametrize(
    ("level", "number"),
    [(logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (logging.DEBUG, 7)],
)
def test_priorities(level: int, number: int) -> None:
    assert priority(level) == number
