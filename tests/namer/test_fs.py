"""The file namer: which names there are, on real files, in virtual time."""

import errno
import os
import pathlib
from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock

from namer.addr import AddrNeg
from namer.files import Arguments, Result
from namer.fs import MAX_FILE_BYTES, PAUSE, Place, locate, locate_and_look, read_file
from namer.namer import Failure, NameState
from namer.nametree import NEG
from namer.path import Path
from tests.namer.contract_namer import Client, NamerContract, Source
from tests.namer.disk import addr_of, bound, endpoints, fs_namer, looked_up
from tests.namer.fakes import Live, offload_inline, rewrite, running, write


class FsSource(Source):
    """A file in a directory."""

    def __init__(self, live: Live, root: pathlib.Path) -> None:
        self._file = root / "web"
        self.namer = fs_namer(live, root)
        self.name = Path.parse("/web")
        self.id = Path.parse("/#/io.l5d.fs/web")

    def serve(self, *hosts: str) -> None:
        write(self._file, "".join(f"{host} 80\n" for host in hosts))

    def break_(self) -> None:
        write(self._file, "#" * (MAX_FILE_BYTES + 1))

    def remove(self) -> None:
        self._file.unlink()


class TestFsKeepsTheContract(NamerContract):
    def source(self, live: Live) -> Source:
        return FsSource(live, self.tmp_path)


@pytest.mark.parametrize(
    ("name", "state"),
    [
        pytest.param("/web", bound("/#/io.l5d.fs/web"), id="a file"),
        pytest.param("/web/a/b", bound("/#/io.l5d.fs/web", "/a/b"), id="a residual"),
        pytest.param("/eu/web/a", bound("/#/io.l5d.fs/eu/web", "/a"), id="a nested file"),
        pytest.param("/eu", NEG, id="a directory is no name"),
        pytest.param("/none", NEG, id="no file"),
        pytest.param("/eu/none", NEG, id="no file in a directory"),
        pytest.param("/none/web", NEG, id="no directory"),
        pytest.param(r"/\xc3\xa9t\xc3\xa9", bound(r"/#/io.l5d.fs/\xc3\xa9\x74\xc3\xa9"), id="a name with accents"),
        pytest.param("/link", bound("/#/io.l5d.fs/link"), id="a link inside the root"),
        pytest.param("/far/web", bound("/#/io.l5d.fs/far/web"), id="a linked directory inside the root"),
        pytest.param("/pipe", NEG, id="a pipe is no file"),
        pytest.param("/loop", NEG, id="a link to itself"),
        pytest.param("/" + "a" * 300, NEG, id="a name too long for a file"),
        pytest.param("/", NEG, id="no label"),
    ],
)
async def test_names_and_files(autojump_clock: MockClock, tmp_path: pathlib.Path, name: str, state: NameState) -> None:
    for file in ("web", "eu/web", "été"):
        write(tmp_path / file, "10.0.0.1 80\n")
    (tmp_path / "link").symlink_to("eu/web")
    (tmp_path / "far").symlink_to(tmp_path / "eu")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    async with running() as live:
        assert (await looked_up(live, tmp_path, name)).value == state


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("/../secret", id="dots"),
        pytest.param("/..", id="only dots"),
        pytest.param("/./web", id="a dot"),
        pytest.param(r"/\x2e\x2e/secret", id="escaped dots"),
        pytest.param(r"/\x2e\x2e\x2fsecret", id="a slash inside a label"),
        pytest.param(r"/web\x00", id="a NUL"),
        pytest.param("/file-out", id="a link to a file outside"),
        pytest.param("/dir-out/secret", id="a link to a directory outside"),
        pytest.param("/up/secret", id="a link to the directory above"),
        pytest.param("/eu/../web", id="dots that come back"),
    ],
)
async def test_no_name_leads_out_of_the_root(autojump_clock: MockClock, tmp_path: pathlib.Path, name: str) -> None:
    root = tmp_path / "disco"
    write(root / "web", "10.0.0.1 80\n")
    write(root / "eu" / "web", "10.0.0.1 80\n")
    write(tmp_path / "secret", "10.6.6.6 80\n")
    (root / "file-out").symlink_to("../secret")
    (root / "dir-out").symlink_to(tmp_path)
    (root / "up").symlink_to("..")
    async with running() as live:
        assert (await looked_up(live, root, name)).value == NEG
    assert read_file(root, root / "file-out") is None


async def test_a_link_that_turns_outward_later_leads_nowhere(autojump_clock: MockClock, tmp_path: pathlib.Path) -> None:
    root = tmp_path / "disco"
    write(root / "eu" / "web", "10.0.0.1 80\n")
    write(tmp_path / "secret", "10.6.6.6 80\n")
    (root / "web").symlink_to("eu/web")
    async with running() as live:
        addr = await addr_of(live, root)
        assert addr.value == endpoints("10.0.0.1:80")

        (root / "web").unlink()
        (root / "web").symlink_to("../secret")
        await trio.sleep(1)

        assert addr.value == AddrNeg()
        assert (await looked_up(live, root, "/web")).value == NEG


async def test_a_mounted_config_map_is_followed(autojump_clock: MockClock, tmp_path: pathlib.Path) -> None:
    for version, host in (("..2024", "10.0.0.1"), ("..2025", "10.0.0.2")):
        write(tmp_path / version / "web", f"{host} 80\n")
    (tmp_path / "..data").symlink_to("..2024")
    (tmp_path / "web").symlink_to("..data/web")
    async with running() as live:
        addr = await addr_of(live, tmp_path)
        assert addr.value == endpoints("10.0.0.1:80")

        (tmp_path / "..data_tmp").symlink_to("..2025")
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")
        await trio.sleep(1)
        assert addr.value == endpoints("10.0.0.2:80")


@pytest.mark.parametrize("writer", [write, rewrite], ids=["replaced", "written in place"])
async def test_a_change_is_live_within_a_second(
    autojump_clock: MockClock, tmp_path: pathlib.Path, writer: type
) -> None:
    write(tmp_path / "web", "10.0.0.1 80\n")
    async with running() as live:
        addr = await addr_of(live, tmp_path)
        for number in range(2, 6):
            writer(tmp_path / "web", f"10.0.0.{number} 80\n")
            await trio.sleep(1)
            assert addr.value == endpoints(f"10.0.0.{number}:80")


async def test_a_name_comes_and_goes_with_its_file(autojump_clock: MockClock, tmp_path: pathlib.Path) -> None:
    async with running() as live:
        cell = await looked_up(live, tmp_path / "disco", "/eu/web/x")
        seen = [cell.value]
        for act in (
            lambda: write(tmp_path / "disco" / "eu", "10.0.0.1 80\n"),
            lambda: (tmp_path / "disco" / "eu").unlink(),
            lambda: write(tmp_path / "disco" / "eu" / "web", "10.0.0.1 80\n"),
            lambda: (tmp_path / "disco" / "eu").rename(tmp_path / "disco" / "us"),
        ):
            act()
            await trio.sleep(1)
            seen.append(cell.value)

        file, nested = bound("/#/io.l5d.fs/eu", "/web/x"), bound("/#/io.l5d.fs/eu/web", "/x")
        assert seen == [NEG, file, NEG, nested, NEG]


async def test_a_directory_that_cannot_be_looked_into_is_a_failure_until_it_can(
    autojump_clock: MockClock, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "web", "10.0.0.1 80\n")

    def refuse(root: pathlib.Path, labels: tuple[str, ...]) -> Place:
        raise PermissionError(errno.EACCES, "Permission denied")

    async with running() as live:
        with monkeypatch.context() as patched:
            patched.setattr("namer.fs.locate", refuse)
            cell = await looked_up(live, tmp_path, "/web")
            assert isinstance(cell.value, Failure)
            assert cell.value.reason.startswith(f"cannot look for /web in {tmp_path}: ")
        await trio.sleep(30)
        assert cell.value == bound("/#/io.l5d.fs/web")
        assert not cell.error


def test_an_error_that_does_not_say_there_is_no_file_is_raised(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: pathlib.Path) -> os.stat_result:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(pathlib.Path, "stat", refuse)
    with pytest.raises(PermissionError):
        locate(tmp_path, ("web",))


async def test_a_client_never_sees_a_gap_while_a_file_is_rewritten(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    async with running() as live:
        source = FsSource(live, tmp_path)
        source.serve("10.0.0.1")
        client = Client(source)
        await trio.sleep(1)
        for number in range(2, 20):
            source.serve(f"10.0.0.{number}")
            await trio.sleep(0.7)

        assert () not in client.changes[1:]


async def test_a_file_that_never_rests_is_not_looked_for_without_a_pause(
    autojump_clock: MockClock, tmp_path: pathlib.Path
) -> None:
    write(tmp_path / "web", "10.0.0.1 80\n")
    async with running() as live:
        await addr_of(live, tmp_path)
        looked = 0

        async def offload(function: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
            nonlocal looked
            asked: object = function
            if asked is locate_and_look:
                looked += 1
                assert looked <= 1000
                write(tmp_path / "web", "10.0.0.1 80\n")
            return await offload_inline(function, *arguments)

        live.files.offload = offload
        await looked_up(live, tmp_path, "/web/residual", seconds=3)

    assert 1 < looked <= 2 * 3 / PAUSE, "by either name"
