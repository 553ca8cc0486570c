"""Files of TLS that change under a running agent, on a clock that the test owns."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from structlog.testing import capture_logs

from namer.files import FileWatch
from nodeagent.certificates import CertificateFiles
from tests.namer.fakes import offload_inline
from tests.nodeagent.proxy.world import OK
from tests.nodeagent.running import running
from tests.tls.authorities import NOW, Fleet, key_pem, pem
from tests.tls.handshakes import shake_hands
from tls.authority import Revoked, make_key, sign_crl
from tls.contexts import Contexts
from tls.params import ContextParams, OwnCertificate, ServerParams

SOON = 1.0
"""Seconds within which new handshakes see what has changed."""


@dataclass
class Followed:
    """A server and a client whose files are followed."""

    folder: Path
    fleet: Fleet
    contexts: Contexts
    offset: timedelta = field(default_factory=timedelta)

    @property
    def server(self) -> ServerParams:
        """The agent of web-1, who asks everybody who they are."""
        own = OwnCertificate(str(self.folder / "cert.pem"), str(self.folder / "key.pem"))
        return ServerParams(own, "required", (str(self.folder / "bundle.pem"),))

    @property
    def client(self) -> ContextParams:
        """The same agent, as the client."""
        return ContextParams(trust=self.server.trust, certificate=self.server.certificate)

    def shown(self) -> x509.Certificate:
        """What a new handshake shows, which both sides verify, each by the files."""
        client = self.contexts.client(self.client)
        client.check_hostname = False
        seen, _ = shake_hands(client, self.contexts.side(self.server).context)
        assert seen is not None
        return x509.load_der_x509_certificate(seen)


@pytest.fixture
def real() -> datetime:
    """OpenSSL has the clock of the system; so certificates are of now."""
    return datetime.now(NOW.tzinfo)


@asynccontextmanager
async def followed(folder: Path, now: datetime) -> AsyncIterator[Followed]:
    """Files that are there and followed."""
    fleet = Fleet.made(now)
    begun = trio.current_time()
    contexts = Contexts(lambda: now + timedelta(seconds=trio.current_time() - begun))
    files = FileWatch(offload=offload_inline)
    fleet.write(folder, now=now)
    async with trio.open_nursery() as nursery:
        await nursery.start(files.run)
        nursery.start_soon(CertificateFiles(contexts, files).run)
        yield Followed(folder, fleet, contexts)
        nursery.cancel_scope.cancel()


async def test_new_files_are_picked_up_within_a_second_on_both_sides(
    tmp_path: Path, real: datetime, autojump_clock: trio.testing.MockClock
) -> None:
    async with followed(tmp_path, real) as one:
        first = one.shown()
        await trio.sleep(5)
        assert one.shown() == first
        second = one.fleet.write(tmp_path, now=real)
        await trio.sleep(SOON)

        assert one.shown() == second
        assert one.contexts.side(one.server).expires == second.not_valid_after_utc


async def test_of_a_pair_there_is_never_half(
    tmp_path: Path, real: datetime, autojump_clock: trio.testing.MockClock
) -> None:
    """The certificate comes long before its key, and the key half."""
    async with followed(tmp_path, real) as one:
        first, key = one.shown(), make_key()
        with capture_logs() as logs:
            second = one.fleet.issue("web-1", key, real)
            (tmp_path / "cert.pem").write_bytes(pem(second, one.fleet.intermediate.certificate))
            await trio.sleep(60)
            assert one.shown() == first
            (tmp_path / "key.pem").write_bytes(key_pem(key)[:100])
            await trio.sleep(SOON)
            assert one.shown() == first
            (tmp_path / "key.pem").write_bytes(key_pem(key))
            await trio.sleep(SOON)
            assert one.shown() == second

    faults = [each["error"] for each in logs if "error" in each]
    assert all(fault.startswith(f"{tmp_path}/key.pem: not ") for fault in faults)
    assert len(faults) == 4  # for each of client and server once of either fault, however long it lasts


async def test_a_handshake_under_way_ends_with_the_pair_that_it_began_with(
    tmp_path: Path, real: datetime, autojump_clock: trio.testing.MockClock
) -> None:
    async with followed(tmp_path, real) as one:
        first = one.shown()
        up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
        calling = one.contexts.client(one.client).wrap_bio(down, up)
        answering = one.contexts.side(one.server).context.wrap_bio(up, down, server_side=True)
        with pytest.raises(ssl.SSLWantReadError):
            calling.do_handshake()
        second = one.fleet.write(tmp_path, now=real)
        await trio.sleep(SOON)
        with pytest.raises(ssl.SSLWantReadError):
            answering.do_handshake()
        calling.do_handshake()
        answering.do_handshake()

        assert calling.getpeercert(binary_form=True) == first.public_bytes(Encoding.DER)
        assert one.shown() == second


async def test_a_link_that_is_swapped_above_both_files(
    tmp_path: Path, real: datetime, autojump_clock: trio.testing.MockClock
) -> None:
    """As Kubernetes does with a Secret, and `nodeagent ca join` with what it gets."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    (tmp_path / "live").symlink_to("one")
    async with followed(tmp_path / "live", real) as one:
        one.shown()
        second = one.fleet.write(tmp_path / "two", now=real)
        (tmp_path / "bundle.pem").write_bytes((tmp_path / "one" / "bundle.pem").read_bytes())
        (tmp_path / "next").symlink_to("two")
        (tmp_path / "next").rename(tmp_path / "live")
        await trio.sleep(SOON)

        assert one.shown() == second


async def test_a_certificate_that_is_valid_only_later_is_taken_then(
    tmp_path: Path, real: datetime, autojump_clock: trio.testing.MockClock
) -> None:
    async with followed(tmp_path, real) as one:
        first = one.shown()
        second = one.fleet.write(tmp_path, now=real + timedelta(minutes=10))
        await trio.sleep(60)
        assert one.contexts.side(one.server).expires == first.not_valid_after_utc
        await trio.sleep(5 * 60)

        assert one.contexts.side(one.server).expires == second.not_valid_after_utc


async def test_one_that_has_expired_is_not_taken(
    tmp_path: Path, real: datetime, autojump_clock: trio.testing.MockClock
) -> None:
    async with followed(tmp_path, real) as one:
        first = one.shown()
        with capture_logs() as logs:
            one.fleet.write(tmp_path, now=real - timedelta(days=2))
            await trio.sleep(SOON)

        assert one.shown() == first
        assert any("cert.pem: the certificate has expired on" in str(each.get("error")) for each in logs)


async def test_whom_to_trust_changes_with_its_file(
    tmp_path: Path, real: datetime, autojump_clock: trio.testing.MockClock
) -> None:
    async with followed(tmp_path, real) as one:
        one.shown()
        other = Fleet.made(real)
        (tmp_path / "bundle.pem").write_bytes(pem(other.root.certificate))
        await trio.sleep(SOON)
        with pytest.raises(Exception, match="CERTIFICATE_VERIFY_FAILED"):
            one.shown()
        (tmp_path / "bundle.pem").write_bytes(pem(other.root.certificate, one.fleet.root.certificate)[:-200])
        await trio.sleep(SOON)
        (tmp_path / "bundle.pem").write_bytes(pem(other.root.certificate, one.fleet.root.certificate))
        await trio.sleep(SOON)
        one.shown()


async def test_lists_of_revoked_ones_are_followed_too(
    tmp_path: Path, real: datetime, autojump_clock: trio.testing.MockClock
) -> None:
    file = tmp_path / "crl.pem"
    async with followed(tmp_path, real) as one:
        file.write_bytes(pem(sign_crl(one.fleet.intermediate, [], 1, real)))
        params = ContextParams(trust=one.client.trust, revoked=(str(file),))
        leaf = one.shown()

        def revokes() -> bool:
            revoked = one.contexts.side(params).revoked
            return revoked is not None and revoked.revokes(leaf)

        assert not revokes()
        file.write_bytes(pem(sign_crl(one.fleet.intermediate, [Revoked(leaf.serial_number, real)], 2, real)))
        await trio.sleep(SOON)
        assert revokes()
        file.write_bytes(b"half")
        await trio.sleep(SOON)
        assert revokes()


@pytest.mark.e2e
async def test_certificates_change_under_load_and_no_request_is_lost(tmp_path: Path) -> None:
    """Endpoint and agent get new keys a few times, and a new authority at last."""
    now = datetime.now(NOW.tzinfo)
    fleet, agent, endpoint = Fleet.made(now), tmp_path / "agent", tmp_path / "endpoint"
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(pem(fleet.root.certificate))
    own = OwnCertificate(str(endpoint / "cert.pem"), str(endpoint / "key.pem"))
    params = ServerParams(own, "required", (str(bundle),))
    contexts, files = Contexts(), FileWatch()
    shown: set[bytes] = set()

    async def answer(stream: trio.SocketStream) -> None:
        secured = trio.SSLStream(stream, contexts.side(params).context, server_side=True, https_compatible=True)
        with suppress(trio.BrokenResourceError):
            async with secured:
                await secured.receive_some(10_000)
                shown.add(secured.getpeercert(binary_form=True) or b"")
                await secured.send_all(OK.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))

    def new_keys(of: Fleet) -> None:
        for folder, name in ((agent, "agent"), (endpoint, "web")):
            folder.mkdir(exist_ok=True)
            of.write(folder, name, now, dns=(f"{name}.example",))

    new_keys(fleet)
    statuses: list[int] = []
    async with trio.open_nursery() as nursery:
        await nursery.start(files.run)
        nursery.start_soon(CertificateFiles(contexts, files).run)
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, answer, [listener])
        auth = f"{{certPath: {agent / 'cert.pem'}, keyPath: {agent / 'key.pem'}}}"
        text = (
            f"- protocol: http\n  dtab: /svc => /$/inet/127.0.0.1/{listener.socket.getsockname()[1]}\n"
            f"  servers: [{{port: 0}}]\n"
            f"  service: {{retries: {{budget: {{percentCanRetry: 0, minRetriesPerSec: 0}}}}}}\n"
            f"  client: {{tls: {{commonName: web.example, trustCertsBundle: {bundle}, clientAuth: {auth}}}}}\n"
        )
        async with running(text) as run:

            async def ask() -> None:
                while True:
                    statuses.append((await run.ask("router http", b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")).status)

            def sides() -> set[bytes]:
                return {side.digest for side in (*contexts.made().values(), *run.agent.contexts.made().values())}

            async def change(by: Callable[[], object]) -> None:
                """Change files, and go on when both ends have taken them, and some requests were made since."""
                before = sides()
                by()
                with trio.fail_after(20):
                    while len(sides() - before) < 2:
                        await trio.sleep(0.01)
                    enough = len(statuses) + 10
                    while len(statuses) < enough:
                        await trio.sleep(0.01)

            nursery.start_soon(ask)
            nursery.start_soon(ask)
            with trio.fail_after(20):
                while not shown:
                    await trio.sleep(0.01)
            for _ in range(3):
                await change(partial(new_keys, fleet))
            other = Fleet.made(now)
            both = pem(fleet.root.certificate, other.root.certificate)
            await change(partial(bundle.write_bytes, both))
            await change(partial(new_keys, other))
            await change(partial(bundle.write_bytes, pem(other.root.certificate)))
            nursery.cancel_scope.cancel()

    assert set(statuses) == {200}
    assert len(shown) == 5


@pytest.mark.e2e
async def test_an_endpoint_that_is_revoked_is_refused_from_then_on(tmp_path: Path) -> None:
    """By the keys of a configuration."""
    now = datetime.now(NOW.tzinfo)
    fleet = Fleet.made(now)
    leaf = fleet.write(tmp_path, "web", now, dns=("web.example",))
    own = OwnCertificate(str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"))
    context = Contexts().side(ServerParams(own)).context
    bundle, lists = tmp_path / "bundle.pem", tmp_path / "crl.pem"
    lists.write_bytes(pem(sign_crl(fleet.intermediate, [], 1, now)))

    async def answer(stream: trio.SocketStream) -> None:
        secured = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
        with suppress(trio.BrokenResourceError):
            async with secured:
                await secured.receive_some(10_000)
                await secured.send_all(OK.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, answer, [listener])
        text = (
            f"- protocol: http\n  dtab: /svc => /$/inet/127.0.0.1/{listener.socket.getsockname()[1]}\n"
            f"  servers: [{{port: 0}}]\n"
            f"  client: {{tls: {{commonName: web.example, trustCertsBundle: {bundle}, crlPath: {lists}}}}}\n"
        )
        async with running(text) as run:
            request = b"GET / HTTP/1.1\r\nHost: web\r\n\r\n"
            assert (await run.ask("router http", request)).status == 200
            lists.write_bytes(pem(sign_crl(fleet.intermediate, [Revoked(leaf.serial_number, now)], 2, now)))
            with trio.fail_after(10):
                while (refused := await run.ask("router http", request)).status == 200:
                    await trio.sleep(0.05)
        nursery.cancel_scope.cancel()

    assert refused.status == 502
    assert "error=tls_certificate_error" in str(refused.get("proxy-status"))
    assert "it is revoked" in str(refused.get("proxy-status"))
