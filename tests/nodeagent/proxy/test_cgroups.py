"""By what a program's cgroup is known: what the kernel says, what stands in /proc, and a tree of directories."""

from __future__ import annotations

import errno
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from nodeagent.proxy.caller import Caller, Callers, cgroup_in, is_cgroup
from nodeagent.proxy.cgroups import Cgroups, Mount, mounted, path_in, walked

ATTRIBUTE_21 = struct.pack("=HHQ", 12, 21, 4711)
FOREIGN = struct.pack("=HHB3x", 5, 8, 1)  # INET_DIAG_SHUTDOWN, one byte that is padded to four


def answer(attributes: bytes, *, kind: int = 20, inode: int = 77, uid: int = 0, length: int | None = None) -> bytes:
    """What the kernel says of a socket: nlmsghdr, inet_diag_msg, attributes."""
    whole = 16 + 72 + len(attributes)
    header = struct.pack("=IHHII", whole if length is None else length, kind, 0, 1, 0)
    return header + struct.pack("=64xII", uid, inode) + attributes


@pytest.mark.parametrize(
    ("said", "number"),
    [
        pytest.param(answer(ATTRIBUTE_21), 4711, id="alone"),
        pytest.param(answer(FOREIGN + ATTRIBUTE_21), 4711, id="after another one"),
        pytest.param(answer(ATTRIBUTE_21 + FOREIGN), 4711, id="before another one"),
        pytest.param(answer(b""), None, id="no attributes"),
        pytest.param(answer(FOREIGN), None, id="an older kernel"),
        pytest.param(answer(ATTRIBUTE_21[:-1]), None, id="cut short"),
        pytest.param(answer(FOREIGN + ATTRIBUTE_21[:4]), None, id="no more than its head"),
        pytest.param(answer(ATTRIBUTE_21[:3]), None, id="not even its head"),
        pytest.param(answer(struct.pack("=HHI", 8, 21, 4711)), None, id="of another size"),
        pytest.param(answer(struct.pack("=HH", 0, 5) + ATTRIBUTE_21), None, id="one of no length"),
        pytest.param(answer(ATTRIBUTE_21, length=16 + 72), None, id="behind the message"),
        pytest.param(answer(ATTRIBUTE_21, length=4000), 4711, id="a length that is too great"),
        pytest.param(answer(ATTRIBUTE_21, inode=0), None, id="a socket that is closed"),
        pytest.param(answer(ATTRIBUTE_21, kind=2), None, id="an error"),
        pytest.param(struct.pack("=IHHIIi", 20, 2, 0, 1, 0, -2), None, id="an error without more"),
        pytest.param(struct.pack("=IHHII", 16, 20, 0, 1, 0), None, id="a head alone"),
    ],
)
def test_what_the_kernel_says(said: bytes, number: int | None) -> None:
    assert cgroup_in(said) == number


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("0::/system.slice/web.service\n", "/system.slice/web.service"),
        ("12:cpu:/v1\n1:name=systemd:/v1\n0::/a b\n", "/a b"),
        ("0::/\n", "/"),
        ("0::/../x\n", None),
        ("0::/../..\n", None),
        ("0::/x (deleted)\n", None),
        ("1:cpu:/v1\n", None),
        ("0::/caf\u00e9\n", None),
        ("0::/bad\udcff\n", None),
        ("", None),
    ],
)
def test_what_stands_in_proc(text: str, path: str | None) -> None:
    assert path_in(text) == path


@pytest.mark.parametrize(
    ("path", "whole"),
    [("/", True), ("/a", True), ("/a/b.service", True), ("/a\\x2db", True)]
    + [(path, False) for path in ("", "a", "/a/", "//a", "/./a", "/a/..", "/a\n", "/\u00e9")],
)
def test_what_is_the_path_of_a_cgroup(path: str, whole: bool) -> None:
    assert is_cgroup(path) is whole


CPU = "30 25 0:26 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n"
V2 = "31 25 0:27 {root} {point} rw,relatime shared:4 - cgroup2 cgroup2 rw\n"


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        (CPU, None),
        (CPU + V2.format(root="/", point="/sys/fs/cgroup/unified"), Mount("/sys/fs/cgroup/unified")),
        (V2.format(root="/docker/abc", point="/sys/fs/cgroup"), Mount("/sys/fs/cgroup", "/docker/abc")),
        (V2.format(root="/docker/abc", point="/a") + V2.format(root="/", point="/b"), Mount("/b")),
        (V2.format(root="/../x", point="/sys/fs/cgroup"), None),
        (V2.format(root="/", point="/a\\040b"), Mount("/a b")),
    ],
)
def test_where_the_tree_is(tmp_path: Path, text: str, mount: Mount | None) -> None:
    (tmp_path / "mountinfo").write_text(text)
    assert mounted(str(tmp_path / "mountinfo")) == mount
    assert mounted(str(tmp_path / "nowhere")) is None


def tree(root: Path, *paths: str) -> list[int]:
    """Make these cgroups; return their numbers, that of the root first."""
    for path in paths:
        (root / path).mkdir(parents=True)
        (root / path / "cgroup.procs").touch()
    return [each.stat().st_ino for each in (root, *(root / path for path in paths))]


def test_a_walk_finds_all_that_can_be_named(tmp_path: Path) -> None:
    root, web, caf, below = tree(tmp_path, "system.slice/web.service", "caf\u00e9", "system.slice/web.service/a")
    (tmp_path / "link").symlink_to(tmp_path / "system.slice")
    slices = (tmp_path / "system.slice").stat().st_ino
    whole = {root: "/", slices: "/system.slice", web: "/system.slice/web.service", below: "/system.slice/web.service/a"}
    assert caf not in whole
    assert walked(Mount(str(tmp_path))) == whole
    assert walked(Mount(str(tmp_path), "/pod"))[web] == "/pod/system.slice/web.service"
    assert walked(Mount(str(tmp_path), "/pod"))[root] == "/pod"
    assert set(walked(Mount(str(tmp_path)), most=2)) == {root, slices}, "those near the root"
    assert walked(Mount(str(tmp_path / "gone"))) == {}


@pytest.fixture
def callers() -> Iterator[Callers]:
    made = Callers()
    yield made
    made.close()


async def test_one_walk_is_for_all_and_what_is_known_needs_none(tmp_path: Path, callers: Callers) -> None:
    root, a, b = tree(tmp_path, "a", "b")
    cgroups = Cgroups(callers, Mount(str(tmp_path)))
    assert [await cgroups.path(each) for each in (a, b, root)] == ["/a", "/b", "/"]
    assert cgroups.walks == 1

    _, c = tree(tmp_path, "c")
    assert await cgroups.path(c) == "/c", "a new one is looked for"
    assert [await cgroups.path(each) for each in (12, 12, a)] == [None, None, "/a"]
    assert cgroups.walks == 3, "what was not found stays unknown: a number is not used again"


async def test_many_who_come_at_once_wait_for_one_walk(tmp_path: Path, callers: Callers) -> None:
    numbers = tree(tmp_path, *(f"c{each}" for each in range(20)))
    cgroups = Cgroups(callers, Mount(str(tmp_path)))
    found: dict[int, str | None] = {}

    async def look(number: int) -> None:
        found[number] = await cgroups.path(number)

    async with trio.open_nursery() as nursery:
        for number in [*numbers, 12, 13, 14]:
            nursery.start_soon(look, number)
    assert cgroups.walks == 1
    assert None not in [found[number] for number in numbers]
    assert [found[number] for number in (12, 13, 14)] == [None] * 3


async def test_without_a_tree_a_cgroup_is_unknown(callers: Callers) -> None:
    assert await Cgroups(callers, None).path(1) is None


async def test_only_programs_of_this_host_have_one(tmp_path: Path, callers: Callers) -> None:
    cgroups, elsewhere = Cgroups(callers, Mount(str(tmp_path))), Caller(None, "10.0.0.7")
    with socket.socket() as sock:
        assert await cgroups.with_cgroup(elsewhere, sock, ("10.0.0.7", 1)) == elsewhere
        assert await cgroups.with_cgroup(Caller(1, ""), sock, ("127.0.0.1", 1)) == Caller(1, "")
    assert cgroups.walks == 0


async def test_a_program_on_a_unix_socket_is_looked_up_by_its_number(tmp_path: Path, callers: Callers) -> None:
    (tmp_path / str(os.getpid())).mkdir()
    said = tmp_path / str(os.getpid()) / "cgroup"
    cgroups, me = Cgroups(callers, None, proc=str(tmp_path)), Caller(os.getuid(), "")
    one, other = socket.socketpair()
    with one, other:
        said.write_text("0::/system.slice/web.service\n")
        assert await cgroups.with_cgroup(me, one, "") == me._replace(cgroup="/system.slice/web.service")
        said.write_text("0::/../../outside\n")
        assert await cgroups.with_cgroup(me, one, "") == me
        said.unlink()
        assert await cgroups.with_cgroup(me, one, "") == me, "it has ended"


async def test_the_cgroup_of_a_process_that_has_ended_is_unknown(tmp_path: Path, callers: Callers) -> None:
    """Another process may have its number by then, as here the one whose cgroup stands there."""
    me = Caller(os.getuid(), "")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "agent"))
        listener.listen()
        connect = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
        with subprocess.Popen([sys.executable, "-c", connect, str(tmp_path / "agent")]) as ended:
            pass
        (tmp_path / str(ended.pid)).mkdir()
        (tmp_path / str(ended.pid) / "cgroup").write_text("0::/system.slice/web.service\n")
        sock, address = listener.accept()
    with sock:
        try:
            os.close(sock.getsockopt(socket.SOL_SOCKET, 77))
        except OSError as error:
            if error.errno == errno.ENOPROTOOPT:
                pytest.skip("needs Linux 6.5, which has SO_PEERPIDFD")
        assert await Cgroups(callers, None, proc=str(tmp_path)).with_cgroup(me, sock, address) == me


def test_how_a_caller_in_a_cgroup_is_written() -> None:
    assert str(Caller(1000, "", cgroup="/system.slice/web.service")) == "uid 1000 in /system.slice/web.service"
