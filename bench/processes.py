"""Starts the programs of a run, reads what they cost, and stops them.

Every program leads a session of its own, so its process tree is that session: it can be measured and stopped
as a whole, and a Ctrl-C in the terminal reaches only the harness, which then stops everything in order.

CPU time is the kernel's process CPU clock (clock_getcpuclockid(3)): user plus system time of all threads,
ended ones too, in nanoseconds. It is the sum that /proc/PID/stat shows in ticks of 10 ms.
"""

import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

STOP_SECONDS = 5.0
LOG_TAIL = 2000

_libc = ctypes.CDLL(None)


class BenchError(Exception):
    """The run cannot go on; the text says which program failed and what it printed."""


class Process:
    """A started program and whatever it started itself."""

    def __init__(self, name: str, command: Sequence[str], *, core: int, log: Path) -> None:
        """Start *command* on *core*, with its output in the file *log*; raises BenchError when it cannot."""
        self.name = name
        self.log = log
        try:
            with log.open("wb") as output, pinned(core):
                self._popen = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            raise BenchError(f"{name}: cannot start {command[0]}: {error}") from error

    def exit_code(self) -> int | None:
        """The exit code, None while the program runs."""
        return self._popen.poll()

    def wait(self, seconds: float) -> int:
        """Wait for the end and return the exit code; raises BenchError after *seconds*."""
        try:
            return self._popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise self.failed(f"did not end within {seconds:g} s") from None

    def failed(self, what: str) -> BenchError:
        """An error that says *what* went wrong and ends with the last lines of the program's output."""
        return BenchError(f"{self.name} {what}\n{self.output()[-LOG_TAIL:]}".rstrip())

    def output(self) -> str:
        """Everything the program printed so far."""
        return self.log.read_text(errors="replace")

    def signal(self, number: int) -> None:
        """Send a signal to the program itself, not to its children."""
        self._popen.send_signal(number)

    def cpu_seconds(self) -> float:
        """User plus system time used so far by all processes of the tree."""
        return sum(_cpu_seconds(pid) for pid in self.pids())

    def resident_bytes(self) -> int:
        """Resident memory of all processes of the tree; pages that two of them share count twice."""
        return sum(_resident_bytes(pid) for pid in self.pids())

    def pids(self) -> list[int]:
        """The process ids of the tree."""
        every = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal())
        return [pid for pid in every if _session(pid) == self._popen.pid]

    def stop(self) -> None:
        """Ask the tree to end, and kill what is left after STOP_SECONDS or on a second Ctrl-C."""
        try:
            self._signal_group(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._popen.wait(STOP_SECONDS)
        finally:
            self._signal_group(signal.SIGKILL)
            self._popen.wait()

    def _signal_group(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._popen.pid, number)


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """Keep this thread, and what it starts meanwhile, on *core*; afterwards it may run where it could before."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def running(name: str, command: Sequence[str], *, core: int, log: Path) -> Iterator[Process]:
    """A started program that is stopped when the block ends, however it ends."""
    process = Process(name, command, core=core, log=log)
    try:
        yield process
    finally:
        process.stop()


def free_ports(count: int) -> tuple[int, ...]:
    """Different TCP ports of 127.0.0.1 on which nothing listens now."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return tuple(each.getsockname()[1] for each in sockets)


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def _cpu_seconds(pid: int) -> float:
    clock = ctypes.c_int()
    if _libc.clock_getcpuclockid(pid, ctypes.byref(clock)) != 0:
        return 0.0  # it ended since the list was made
    try:
        return time.clock_gettime(clock.value)
    except OSError:
        return 0.0


def _resident_bytes(pid: int) -> int:
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0  # it ended since the list was made
    for line in rollup.splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024
    return 0
