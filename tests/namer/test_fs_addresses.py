"""The file namer: what its files say, on real files, in virtual time."""

import errno
import pathlib
import socket
from collections.abc import Callable

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from namer.addr import AddrBound, AddrFailed, Endpoint
from namer.endpointfile import MAX_ENDPOINTS
from namer.files import Arguments, Result
from namer.fs import MAX_FILE_BYTES, locate_and_look, read_endpoints
from tests.namer.disk import addr_of, endpoints, ignore, looked_up
from tests.namer.fakes import FakeResolver, offload_inline, running, write

DOWN = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


async def test_an_empty_file_is_a_name_that_nobody_serves(autojump_clock: MockClock, tmp_path: pathlib.Path) -> None:
    write(tmp_path / "web", "# nobody today\n")
    async with running() as live:
        assert (await addr_of(live, tmp_path)).value == AddrBound(())


@pytest.mark.parametrize("for_a_moment", [pytest.param(None, id="gone"), pytest.param("", id="empty")])
async def test_a_file_that_is_read_while_it_is_written_anew(
    autojump_clock: MockClock, tmp_path: pathlib.Path, for_a_moment: str | None
) -> None:
    file = tmp_path / "web"
    write(file, "10.0.0.1 80\n")
    async with running() as live:
        name = await looked_up(live, tmp_path, "/web")
        addr = await addr_of(live, tmp_path)
        both: set[object] = {locate_and_look, read_endpoints}
        done: set[object] = set()

        async def offload(function: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
            result = await offload_inline(function, *arguments)
            if not both <= done:
                done.add(function)
                if both <= done:
                    write(file, "10.0.0.1 80\n")
            return result

        live.files.offload = offload
        if for_a_moment is None:
            file.unlink()
        else:
            write(file, for_a_moment)
        await trio.sleep(3)

        assert both <= done
        assert (name.version, addr.version) == (1, 1), "nobody ever saw it without endpoints"
        assert addr.value == endpoints("10.0.0.1:80")


async def test_names_with_one_file_share_its_address(autojump_clock: MockClock, tmp_path: pathlib.Path) -> None:
    write(tmp_path / "web", "10.0.0.1 80\n")
    async with running() as live:
        assert await addr_of(live, tmp_path, "/web/a") is await addr_of(live, tmp_path, "/web/b")


async def test_a_bad_line_is_told_once_and_leaves_the_others(autojump_clock: MockClock, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "web"
    write(file, "10.0.0.1 80\n10.0.0.2 eighty\n")
    async with running() as live:
        with capture_logs() as logs:
            addr = await addr_of(live, tmp_path)
            assert addr.value == endpoints("10.0.0.1:80")
            assert addr.error == f"{file}:2: 'eighty': expected a port from 1 to 65535"

            write(file, "10.0.0.1 80\n10.0.0.2 eighty\n10.0.0.3 80\n")
            await trio.sleep(1)
            assert addr.value == endpoints("10.0.0.1:80", "10.0.0.3:80")

        assert [(log["event"], log["file"], log["problem"]) for log in logs] == [
            ("endpoint file", str(file), f"{file}:2: 'eighty': expected a port from 1 to 65535")
        ]

        write(file, "10.0.0.1 80\n")
        await trio.sleep(1)
        assert addr.error is None


async def test_a_file_that_is_too_large_keeps_the_last_good_endpoints(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    write(tmp_path / "web", "10.0.0.1 80\n")
    async with running() as live:
        addr = await addr_of(live, tmp_path)
        write(tmp_path / "web", "10.0.0.2 80\n" + "#" * MAX_FILE_BYTES)
        await trio.sleep(1)

        assert addr.value == endpoints("10.0.0.1:80")
        assert addr.error == f"{tmp_path / 'web'}: larger than 512000 bytes, so it is not read"


async def test_a_file_that_is_too_large_from_the_start_is_a_failure(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    write(tmp_path / "web", "#" * (MAX_FILE_BYTES + 1))
    async with running() as live:
        addr = await addr_of(live, tmp_path)
        before = addr.value
        assert before == AddrFailed(f"{tmp_path / 'web'}: larger than 512000 bytes, so it is not read")

        write(tmp_path / "web", "#" * MAX_FILE_BYTES)
        await trio.sleep(1)
        assert addr.value == AddrBound(())


@pytest.mark.parametrize(
    "rubbish",
    [
        pytest.param("<html>502 Bad Gateway</html>\n", id="a page"),
        pytest.param("10.0.0.2 80\n".encode("utf-16").decode("latin-1"), id="another encoding"),
        pytest.param("10.0.0.2\n", id="one torn line"),
    ],
)
async def test_a_file_that_is_all_rubbish_keeps_the_last_good_endpoints(
    autojump_clock: MockClock, tmp_path: pathlib.Path, rubbish: str
) -> None:
    write(tmp_path / "web", "10.0.0.1 80\n")
    async with running() as live:
        addr = await addr_of(live, tmp_path)
        write(tmp_path / "web", rubbish)
        await trio.sleep(1)

        assert addr.value == endpoints("10.0.0.1:80")
        assert addr.error is not None
        assert addr.error.startswith(f"{tmp_path / 'web'}:1: ")
        assert addr.error.endswith("; it has no good line, so it is not used")


async def test_a_file_that_is_all_rubbish_from_the_start_is_a_failure(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    write(tmp_path / "web", "rubbish\n")
    async with running() as live:
        assert isinstance((await addr_of(live, tmp_path)).value, AddrFailed)


async def test_a_file_with_too_many_endpoints_is_not_used(autojump_clock: MockClock, tmp_path: pathlib.Path) -> None:
    write(tmp_path / "web", "10.0.0.1 80\n")
    async with running() as live:
        addr = await addr_of(live, tmp_path)
        write(tmp_path / "web", "10.0.0.2 80\n" * (MAX_ENDPOINTS + 1))
        await trio.sleep(1)

        assert addr.value == endpoints("10.0.0.1:80")
        assert addr.error == f"{tmp_path / 'web'}: more than 10000 endpoints, so it is not read"


async def test_windows_writes_files_too(autojump_clock: MockClock, tmp_path: pathlib.Path) -> None:
    (tmp_path / "web").write_bytes(b"\xef\xbb\xbf10.0.0.1 80\r\n# rack 7\r\n10.0.0.2 80 * 2\r\n")
    async with running() as live:
        assert (await addr_of(live, tmp_path)).value == AddrBound(
            (Endpoint("10.0.0.1", 80), Endpoint("10.0.0.2", 80, 2.0))
        )


async def test_hosts_that_change_together_are_looked_at_together(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    resolver = FakeResolver(**{f"host{number}": ("10.0.0.1",) for number in range(500)})
    write(tmp_path / "web", "".join(f"host{number} {1000 + number}\n" for number in range(500)))
    async with running(resolver) as live:
        addr = await addr_of(live, tmp_path)
        await trio.sleep(1)

        assert isinstance(addr.value, AddrBound)
        assert len(addr.value.endpoints) == 500
        assert addr.version <= 3


async def test_a_file_that_cannot_be_read_is_tried_again(
    autojump_clock: MockClock, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "web", "10.0.0.1 80\n")

    def refuse(root: pathlib.Path, path: pathlib.Path) -> bytes | None:
        raise OSError(errno.EIO, "Input/output error")

    async with running() as live:
        with monkeypatch.context() as patched:
            patched.setattr("namer.fs.read_file", refuse)
            addr = await addr_of(live, tmp_path)
            assert addr.value == AddrFailed(f"{tmp_path / 'web'}: Input/output error")
        await trio.sleep(5)
        assert addr.value == endpoints("10.0.0.1:80")
        assert not addr.error

        with monkeypatch.context() as patched:
            patched.setattr("namer.fs.read_file", refuse)
            write(tmp_path / "web", "10.0.0.2 80\n")
            await trio.sleep(20)
            assert addr.value == endpoints("10.0.0.1:80")
            assert addr.error
        await trio.sleep(5)
        assert addr.value == endpoints("10.0.0.2:80")


async def test_hosts_in_a_file_are_resolved_again_and_again(autojump_clock: MockClock, tmp_path: pathlib.Path) -> None:
    resolver = FakeResolver(rack7=("10.0.7.1", "10.0.7.2"))
    write(tmp_path / "web", "rack7 80 * 0.5\n10.0.0.1 80\n")
    async with running(resolver) as live:
        addr = await addr_of(live, tmp_path)
        assert addr.value == AddrBound(
            (Endpoint("10.0.7.1", 80, 0.5), Endpoint("10.0.7.2", 80, 0.5), Endpoint("10.0.0.1", 80))
        )

        resolver.known["rack7"] = ("10.0.7.3",)
        await trio.sleep(5)
        assert addr.value == AddrBound((Endpoint("10.0.7.3", 80, 0.5), Endpoint("10.0.0.1", 80)))

        addr.unsubscribe(ignore)
        await trio.sleep(100)
        assert all(each.subscribers == 0 for each in live.watches.statistics() if each.key.source == "dns")


async def test_hosts_are_followed_while_the_file_cannot_be_read(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    resolver = FakeResolver(rack7=("10.0.7.1",))
    write(tmp_path / "web", "rack7 80\n")
    async with running(resolver) as live:
        addr = await addr_of(live, tmp_path)
        write(tmp_path / "web", "#" * (MAX_FILE_BYTES + 1))
        resolver.known["rack7"] = ("10.0.7.2",)
        await trio.sleep(10)

        assert addr.value == endpoints("10.0.7.2:80")
        assert addr.error == f"{tmp_path / 'web'}: larger than 512000 bytes, so it is not read"


async def test_a_host_that_is_slow_or_unknown_holds_up_nobody(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    resolver = FakeResolver()
    resolver.answering = trio.Event()
    file = tmp_path / "web"
    write(file, "10.0.0.1 80\nnobody 80\n")
    async with running(resolver) as live:
        addr = await addr_of(live, tmp_path)
        assert addr.value == endpoints("10.0.0.1:80")
        assert not addr.error

        resolver.answering.set()
        await trio.sleep(1)
        assert addr.value == endpoints("10.0.0.1:80")
        assert addr.error == f"{file}:2: unknown host nobody"


async def test_new_hosts_that_do_not_resolve_yet_keep_the_last_good_endpoints(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    resolver = FakeResolver(rack8=DOWN)
    write(tmp_path / "web", "10.0.0.1 80\n")
    async with running(resolver) as live:
        addr = await addr_of(live, tmp_path)
        resolver.answering = trio.Event()
        write(tmp_path / "web", "rack8 80\n")
        await trio.sleep(1)
        assert addr.value == endpoints("10.0.0.1:80")
        assert not addr.error

        resolver.answering.set()
        await trio.sleep(1)
        assert addr.value == endpoints("10.0.0.1:80")
        assert addr.error == f"{tmp_path / 'web'}:1: cannot resolve rack8: Temporary failure in name resolution"

        resolver.known["rack8"] = ("10.0.8.1",)
        await trio.sleep(6)
        assert addr.value == endpoints("10.0.8.1:80")
        assert not addr.error
