"""Files that nobody else may read, and that are whole."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nodeagent.ca.disk import CaError, append, create, make_private, read, read_secret, replace


@pytest.fixture(autouse=True)
def _lax_umask() -> Iterator[None]:
    """What is secret is so whatever the umask."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> str:
    """Its permissions."""
    return oct(stat.S_IMODE(path.stat().st_mode))


def test_what_is_made_is_for_its_owner_alone(tmp_path: Path) -> None:
    make_private(tmp_path / "a")
    create(tmp_path / "a" / "key", b"secret")
    replace(tmp_path / "a" / "cert", b"public", 0o644)
    append(tmp_path / "a" / "log", b"line")

    shown = {each.name: mode(each) for each in (tmp_path / "a").iterdir()}
    assert shown == {"key": "0o600", "cert": "0o644", "log": "0o600"}
    assert mode(tmp_path / "a") == "0o700"


def test_nothing_is_overwritten_by_what_creates(tmp_path: Path) -> None:
    create(tmp_path / "key", b"first")
    with pytest.raises(CaError, match="is there already, and is not overwritten"):
        create(tmp_path / "key", b"second")

    assert (tmp_path / "key").read_bytes() == b"first"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("bits", [0o604, 0o640, 0o620, 0o602, 0o644])
def test_a_secret_that_others_may_read_is_refused(tmp_path: Path, bits: int) -> None:
    file = tmp_path / "key"
    create(file, b"secret")
    file.chmod(bits)

    with pytest.raises(CaError) as caught:
        read_secret(file)
    assert str(caught.value) == f"{file}: others may read or change it (mode {bits:04o}); chmod 600 {file}"
    file.chmod(0o400)
    assert read_secret(file) == b"secret"


def test_what_cannot_be_read_or_written_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "no" / "file"
    for look in (read, read_secret):
        with pytest.raises(CaError, match=f"{missing}: cannot be read: no such file or directory"):
            look(missing)
    writers: list[Callable[[Path, bytes], None]] = [create, replace, append]
    for write in writers:
        with pytest.raises(CaError, match=f"{missing}: cannot be written: no such file or directory"):
            write(missing, b"")
