import os
import pathlib

import pytest

from namer.dns.systemfile import MAX_BYTES, SystemFile
from tests.namer.fakes import write


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "hosts"


def test_it_is_read_again_when_it_changed(path: pathlib.Path) -> None:
    read = []

    def parse(text: str) -> str:
        read.append(text)
        return text

    file = SystemFile(path, parse)
    assert file.look() == ""
    for text in ("a", "b"):
        write(path, text)
        assert [file.look(), file.look()] == [text, text]
    path.unlink()
    assert [file.look(), file.look()] == ["", ""]
    assert read == ["", "a", "b", ""]


def test_what_cannot_be_read_leaves_what_was_said(path: pathlib.Path) -> None:
    file = SystemFile(path, str)
    write(path, "a")
    assert file.look() == "a"

    write(path, "x" * (MAX_BYTES + 1))
    assert file.look() == "a"

    path.unlink()
    path.mkdir()
    assert file.look() == "a"


def test_a_pipe_holds_up_nobody(path: pathlib.Path) -> None:
    os.mkfifo(path)

    assert SystemFile(path, str).look() == ""


def test_bytes_that_are_no_text(path: pathlib.Path) -> None:
    path.write_bytes(b"\xff")

    assert SystemFile(path, str).look() == "\ufffd"


def test_what_looks_the_same_but_for_when_it_was_put_there(path: pathlib.Path) -> None:
    file = SystemFile(path, str)
    write(path, "a")
    assert file.look() == "a"

    seen = path.stat()
    while path.stat().st_ctime_ns == seen.st_ctime_ns:  # the clock of a file system is a coarse one
        path.write_text("b")
        os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    assert file.look() == "b"
