"""In which cgroup (v2) a program of this host is, by the path of that. An edge; only for listeners whose rules ask.

Of TCP the kernel tells the number of the cgroup in which the socket was made (INET_DIAG_CGROUP_ID, since Linux 5.8),
which is the inode of its directory; of a Unix socket the process that connected, whose cgroup stands in /proc.

Numbers become paths by walking through the tree once a number comes up that is not known, in a thread, one walk at a
time and with a pause between two. The connection that brought it waits for that, some milliseconds; nobody else does,
and no request: what is found holds for the connection. Numbers are not used again while a host is up, and a cgroup v2
cannot be renamed. So what was found stays true, and what was not found is removed, hidden or too far down, and stays
so.

Unknown is: what the kernel does not tell, a cgroup that was removed, one outside the agent's cgroup namespace
(`/../x`) or mount, a name that is not printable ASCII, and a process that ended before it was looked at.
"""

from __future__ import annotations

import errno
import os
import re
import select
import socket
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

import structlog
import trio

from nodeagent.proxy.caller import Caller, Callers, is_cgroup

log = structlog.get_logger("nodeagent.policy")

MOST: Final = 8192
"""Cgroups that are looked at in a walk, and numbers of unknown ones that are remembered: a host has some hundreds."""

PAUSE: Final = 0.05
"""Seconds between two walks, at least."""

SHARE: Final = 4
"""A pause is so many times as long as the walk before it: whoever makes cgroups all the time costs a part of a core."""

_SO_PEERPIDFD: Final = 77  # asm-generic/socket.h, since Linux 6.5
_ESCAPE: Final = re.compile(rb"\\([0-7]{3})")


class Mount(NamedTuple):
    """Where there is a tree of cgroups."""

    point: str
    path: str = "/"
    """Of the cgroup that is there."""


class Cgroups:
    """Knows cgroups by their numbers, and callers by their cgroups."""

    def __init__(self, callers: Callers, mount: Mount | None, proc: str = "/proc") -> None:
        """`callers` asks the kernel. Without a `mount` only callers by Unix sockets have a cgroup that is known."""
        self._callers = callers
        self._mount = mount
        self._proc = proc
        self._paths: dict[int, str] = {}
        self._unknown: set[int] = set()
        self._walking = trio.Lock()
        self._next = 0.0
        self.walks = 0
        """How many have begun."""

    async def with_cgroup(self, caller: Caller, sock: socket.socket, address: object) -> Caller:
        """Return who has opened an accepted connection, with its cgroup where it is of this host and that is known.

        Yields only where the cgroup is new; cancelling gives up. Never raises.
        """
        if not caller.is_local:
            return caller
        if not isinstance(address, tuple):
            return caller._replace(cgroup=self._of_process(sock))
        number = self._callers.cgroup(sock, address)
        return caller if number is None else caller._replace(cgroup=await self.path(number))

    async def path(self, number: int) -> str | None:
        """Return the path of the cgroup with that number, None when it is unknown. Cancelling gives up."""
        if number not in self._paths and number not in self._unknown:
            begun = self.walks
            async with self._walking:
                # A walk that began after the number came up has seen the cgroup, if it can be seen.
                if number not in self._paths and self.walks == begun:
                    await self._walk()
            if number not in self._paths:
                if len(self._unknown) >= MOST:
                    self._unknown.clear()
                self._unknown.add(number)
        return self._paths.get(number)

    async def _walk(self) -> None:
        await trio.sleep_until(self._next)
        self.walks += 1
        begun = trio.current_time()
        if self._mount is not None:
            self._paths = await trio.to_thread.run_sync(walked, self._mount)
            if len(self._paths) >= MOST:
                log.warning("there are more cgroups than are looked at; others are unknown", looked_at=MOST)
        now = trio.current_time()
        self._next = now + max(PAUSE, SHARE * (now - begun))

    def _of_process(self, sock: socket.socket) -> str | None:
        """The cgroup of the process that connected. Blocks as little as /proc does."""
        handle = None
        try:
            handle = _handle(sock)
            process = Path(self._proc, str(self._callers.process(sock)))
            found = path_in((process / "cgroup").read_text("utf-8", "surrogateescape"))
            return found if handle is None or not _has_ended(handle) else None  # its number may be another's by now
        except OSError:
            return None
        finally:
            if handle is not None:
                os.close(handle)


def mounted(mountinfo: str = "/proc/self/mountinfo") -> Mount | None:
    """Return where the tree of cgroups v2 is, the whole one if it is there; None for nowhere. Blocks (proc(5))."""
    found = None
    with suppress(OSError):
        for line in Path(mountinfo).read_bytes().splitlines():
            fields, _, filesystem = line.partition(b" - ")
            if not filesystem.startswith(b"cgroup2 "):
                continue
            root, point = (_unescaped(field) for field in fields.split(b" ")[3:5])
            if root == "/":
                return Mount(point)
            if found is None and is_cgroup(root):
                found = Mount(point, root)
    return found


def walked(mount: Mount, most: int = MOST) -> dict[int, str]:
    """Return the paths of the cgroups of a tree by their numbers, at most so many, those near its root first. Blocks.

    What cannot be read, and what goes away meanwhile, is left out.
    """
    found: dict[int, str] = {}
    top = mount.path.rstrip("/")
    left = deque([(mount.point, top)])
    with suppress(OSError):
        found[os.stat(mount.point).st_ino] = mount.path  # noqa: PTH116 - beside scandir
    while left:
        directory, above = left.popleft()
        with suppress(OSError), os.scandir(directory) as entries:
            for entry in entries:
                path = f"{above}/{entry.name}"
                if not entry.is_dir(follow_symlinks=False) or not is_cgroup(path):
                    continue
                if len(found) >= most:
                    return found
                found[entry.inode()] = path
                left.append((entry.path, path))
    return found


def path_in(text: str) -> str | None:
    """Return the path of the cgroup v2 in the text of /proc/PID/cgroup (cgroups(7)); None when it is unknown."""
    for line in text.splitlines():
        path = line.removeprefix("0::")
        if path != line:
            return path if is_cgroup(path) and not path.endswith(" (deleted)") else None
    return None


def _handle(sock: socket.socket) -> int | None:
    """A descriptor of the process that has connected; None where the kernel makes none. Raises OSError: it is gone."""
    try:
        return sock.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD)
    except OSError as error:
        if error.errno == errno.ENOPROTOOPT:
            return None
        raise


def _has_ended(handle: int) -> bool:
    """Whether the process of a descriptor has (pidfd_open(2))."""
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(0))


def _unescaped(field: bytes) -> str:
    return os.fsdecode(_ESCAPE.sub(lambda octal: bytes([int(octal[1], 8) & 0xFF]), field))
