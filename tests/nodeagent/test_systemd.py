"""systemd's wire as it is: real datagram sockets for messages, real descriptors for inherited listeners."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trio
import trio.testing

from nodeagent import systemd
from nodeagent.systemd import InheritedSocket, ServiceManager, listen_fds


class Manager:
    """The receiving end, as PID 1 has it."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.setblocking(False)

    def received(self) -> list[str]:
        messages = []
        while True:
            try:
                messages.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return messages


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(str(tmp_path / "notify"))
    with manager.socket:
        yield manager


@pytest.fixture
def told(tmp_path: Path, manager: Manager) -> ServiceManager:
    return ServiceManager.from_environ({"NOTIFY_SOCKET": str(tmp_path / "notify")})


class TestNotifications:
    async def test_a_life(self, manager: Manager, told: ServiceManager) -> None:
        await told.status("waiting for names")
        await told.ready()
        await told.stopping()

        assert manager.received() == ["STATUS=waiting for names", "READY=1", "STOPPING=1"]

    async def test_a_reload_carries_its_time(self, manager: Manager, told: ServiceManager) -> None:
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        await told.reloading()
        after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000

        (message,) = manager.received()
        state, stamp = message.split("\n")
        assert state == "RELOADING=1"
        assert before <= int(stamp.removeprefix("MONOTONIC_USEC=")) <= after

    async def test_a_status_stays_one_line(self, manager: Manager, told: ServiceManager) -> None:
        await told.status("two\nREADY=1")

        assert manager.received() == ["STATUS=two READY=1"]

    async def test_abstract_socket(self) -> None:
        name = f"nodeagent-test-{os.getpid()}"
        manager = Manager("\0" + name)
        with manager.socket:
            await ServiceManager.from_environ({"NOTIFY_SOCKET": "@" + name}).ready()

            assert manager.received() == ["READY=1"]

    async def test_nobody_to_tell(self) -> None:
        await ServiceManager.from_environ({}).ready()

    async def test_a_manager_that_went_away_is_no_error(self, tmp_path: Path) -> None:
        await ServiceManager.from_environ({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()

    async def test_a_manager_that_does_not_read_holds_nobody_up(
        self, manager: Manager, told: ServiceManager, autojump_clock: trio.testing.MockClock
    ) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filler:
            filler.connect(manager.socket.getsockname())
            filler.setblocking(False)
            with suppress(BlockingIOError):
                while True:
                    filler.send(b"X=1")

        started = trio.current_time()
        await told.stopping()

        assert trio.current_time() - started == pytest.approx(systemd.NOTIFY_TIMEOUT)
        assert "STOPPING=1" not in manager.received()


class TestWatchdog:
    async def test_pings_at_half_the_interval(
        self, tmp_path: Path, manager: Manager, autojump_clock: trio.testing.MockClock
    ) -> None:
        environ = {
            "NOTIFY_SOCKET": str(tmp_path / "notify"),
            "WATCHDOG_USEC": "10000000",
            "WATCHDOG_PID": str(os.getpid()),
        }
        with trio.move_on_after(24):  # pings at 0, 5, 10, 15, 20
            await ServiceManager.from_environ(environ).watchdog()

        assert manager.received() == ["WATCHDOG=1"] * 5

    @pytest.mark.parametrize(
        "environ",
        [
            pytest.param({}, id="no watchdog"),
            pytest.param({"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "1"}, id="meant for another process"),
        ],
    )
    async def test_ends_at_once_where_no_ping_is_wanted(
        self, tmp_path: Path, manager: Manager, environ: dict[str, str]
    ) -> None:
        with trio.fail_after(5):
            await ServiceManager.from_environ(environ | {"NOTIFY_SOCKET": str(tmp_path / "notify")}).watchdog()

        assert manager.received() == []


def passed(pid: int, count: int, names: str | None = None) -> dict[str, str]:
    """The environment of a process that was passed *count* descriptors."""
    environ = {"LISTEN_PID": str(pid), "LISTEN_FDS": str(count), "PATH": "/usr/bin"}
    return environ if names is None else environ | {"LISTEN_FDNAMES": names}


@pytest.fixture
def descriptors(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Two neighbouring descriptors of listening sockets, where listen_fds looks for its first."""
    first, base = socket.create_server(("127.0.0.1", 0)), 200
    monkeypatch.setattr(systemd, "LISTEN_FDS_START", base)
    passed_on = [os.dup2(first.fileno(), base), os.dup2(first.fileno(), base + 1)]
    first.close()
    yield passed_on
    for fd in passed_on:
        os.close(fd)


def released(taken: list[InheritedSocket]) -> list[InheritedSocket]:
    """The fixture closes the descriptors, the sockets need not."""
    for inherited in taken:
        inherited.socket.detach()
    return taken


class TestInheritedSockets:
    def test_each_comes_with_its_name(self, descriptors: list[int]) -> None:
        taken = listen_fds(passed(os.getpid(), 2, "outgoing:incoming"))

        assert [(inherited.name, inherited.socket.fileno()) for inherited in taken] == [
            ("outgoing", descriptors[0]),
            ("incoming", descriptors[1]),
        ]
        assert taken[0].socket.getsockname()[0] == "127.0.0.1"
        assert not any(os.get_inheritable(fd) for fd in descriptors)
        released(taken)

    def test_without_names_they_are_unknown(self, descriptors: list[int]) -> None:
        taken = released(listen_fds(passed(os.getpid(), 2)))

        assert [inherited.name for inherited in taken] == ["unknown", "unknown"]

    def test_they_are_taken_once(self, descriptors: list[int]) -> None:
        environ = passed(os.getpid(), 1, "outgoing")

        assert len(released(listen_fds(environ))) == 1
        assert listen_fds(environ) == []
        assert environ == {"PATH": "/usr/bin"}

    @pytest.mark.parametrize(
        "environ",
        [
            pytest.param({}, id="started by hand"),
            pytest.param(passed(1, 1, "outgoing"), id="meant for another process"),
            pytest.param({"LISTEN_FDS": "1"}, id="meant for nobody"),
        ],
    )
    def test_nothing_inherited(self, environ: dict[str, str]) -> None:
        assert listen_fds(environ) == []
        assert "LISTEN_FDS" not in environ

    def test_a_descriptor_that_is_no_socket(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        with (tmp_path / "file").open("w") as file:
            monkeypatch.setattr(systemd, "LISTEN_FDS_START", file.fileno())
            with pytest.raises(ValueError, match=f"descriptor {file.fileno()} is no socket"):
                listen_fds(passed(os.getpid(), 1))

    def test_a_socket_that_does_not_listen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            monkeypatch.setattr(systemd, "LISTEN_FDS_START", datagrams.fileno())
            with pytest.raises(ValueError, match="no listening stream socket: give its unit ListenStream="):
                listen_fds(passed(os.getpid(), 1))
            assert datagrams.fileno() != -1


NONSENSE = [
    pytest.param({"NOTIFY_SOCKET": "run/notify"}, "NOTIFY_SOCKET='run/notify'", id="relative notify path"),
    pytest.param({"WATCHDOG_USEC": "soon"}, "WATCHDOG_USEC='soon'", id="interval in words"),
    pytest.param({"WATCHDOG_USEC": "0"}, "WATCHDOG_USEC='0'", id="interval of nothing"),
    pytest.param({"WATCHDOG_USEC": "1", "WATCHDOG_PID": "-1"}, "WATCHDOG_PID='-1'", id="negative pid"),
    pytest.param(passed(os.getpid(), 10**9), "LISTEN_FDS='1000000000'", id="too many descriptors"),
    pytest.param(passed(os.getpid(), 0), "LISTEN_FDS='0'", id="no descriptors"),
    pytest.param(passed(os.getpid(), 2, "one"), "LISTEN_FDNAMES='one' names 1 sockets", id="a name is missing"),
    pytest.param({"LISTEN_PID": "me", "LISTEN_FDS": "1"}, "LISTEN_PID='me'", id="pid in words"),
    pytest.param({"LISTEN_PID": "9" * 5000, "LISTEN_FDS": "1"}, "LISTEN_PID='999", id="endless pid"),
]


@pytest.mark.parametrize(("environ", "complaint"), NONSENSE)
def test_nonsense_is_named(environ: dict[str, str], complaint: str) -> None:
    def read_all() -> None:
        ServiceManager.from_environ(environ)
        listen_fds(dict(environ))

    with pytest.raises(ValueError, match=r"expected|says") as error:
        read_all()

    assert complaint in str(error.value)
