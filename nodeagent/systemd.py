"""The service manager: readiness, status, watchdog, inherited sockets. An edge module.

* Notifications are datagrams of NAME=VALUE lines to $NOTIFY_SOCKET, a path or an abstract socket:
  sd_notify(3).
* The watchdog wants a ping within $WATCHDOG_USEC: sd_watchdog_enabled(3). The ping is a task on the event
  loop, so a loop that hangs stops pinging and is restarted.
* Inherited listening sockets are the descriptors from 3 on, counted by $LISTEN_FDS, named by $LISTEN_FDNAMES
  and meant for the process $LISTEN_PID alone: sd_listen_fds(3).

Without these variables everything here does nothing, so callers never ask who started them.
"""

import os
import socket
import time
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass

import trio

LISTEN_FDS_START = 3  # SD_LISTEN_FDS_START
MAX_LISTEN_FDS = 1024
MAX_WATCHDOG_USEC = 2**63
NOTIFY_TIMEOUT = 1.0  # seconds that a service manager which does not read may hold its caller up


@dataclass(frozen=True, slots=True)
class ServiceManager:
    """Whom to tell how the agent is doing; with no address, nobody.

    Every method waits at most NOTIFY_TIMEOUT and raises nothing: traffic goes on when the manager cannot be
    told. Cancelling is safe, a message is sent whole or not at all.
    """

    address: str | None = None  # of the datagram socket, a leading NUL for an abstract one
    watchdog_interval: float | None = None  # seconds within which a ping is wanted

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "ServiceManager":
        """Read what systemd set. Raises ValueError, naming the variable, when one makes no sense."""
        return cls(_notify_address(environ), _watchdog_interval(environ))

    async def ready(self) -> None:
        """Start-up or a reload is complete."""
        await self._notify("READY=1")

    async def reloading(self) -> None:
        """A reload has begun; `ready` ends it."""
        # The manager takes this for the start of the reload only with its time, on its clock.
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        await self._notify("RELOADING=1", f"MONOTONIC_USEC={now}")

    async def stopping(self) -> None:
        """The drain has begun."""
        await self._notify("STOPPING=1")

    async def status(self, text: str) -> None:
        """Show *text*, one line, in `systemctl status`."""
        await self._notify("STATUS=" + " ".join(text.splitlines()))

    async def watchdog(self) -> None:
        """Ping at half the interval until cancelled; return at once when no ping is wanted."""
        while self.watchdog_interval is not None:
            await self._notify("WATCHDOG=1")
            await trio.sleep(self.watchdog_interval / 2)

    async def _notify(self, *assignments: str) -> None:
        if self.address is None:
            return
        with (
            trio.socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
            trio.move_on_after(NOTIFY_TIMEOUT),
            suppress(OSError),
        ):
            # Only a connected datagram socket waits for room at its peer; sendto would spin.
            await sender.connect(self.address)
            await sender.send("\n".join(assignments).encode())


@dataclass(frozen=True, slots=True)
class InheritedSocket:
    """A listening stream socket that was open before the agent started."""

    name: str  # FileDescriptorName= of its unit
    socket: socket.socket


def listen_fds(environ: MutableMapping[str, str]) -> list[InheritedSocket]:
    """Take over the sockets passed to this process, once: the variables are removed from *environ*.

    Raises ValueError when the variables make no sense or a descriptor is no listening stream socket.
    """
    pid, count, names = (environ.pop(name, None) for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"))
    if pid is None or count is None or not _is_this_process("LISTEN_PID", pid):
        return []
    size = _whole_number("LISTEN_FDS", count, MAX_LISTEN_FDS)
    named = ["unknown"] * size if names is None else names.split(":")
    if len(named) != size:
        raise ValueError(f"LISTEN_FDNAMES={names!r} names {len(named)} sockets, LISTEN_FDS says {size}")
    return [InheritedSocket(name, _listener(fd)) for fd, name in enumerate(named, LISTEN_FDS_START)]


def _listener(fd: int) -> socket.socket:
    try:
        inherited = socket.socket(fileno=fd)
    except OSError as error:
        raise ValueError(f"inherited descriptor {fd} is no socket: {error.strerror}") from error
    if not inherited.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        inherited.detach()  # not ours to close
        raise ValueError(f"inherited descriptor {fd} is no listening stream socket: give its unit ListenStream=")
    inherited.set_inheritable(False)
    return inherited


def _notify_address(environ: Mapping[str, str]) -> str | None:
    match environ.get("NOTIFY_SOCKET", ""):
        case "":
            return None
        case path if path.startswith("/"):
            return path
        case abstract if abstract.startswith("@"):
            return "\0" + abstract[1:]
        case other:
            raise ValueError(f"NOTIFY_SOCKET={other!r}: expected an absolute path or an abstract socket '@name'")


def _watchdog_interval(environ: Mapping[str, str]) -> float | None:
    usec, pid = environ.get("WATCHDOG_USEC"), environ.get("WATCHDOG_PID")
    if usec is None or (pid is not None and not _is_this_process("WATCHDOG_PID", pid)):
        return None
    return _whole_number("WATCHDOG_USEC", usec, MAX_WATCHDOG_USEC) / 1e6


def _is_this_process(variable: str, pid: str) -> bool:
    return _whole_number(variable, pid, maximum=2**31) == os.getpid()


def _whole_number(variable: str, text: str, maximum: int) -> int:
    if text.isascii() and text.isdigit() and len(text) <= len(str(maximum)) and 0 < int(text) <= maximum:
        return int(text)
    raise ValueError(f"{variable}={text!r}: expected a whole number from 1 to {maximum}")
