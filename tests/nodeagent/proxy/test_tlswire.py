"""TLS towards a backend, against a server on loopback. What it shares with a plain wire is in test_wire_contract.py."""

from __future__ import annotations

import datetime
import pathlib
import socket
import ssl
import warnings
from collections.abc import Awaitable, Callable

import pytest
import trio
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from nodeagent.proxy.errors import TlsFailed
from nodeagent.proxy.tlswire import BATCH, TlsWire, start_tls
from tests.nodeagent.proxy.tlsends import CUT, LARGE, NAME, Trust, connected, encrypted, handshaken
from tests.tls.authorities import Fleet, key_pem, pem
from tls.authority import Revoked, make_key, sign_crl
from tls.contexts import client_context, make_side
from tls.params import PROTOCOLS, ContextParams, OwnCertificate, ServerParams


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Trust:
    return Trust(trustme.CA(), tmp_path_factory.mktemp("tls"))


# What is so only through TLS.


async def test_session_tickets_are_no_data(trust: Trust) -> None:
    server = trust.server()
    server.num_tickets = 4
    async with handshaken(trust.client(protocols=("TLSv1.3",)), server) as (wire, peer):
        tickets = encrypted(peer)
        assert tickets
        await peer.transport_stream.send_all(tickets)
        await trio.lowlevel.wait_readable(wire.fd)

        assert not wire.has_bytes()
        await wire.send(b"ping")
        assert await peer.receive_some(100) == b"ping"
        await peer.send_all(b"pong")
        assert await wire.receive() == b"pong"


async def test_a_cut_is_no_end(trust: Trust) -> None:
    async with handshaken(trust.client(), trust.server()) as (wire, peer):
        await peer.send_all(b"half of")
        await peer.transport_stream.send_eof()

        assert await wire.receive() == b"half of"
        for _ in range(2):
            with pytest.raises(ssl.SSLError, match=r"EOF occurred|UNEXPECTED_EOF"):
                await wire.receive()
        assert wire.has_bytes()


async def test_a_record_that_was_tampered_with_is_an_error_also_behind_a_good_one(trust: Trust) -> None:
    async with handshaken(trust.client(), trust.server()) as (wire, peer):
        peer._ssl_object.write(b"good")
        peer._ssl_object.write(b"evil")
        records = bytearray(encrypted(peer))
        records[-1] ^= 1
        await peer.transport_stream.send_all(records)
        await trio.lowlevel.wait_readable(wire.fd)

        assert await wire.receive() == b"good"
        for _ in range(2):
            with pytest.raises(OSError):  # noqa: PT011  (first a bad record, then a dead connection)
                await wire.receive()


async def test_answers_of_tls_to_a_peer_that_does_not_read_do_not_pile_up(trust: Trust) -> None:
    async with handshaken(trust.client(), trust.server()) as (wire, _):
        while wire.send_nowait(LARGE):
            pass
        wire._outgoing.write(bytes(BATCH + 1))  # as to a flood of key updates, which Python cannot send

        with pytest.raises(ssl.SSLError, match="does not read"):
            await wire.receive()


async def test_a_reader_and_a_writer_that_both_wait_for_the_peer_do_not_disturb_each_other(trust: Trust) -> None:
    """Before the handshake, writing has to read first: as it has within any handshake message of the peer."""
    sock, transport = await connected()
    peer = trio.SSLStream(transport, trust.server(), server_side=True)
    wire = TlsWire(sock, trust.client(), NAME)
    async with transport:
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def read() -> None:
                assert await wire.receive() == b"pong"

            nursery.start_soon(wire.send, b"ping")
            await trio.testing.wait_all_tasks_blocked()
            assert await peer.receive_some(100) == b"ping"
            await peer.send_all(b"pong")
        wire.close()


async def test_a_close_wakes_a_reader_and_a_writer(trust: Trust) -> None:
    sock, transport = await connected()
    wire = TlsWire(sock, trust.client(), NAME)

    async def fails(use: Awaitable[object]) -> None:
        with pytest.raises(trio.ClosedResourceError):
            await use

    async with transport, trio.open_nursery() as nursery:
        nursery.start_soon(fails, wire.receive())
        nursery.start_soon(fails, wire.send(b"x"))
        await trio.testing.wait_all_tasks_blocked()
        wire.close()


@pytest.mark.parametrize("version", PROTOCOLS)
async def test_the_name_is_sent_and_http_is_offered(version: str, trust: Trust) -> None:
    server, asked = trust.server(), []
    server.set_alpn_protocols(["h2", "http/1.1"])
    server.sni_callback = lambda tls, name, context: asked.append(name)

    async with handshaken(trust.client(protocols=(version,)), server, f"{NAME}.") as (_, peer):
        assert asked == [NAME]
        assert (peer.selected_alpn_protocol(), peer.version()) == ("http/1.1", version)


async def test_an_address_is_verified_too(trust: Trust) -> None:
    async with handshaken(trust.client(), trust.server("127.0.0.1"), "127.0.0.1"):
        pass


# Handshakes that fail.


async def refused(
    client: ssl.SSLContext, server: ssl.SSLContext, name: str | None = NAME, kind: str = "tls_protocol_error"
) -> str:
    with pytest.raises(TlsFailed) as caught:
        async with handshaken(client, server, name):
            pass
    assert (caught.value.type, caught.value.status, caught.value.unsent) == (kind, 502, True)
    return caught.value.message


CERTIFICATE = "tls_certificate_error"


async def test_a_wrong_name(trust: Trust) -> None:
    message = await refused(trust.client(), trust.server("billing.example"), kind=CERTIFICATE)

    assert message == (
        "dial 10.0.0.7:443: the certificate is refused: hostname mismatch, certificate is not valid for 'users.example'"
    )


async def test_a_wrong_address(trust: Trust) -> None:
    assert "127.0.0.2" in await refused(trust.client(), trust.server("127.0.0.1"), "127.0.0.2", CERTIFICATE)


async def test_an_unknown_issuer(trust: Trust) -> None:
    stranger = Trust(trustme.CA(), trust.folder)

    message = await refused(trust.client(), stranger.server(), kind=CERTIFICATE)

    assert message == "dial 10.0.0.7:443: the certificate is refused: its issuer is unknown"


async def test_the_systems_store_does_not_know_it(trust: Trust) -> None:
    assert "issuer" in await refused(client_context(ContextParams()), trust.server(), kind=CERTIFICATE)


async def test_an_expired_certificate(trust: Trust) -> None:
    message = await refused(trust.client(), trust.server(expired=True), kind=CERTIFICATE)

    assert message == "dial 10.0.0.7:443: the certificate is refused: it has expired"


async def test_a_certificate_that_is_valid_only_later_and_one_of_a_client(trust: Trust, tmp_path: pathlib.Path) -> None:
    now = datetime.datetime.now(datetime.UTC)
    fleet = Fleet.made(now)

    def shows(leaf: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> ssl.SSLContext:
        (tmp_path / "cert.pem").write_bytes(pem(leaf, fleet.intermediate.certificate))
        (tmp_path / "key.pem").write_bytes(key_pem(key))
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
        return server

    key = make_key()
    (tmp_path / "bundle.pem").write_bytes(pem(fleet.root.certificate))
    client = client_context(ContextParams(trust=(str(tmp_path / "bundle.pem"),)))
    later = fleet.issue("users", key, now + datetime.timedelta(hours=1), dns=(NAME,))
    message = await refused(client, shows(later, key), kind=CERTIFICATE)
    assert message == "dial 10.0.0.7:443: the certificate is refused: it is not valid yet"

    only_client = for_clients_only(fleet, key, now)
    message = await refused(client, shows(only_client, key), kind=CERTIFICATE)
    assert message == "dial 10.0.0.7:443: the certificate is refused: it is not for this use (extended key usage)"


def for_clients_only(fleet: Fleet, key: ec.EllipticCurvePrivateKey, now: datetime.datetime) -> x509.Certificate:
    """A certificate for the right name and the wrong end."""
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(fleet.intermediate.certificate.subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(fleet.intermediate.key, hashes.SHA256())
    )


@pytest.mark.parametrize("version", PROTOCOLS)
async def test_no_session_is_taken_up_again(version: str, trust: Trust) -> None:
    """Each connection is a handshake of its own, under the trust of its time; whatever tickets a backend gives."""
    client, server = trust.client(protocols=(version,)), trust.server()
    for _ in range(3):
        async with handshaken(client, server) as (wire, peer), trio.open_nursery() as nursery:
            nursery.start_soon(peer.send_all, b"tickets come before this")
            assert await wire.receive()
            assert not wire._tls.session_reused
    assert server.session_stats()["hits"] == 0


async def test_an_old_version(trust: Trust) -> None:
    server = trust.server()
    server.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        server.minimum_version = server.maximum_version = ssl.TLSVersion.TLSv1_1

    assert await refused(trust.client(), server) == "dial 10.0.0.7:443: no TLS: tlsv1 alert protocol version"


@pytest.mark.parametrize("name", ["", "a b", "a/../b", "\udcff"])
async def test_no_host_name(name: str, trust: Trust) -> None:
    assert "is no host name" in await refused(trust.client(), trust.server(), name)


async def failing(trust: Trust, behave: Callable[[trio.SocketStream], Awaitable[None]]) -> str:
    sock, transport = await connected()
    async with transport:
        await behave(transport)
        with pytest.raises(TlsFailed) as caught:
            await start_tls(sock, trust.client(), NAME, "dial 10.0.0.7:443")
    assert sock.fileno() == -1
    return caught.value.message


async def test_a_backend_without_tls(trust: Trust) -> None:
    async def speak_http(stream: trio.SocketStream) -> None:
        await stream.send_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    assert await failing(trust, speak_http) == "dial 10.0.0.7:443: no TLS: the endpoint does not speak TLS"


async def test_a_backend_that_hangs_up(trust: Trust) -> None:
    assert await failing(trust, trio.SocketStream.send_eof) == "dial 10.0.0.7:443: no TLS: the connection was closed"


async def test_a_backend_that_resets(trust: Trust) -> None:
    async def reset(stream: trio.SocketStream) -> None:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, CUT)
        stream.socket.close()

    assert await failing(trust, reset) == "dial 10.0.0.7:443: no TLS: connection reset by peer"


async def test_cancelling_a_handshake_closes_the_socket(trust: Trust) -> None:
    sock, transport = await connected()
    async with transport:
        with trio.move_on_after(0) as scope:
            await start_tls(sock, trust.client(), NAME, "dial")

    assert scope.cancelled_caught
    assert sock.fileno() == -1


async def test_without_validation_anybody_is_let_in(trust: Trust) -> None:
    anybody = client_context(ContextParams(verify=False))
    stranger = Trust(trustme.CA(), trust.folder)

    async with handshaken(anybody, stranger.server(expired=True), None) as (wire, peer):
        await wire.send(b"ping")
        assert await peer.receive_some(10) == b"ping"


# The agent's own certificate.


def demanding(trust: Trust) -> ssl.SSLContext:
    server = trust.server()
    server.verify_mode = ssl.CERT_REQUIRED
    trust.ca.configure_trust(server)
    return server


@pytest.mark.parametrize("version", PROTOCOLS)
async def test_a_client_certificate_is_shown(version: str, trust: Trust, tmp_path: pathlib.Path) -> None:
    middle = trust.ca.create_child_ca()
    leaf = middle.issue_cert("agent.example")
    leaf.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    leaf.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    middle.cert_pem.write_to_path(str(tmp_path / "middle.pem"))
    own = OwnCertificate(*(str(tmp_path / f"{name}.pem") for name in ("cert", "key", "middle")))

    async with handshaken(trust.client(own=own, protocols=(version,)), demanding(trust)) as (wire, peer):
        await wire.send(b"it is me")
        assert await peer.receive_some(100) == b"it is me"
        assert ("DNS", "agent.example") in peer.getpeercert()["subjectAltName"]


async def test_a_client_certificate_that_is_missing_fails_the_handshake(trust: Trust) -> None:
    message = await refused(trust.client(protocols=("TLSv1.2",)), demanding(trust))

    assert message == "dial 10.0.0.7:443: no TLS: sslv3 alert handshake failure"


async def test_in_tls_1_3_the_client_learns_that_with_the_first_answer(trust: Trust) -> None:
    async with handshaken(trust.client(protocols=("TLSv1.3",)), demanding(trust)) as (wire, _):
        with pytest.raises(ssl.SSLError, match="certificate required"):
            await wire.receive()


async def test_a_peer_that_is_revoked_gets_nothing(tmp_path: pathlib.Path) -> None:
    """Its certificate is verified, and on the list."""
    now = datetime.datetime.now(datetime.UTC)
    fleet = Fleet.made(now)
    leaf = fleet.write(tmp_path, now=now, dns=(NAME,))
    own = OwnCertificate(str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"))
    server = make_side(ServerParams(own), now)
    lists = tmp_path / "crl.pem"
    params = ContextParams(trust=(str(tmp_path / "bundle.pem"),), revoked=(str(lists),))

    async def said(*revoked: int) -> str:
        crl = sign_crl(fleet.intermediate, [Revoked(each, now) for each in revoked], 1, now)
        lists.write_bytes(crl.public_bytes(Encoding.PEM))
        client = make_side(params, now)
        sock, transport = await connected()
        peer = trio.SSLStream(transport, server.context, server_side=True)
        async with transport, trio.open_nursery() as nursery:
            nursery.start_soon(peer.do_handshake)
            try:
                wire = await start_tls(sock, client.context, NAME, "dial 10.0.0.7:443", client.revoked)
            except TlsFailed as failed:
                return str(failed)
            wire.close()
        return "spoken to"

    assert await said(leaf.serial_number) == "dial 10.0.0.7:443: the certificate is refused: it is revoked"
    assert await said(leaf.serial_number + 1) == "spoken to"
