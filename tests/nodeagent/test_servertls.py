"""TLS on listeners, on real sockets: who is let in, who is told to be there, and what is refused."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
import trio
from cryptography.hazmat.primitives.serialization import Encoding

from nodeagent.listen import ListenError
from tests.nodeagent.proxy.world import Backend, Held
from tests.nodeagent.servertls import NAME, Files, World, now, serving
from tests.tls.authorities import Fleet, key_pem, pem
from tls.authority import Revoked, make_key, sign_crl

DB7 = "spiffe://mesh.example/host/db-7"


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files.made(tmp_path)


def values(request: bytes, name: str) -> list[str]:
    """The values of a field in a request as it arrived."""
    lines = [line.partition(": ") for line in request.decode().split("\r\n")]
    return [value for key, _, value in lines if key.lower() == name]


async def failed(world: World) -> dict[str, float]:
    """The failures, once there are some."""
    with trio.fail_after(10):
        while not (failures := await world.failures()):
            await trio.sleep(0.01)
    return failures


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
async def test_who_has_a_certificate_is_let_in_and_everybody_is_told_who_it_is(files: Files, version: str) -> None:
    async with serving(files.keys()) as world:
        answer = await world.ask(
            files.client(protocols=(version,)), "l5d-client-id: spiffe://mesh.example/host/root\r\n"
        )
        page = (await world.running.admin("/metrics")).body.decode()
        (record,) = json.loads((await world.running.admin("/requests.json")).body)

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert values(world.backend.seen[0], "l5d-client-id") == [DB7]
    assert record["identity"] == DB7
    assert f'version="{version}"}} 1.0' in page
    assert DB7 not in page, "an identity is no label"


async def test_without_a_certificate_nobody_is_known_where_that_is_allowed(files: Files) -> None:
    async with serving(files.keys("")) as world:
        assert (await world.ask(files.client(None), "L5d-Client_Id: me\r\nl5d-client-id: me\r\n")).startswith(
            b"HTTP/1.1 200 "
        )
        assert (await world.ask(files.client())).startswith(b"HTTP/1.1 200 ")

    assert [values(each, "l5d-client-id") for each in world.backend.seen] == [[], [DB7]]
    assert b"me" not in world.backend.seen[0].partition(b"\r\n")[2].replace(b"nodeagent", b"")


FORGED = "X-Forwarded-Client-Cert: By=me\r\nX_Forwarded_Client_Cert: By=me\r\nx-forwarded-client-cert: By=me\r\n"


@pytest.mark.parametrize(
    ("client", "told"),
    [("", []), ("  client: {forwardClientCert: true}", [f"URI={DB7}"])],
    ids=["by default nothing", "where that is wanted"],
)
async def test_endpoints_are_told_of_the_certificate_only_if_wanted_and_only_by_the_agent(
    files: Files, client: str, told: list[str]
) -> None:
    async with serving(files.keys(""), router=client) as world:
        await world.ask(files.client(), FORGED)
        await world.ask(files.client(None), FORGED)

    known, unknown = (values(each, "x-forwarded-client-cert") for each in world.backend.seen)
    assert [each.rpartition(";")[2] for each in known] == told
    assert unknown == []
    assert not any(b"By=me" in each for each in world.backend.seen)


async def test_plain_listeners_remove_what_is_forged_as_well(files: Files) -> None:
    forged = f"GET / HTTP/1.1\r\nHost: web\r\n{FORGED}l5d-client-id: {DB7}\r\n\r\n".encode()
    async with serving(files.keys(), server="}, {port: 0") as world:
        port = world.running.listening[1].port
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(forged)
            assert b" 200 " in await stream.receive_some()

    (seen,) = world.backend.seen
    assert not values(seen, "l5d-client-id") + values(seen, "x-forwarded-client-cert")
    assert b"By=me" not in seen


async def test_trailers_tell_of_no_certificate(files: Files) -> None:
    chunked = "Transfer-Encoding: chunked\r\n\r\n0\r\nX-Forwarded-Client-Cert: By=me\r\nl5d-client-id: me\r\n"
    async with serving(files.keys()) as world:
        assert (await world.ask(files.client(), f"{chunked}\r\n")).startswith(b"HTTP/1.1 200 ")

    assert b"By=me" not in world.backend.seen[0]
    assert b": me" not in world.backend.seen[0]


# Whoever is refused, and by which reason.


def expired(files: Files) -> ssl.SSLContext:
    files.write("old", at=now() - timedelta(hours=3), hours=1)
    return files.careless("old")


def future(files: Files) -> ssl.SSLContext:
    files.write("early", at=now() + timedelta(hours=1))
    return files.careless("early")


def stranger(files: Files) -> ssl.SSLContext:
    files.write("stranger", fleet=Fleet.made(now()))
    return files.careless("stranger")


def alone(files: Files) -> ssl.SSLContext:
    """Who shows a certificate without the authority in between."""
    files.write("alone")
    cert = files.folder / "alone" / "cert.pem"
    cert.write_bytes(cert.read_bytes().split(b"-----END CERTIFICATE-----\n")[0] + b"-----END CERTIFICATE-----\n")
    return files.careless("alone")


def authority(files: Files) -> ssl.SSLContext:
    """Who shows the certificate of the authority itself, whose key was taken."""
    (files.folder / "ca").mkdir()
    (files.folder / "ca" / "cert.pem").write_bytes(pem(files.fleet.intermediate.certificate))
    (files.folder / "ca" / "key.pem").write_bytes(key_pem(files.fleet.intermediate.key))
    return files.careless("ca")


@pytest.mark.parametrize(
    ("client", "reason"),
    [
        (lambda files: files.client(None), "no_certificate"),
        (expired, "certificate_expired"),
        (future, "certificate_not_yet_valid"),
        (stranger, "certificate_untrusted"),
        (alone, "certificate_untrusted"),
        (authority, "certificate_usage"),
    ],
)
async def test_who_is_not_let_in_and_why(files: Files, client: Callable[[Files], ssl.SSLContext], reason: str) -> None:
    async with serving(files.keys()) as world:
        assert await world.ask(client(files)) == b""
        assert await failed(world) == {reason: 1.0}

    assert world.backend.seen == []


async def test_who_does_not_believe_the_agent_says_so(files: Files) -> None:
    def connect(port: int) -> None:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=5) as raw,
            pytest.raises(ssl.SSLCertVerificationError),
            ssl.create_default_context().wrap_socket(raw, server_hostname=NAME),
        ):
            pass

    async with serving(files.plain_keys()) as world:
        await trio.to_thread.run_sync(connect, world.port)
        assert await failed(world) == {"alert": 1.0}


async def test_who_is_revoked_is_refused(files: Files) -> None:
    crl = files.folder / "crl.pem"
    leaf = files.fleet.write(files.folder / "client", "db-7", now())
    crl.write_bytes(pem(sign_crl(files.fleet.intermediate, [], 1, now())))
    async with serving(files.keys(f"requireClientAuth: true, crlPath: {crl}")) as world:
        client = files.client()
        assert await world.ask(client)
        crl.write_bytes(pem(sign_crl(files.fleet.intermediate, [Revoked(leaf.serial_number, now())], 2, now())))
        with trio.fail_after(5):
            while await world.ask(client):
                await trio.sleep(0.1)
        assert await failed(world) == {"certificate_revoked": 1.0}


# What is no proper handshake.


def hello(name: bytes | None = NAME.encode(), extra: int = 0, version: int = 3, suites: str = "c02bc02f") -> bytes:
    """A ClientHello of TLS 1.2 in one message: with this name (SNI), and that many bytes of padding."""
    extensions = b""
    if name is not None:
        entry = b"\0" + len(name).to_bytes(2, "big") + name
        listed = len(entry).to_bytes(2, "big") + entry
        extensions += b"\0\0" + len(listed).to_bytes(2, "big") + listed
    extensions += bytes.fromhex("000a00060004001d0017 000b00020100 000d00080006040308040401")
    for _ in range(extra // 60000):
        extensions += b"\0\x15" + (60000).to_bytes(2, "big") + bytes(60000)
    offered = (len(suites) // 2).to_bytes(2, "big") + bytes.fromhex(suites)
    body = (
        bytes((3, version)) + bytes(32) + b"\0" + offered + b"\x01\0" + len(extensions).to_bytes(2, "big") + extensions
    )
    return b"\x01" + len(body).to_bytes(3, "big") + body


def records(message: bytes, size: int) -> bytes:
    """A handshake message in records of so many bytes."""
    pieces = [message[at : at + size] for at in range(0, len(message), size)]
    return b"".join(b"\x16\x03\x01" + len(piece).to_bytes(2, "big") + piece for piece in pieces)


async def say(world: World, data: bytes) -> bytes:
    """Say this, and return what comes back before the connection ends or asks for more."""
    answer = b""
    async with await trio.open_tcp_stream("127.0.0.1", world.port) as stream:
        with suppress(trio.BrokenResourceError), trio.move_on_after(2):
            await stream.send_all(data)
            while data := await stream.receive_some():
                answer += data
                if answer[:1] == b"\x16":
                    break
    return answer


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n", "plain_http", id="plain HTTP"),
        pytest.param(b"CONNECT web:80 HTTP/1.1\r\nHost: web\r\n\r\n", "plain_http", id="plain CONNECT"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", "not_tls", id="another protocol"),
        pytest.param(records(hello(NAME.encode() + b"\0.evil"), 16384), "protocol", id="NUL in the name"),
        pytest.param(records(hello(extra=60000), 16384), "too_long", id="64 KiB"),
        pytest.param(records(hello(extra=60000), 1)[:80000], "too_long", id="64 KiB, a byte a record"),
        pytest.param(b"\x16\x03\x01\x00\x00" * 4000, "too_long", id="empty records"),
        pytest.param(records(hello(version=2), 16384), "version", id="TLS 1.1"),
        pytest.param(records(hello(suites="000ac011"), 16384), "cipher", id="3DES and RC4"),
        pytest.param(records(b"\x0b" + hello()[1:], 16384), "protocol", id="another message first"),
    ],
)
async def test_what_is_no_handshake_is_closed_at_once(files: Files, data: bytes, reason: str) -> None:
    async with serving(files.plain_keys()) as world:
        answer = await say(world, data)
        failures = await failed(world)
        good = await world.ask(files.client(None))

    assert answer[:1] in (b"", b"\x15"), "an alert at most"
    assert failures == {reason: 1.0}
    assert good.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(records(hello(), 16384), id="in one record"),
        pytest.param(records(hello(), 1), id="a byte a record"),
        pytest.param(records(hello(None), 16384), id="no name"),
    ],
)
async def test_what_is_unusual_and_right_is_answered(files: Files, data: bytes) -> None:
    async with serving(files.plain_keys()) as world:
        assert (await say(world, data))[:1] == b"\x16"


async def test_who_stops_in_the_middle_is_let_go_after_a_time(files: Files) -> None:
    async with serving(files.plain_keys("handshakeTimeoutMs: 200")) as world:
        async with await trio.open_tcp_stream("127.0.0.1", world.port) as stream:
            await stream.send_all(records(hello(), 16384)[:20])
            with trio.fail_after(5), suppress(trio.BrokenResourceError):
                assert await stream.receive_some() == b""
        assert await failed(world) == {"timeout": 1.0}


async def test_who_leaves_in_the_middle_is_counted(files: Files) -> None:
    async with serving(files.plain_keys()) as world:
        async with await trio.open_tcp_stream("127.0.0.1", world.port) as stream:
            await stream.send_all(records(hello(), 16384)[:20])
        assert await failed(world) == {"closed": 1.0}


async def test_handshakes_under_way_are_bounded(files: Files) -> None:
    async with serving(files.plain_keys("maxHandshakes: 2")) as world:
        held = [await trio.open_tcp_stream("127.0.0.1", world.port) for _ in range(2)]
        stats = world.running.agent.routers[0].servers[0].stats
        with trio.fail_after(5):
            while stats.tls_handshaking < 2:
                await trio.sleep(0.01)
        assert await world.ask(files.client(None)) == b""
        assert await failed(world) == {"too_many": 1.0}
        for stream in held:
            await stream.aclose()
        with trio.fail_after(5):
            while stats.tls_handshaking:
                await trio.sleep(0.01)
        assert await world.ask(files.client(None))


async def test_http_1_1_is_agreed_on_and_nothing_else_is(files: Files) -> None:
    context = files.client()
    context.set_alpn_protocols(["h2", "http/1.1"])
    async with serving(files.keys()) as world:
        stream = await world.call(context)
        assert stream.selected_alpn_protocol() == "http/1.1"
        await trio.aclose_forcefully(stream)


async def test_bodies_stream_both_ways(files: Files) -> None:
    body = bytes(range(256)) * 16384  # 4 MiB: more than all buffers
    backend = Backend([b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)])
    async with serving(files.keys(), backend=backend) as world:
        with trio.fail_after(30):
            async with await world.call(files.client()) as stream:
                await stream.send_all(b"POST / HTTP/1.1\r\nHost: web\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                answer = bytearray()
                while len(answer) < len(body) or not answer.endswith(body[-1000:]):
                    answer += await stream.receive_some()

    assert bytes(answer).partition(b"\r\n\r\n")[2] == body
    assert world.backend.seen[0].partition(b"\r\n\r\n")[2] == body
    assert values(world.backend.seen[0].partition(b"\r\n\r\n")[0], "l5d-client-id") == [DB7]


async def test_a_tunnel_leads_through_it(files: Files) -> None:
    async with serving(files.keys()) as world:
        with trio.fail_after(10):
            async with await world.call(files.client()) as stream:
                await stream.send_all(b"CONNECT web:80 HTTP/1.1\r\nHost: web:80\r\n\r\n")
                assert b" 200 " in await stream.receive_some()
                await stream.send_all(b"GET / HTTP/1.1\r\nHost: in-the-tunnel\r\nl5d-client-id: mine\r\n\r\n")
                assert b" 200 " in await stream.receive_some()

    assert values(world.backend.seen[0], "l5d-client-id") == ["mine"], "what is in a tunnel is not read"


async def test_who_goes_away_is_not_worked_for_any_more(files: Files) -> None:
    backend = Held()
    async with serving(files.keys(), backend=backend) as world:
        with trio.fail_after(10):
            stream = await world.call(files.client())
            await stream.send_all(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
            while not backend.seen:
                await trio.sleep(0.01)
            await trio.sleep(0.2)  # what comes sooner is taken for the end of what it has to say
            await stream.transport_stream.aclose()
            stats = world.running.agent.routers[0].servers[0].stats
            while stats.connections:
                await trio.sleep(0.01)

    assert stats.statuses[0] == 1


async def test_a_drain_ends_kept_connections_and_answers_what_is_under_way(files: Files) -> None:
    backend = Held()
    async with serving(files.keys(), backend=backend) as world:
        with trio.fail_after(10):
            idle, busy = await world.call(files.client()), await world.call(files.client())
            await busy.send_all(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
            while not backend.seen:
                await trio.sleep(0.01)
            world.running.agent.shutdown()
            assert await idle.receive_some() == b""
            backend.let.set()
            assert b" 200 " in await busy.receive_some()
            for stream in (idle, busy):
                await trio.aclose_forcefully(stream)


# Sessions.


def sessions(port: int, first: ssl.SSLContext, second: Callable[[], None], version: str) -> tuple[bool, bool]:
    """Whether there was a ticket or a session to take up after a connection, and whether it then was. Blocks."""

    def connect(session: ssl.SSLSession | None) -> tuple[ssl.SSLSession | None, bool]:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=5) as raw,
            first.wrap_socket(raw, server_hostname=NAME, session=session) as secure,
        ):
            secure.sendall(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
            assert secure.recv(100).startswith(b"HTTP/1.1 200 ")
            assert secure.version() == version
            return secure.session, bool(secure.session_reused)

    session, _ = connect(None)
    second()
    _, reused = connect(session)
    return session is not None and bool(session.has_ticket), reused


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
async def test_who_shows_a_certificate_gets_no_ticket(files: Files, version: str) -> None:
    client = files.client(protocols=(version,))
    async with serving(files.keys()) as world:
        ticket, _ = await trio.to_thread.run_sync(sessions, world.port, client, lambda: None, version)

    assert not ticket


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
@pytest.mark.parametrize("asks", [True, False], ids=["with certificates", "without"])
async def test_a_session_of_other_files_is_not_taken_up(files: Files, version: str, asks: bool) -> None:
    client = files.client("client" if asks else None, protocols=(version,))
    async with serving(files.keys() if asks else files.plain_keys()) as world:
        contexts = world.running.agent.contexts
        (params,) = contexts.made()

        def other_files() -> None:
            files.fleet.write(files.folder / "server", "web-1", now(), dns=(NAME,))
            contexts.reload(params)

        _, reused = await trio.to_thread.run_sync(sessions, world.port, client, other_files, version)

    assert not reused


async def test_who_takes_up_a_session_is_looked_at_again(files: Files) -> None:
    """TLS 1.2 verifies nobody then (RFC 5077, 3.3); the certificate of this one ends in between."""
    begun = now()
    files.fleet.write(files.folder / "client", "db-7", begun - timedelta(hours=1), timedelta(hours=1, seconds=2))
    client = files.client(protocols=("TLSv1.2",))

    def connect(port: int, session: ssl.SSLSession | None) -> tuple[ssl.SSLSession | None, bool, bytes]:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=5) as raw,
            client.wrap_socket(raw, server_hostname=NAME, session=session) as secure,
        ):
            begun, reused, answer = secure.session, bool(secure.session_reused), b""
            with suppress(OSError):
                secure.sendall(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
                answer = secure.recv(1000)
                secure.unwrap()  # who only hangs up has its session forgotten
            return begun, reused, answer

    async with serving(files.keys()) as world:
        session, _, first = await trio.to_thread.run_sync(connect, world.port, None)
        _, again, _ = await trio.to_thread.run_sync(connect, world.port, session)
        await trio.sleep((begun + timedelta(seconds=3) - now()).total_seconds())
        _, reused, second = await trio.to_thread.run_sync(connect, world.port, session)
        failures = await failed(world)

    assert again
    assert first.startswith(b"HTTP/1.1 200 ")
    assert (reused, second, failures) == (True, b"", {"certificate_expired": 1.0})


async def test_nobody_is_allowed_to_send_before_the_handshake_is_over(files: Files) -> None:
    """A ticket says whether a client may (0-RTT, RFC 8446, 4.2.10)."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl: apt-get install openssl")
    async with serving(files.plain_keys()) as world:
        connect = f"openssl s_client -connect 127.0.0.1:{world.port} -CAfile {files.folder}/server/bundle.pem -ign_eof"
        asked = b"GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n"
        with trio.fail_after(10):
            done = await trio.run_process(connect.split(), stdin=asked, capture_stdout=True, capture_stderr=True)

    assert b"200 OK" in done.stdout
    assert b"Max Early Data: 0\n" in done.stdout


# Other listeners.


async def test_a_proxy_header_comes_before_tls(files: Files) -> None:
    async with serving(files.keys(), server=", proxyProtocol: true", router="  label: edge\n") as world:
        with trio.fail_after(10):
            stream = await trio.open_tcp_stream("127.0.0.1", world.running.listening[0].port)
            await stream.send_all(b"PROXY TCP4 203.0.113.7 127.0.0.1 5000 443\r\n")
            secure = trio.SSLStream(stream, files.client(), server_hostname=NAME, https_compatible=True)
            async with secure:
                await secure.send_all(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
                assert b" 200 " in await secure.receive_some()
        (record,) = json.loads((await world.running.admin("/requests.json")).body)

    assert (record["caller"], record["identity"]) == ("203.0.113.7:5000", DB7)


async def test_a_proxy_header_and_the_hello_may_come_in_one_piece(files: Files) -> None:
    async with serving(files.plain_keys(), server=", proxyProtocol: true") as world:
        data = b"PROXY TCP4 203.0.113.7 127.0.0.1 5000 443\r\n" + records(hello(), 16384)
        assert (await say(world, data))[:1] == b"\x16"


async def test_on_a_unix_socket(files: Files) -> None:
    path = files.folder / "http.sock"
    tls = files.keys().replace("{", "", 1)
    async with serving(f"{{{tls}", server=f"}}, {{path: {path}, tls: {files.keys()}") as world:
        with trio.fail_after(10):
            stream = await trio.open_unix_socket(str(path))
            async with trio.SSLStream(stream, files.client(), server_hostname=NAME, https_compatible=True) as secure:
                await secure.send_all(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
                assert b" 200 " in await secure.receive_some()

    assert values(world.backend.seen[0], "l5d-client-id") == [DB7]


async def test_a_tcp_router_passes_on_what_was_encrypted(files: Files) -> None:
    async with serving(files.keys(), server=", name: web", protocol="tcp") as world:
        assert (await world.ask(files.client())).startswith(b"HTTP/1.1 200 ")
        assert await world.ask(files.client(None)) == b""
        records = json.loads((await world.running.admin("/requests.json")).body)

    assert [each["identity"] for each in records] == [DB7]
    assert not values(world.backend.seen[0], "l5d-client-id"), "nothing is said within a stream of bytes"


async def test_by_name_everybody_gets_the_right_certificate(files: Files) -> None:
    for name, dns in (("shop", ("shop.example", "*.shop.example")), ("blog", ("blog.example",))):
        (files.folder / name).mkdir()
        files.fleet.write(files.folder / name, name, now(), dns=dns)
    others = ", ".join(
        f"{{certPath: {files.folder}/{name}/cert.pem, keyPath: {files.folder}/{name}/key.pem}}"
        for name in ("shop", "blog")
    )
    async with serving(files.keys(f"certificates: [{others}], requireClientAuth: true")) as world:
        for name in (NAME, "shop.example", "eu.shop.example", "blog.example"):
            assert (await world.ask(files.client(), name=name)).startswith(b"HTTP/1.1 200 ")  # the caller verifies
        assert await world.ask(files.client(), name="other.example") == b""
        assert await failed(world) == {"unknown_name": 1.0}
        page = (await world.running.admin("/metrics")).body.decode()

    assert page.count("nodeagent_tls_certificate_expiry_seconds{") == 3


async def test_who_asks_for_one_name_by_sni_and_for_another_by_host_is_misdirected(files: Files) -> None:
    """RFC 9110, 15.5.20. Names that no certificate is for are those of the mesh, and may be any."""
    (files.folder / "shop").mkdir()
    files.fleet.write(files.folder / "shop", "shop", now(), dns=("shop.example", "*.shop.example"))
    shop = f"certificates: [{{certPath: {files.folder}/shop/cert.pem, keyPath: {files.folder}/shop/key.pem}}]"
    every = "  identifier: {kind: io.l5d.static, path: /web}\n"
    policy = "  policy: {default: deny, rules: [{who: {identities: ['spiffe://mesh.example/**']}, action: allow}]}\n"
    async with serving(files.keys(f"{shop}, requireClientAuth: true"), router=every + policy) as world:
        for sni, host, status in (
            ("shop.example", "shop.example", 200),
            ("shop.example", "EU.Shop.example:443", 200),
            ("eu.shop.example", "shop.example", 200),
            ("shop.example", NAME, 421),
            (NAME, "shop.example", 421),
            (NAME, "a.shop.example:8443", 421),
            (NAME, "users", 200),
        ):
            async with await world.call(files.client(), sni) as stream:
                await stream.send_all(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
                assert (await stream.receive_some()).startswith(f"HTTP/1.1 {status} ".encode()), (sni, host)
                if status == 421:
                    assert await stream.receive_some() == b"", "the connection is of no use"
        newest = json.loads((await world.running.admin("/requests.json?limit=2")).body)[1]

    assert len(world.backend.seen) == 4
    assert (newest["status"], newest["blame"], newest["identity"]) == (421, "caller", DB7)
    assert "shop.example:8443 has a certificate of its own here" in newest["message"]


# Files.


async def test_the_agent_does_not_start_with_files_that_do_not_fit(files: Files) -> None:
    (files.folder / "server" / "key.pem").write_bytes(key_pem(make_key()))
    with pytest.raises(BaseExceptionGroup) as group:
        async with serving(files.keys()):
            pass
    assert group.group_contains(ListenError, match=r"router http on .* cannot speak TLS: .*key.pem: not the key of")


async def test_rotation_under_load_loses_nothing(files: Files) -> None:
    server = files.folder / "server"
    seen: set[bytes] = set()
    async with serving(files.keys()) as world:
        done = trio.Event()
        answers: list[bytes] = []

        async def load() -> None:
            while not done.is_set():
                answers.append(await world.ask(files.client()))

        async def kept() -> None:
            async with await world.call(files.client()) as stream:
                while not done.is_set():
                    await stream.send_all(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
                    answers.append(bytes(await stream.receive_some()))
                    await trio.sleep(0.01)

        async with trio.open_nursery() as nursery:
            for task in (load, load, kept):
                nursery.start_soon(task)
            for number in range(4):
                key = make_key()
                leaf = files.fleet.issue(f"web-{number}", key, now(), dns=(NAME,))
                (server / "key.pem").write_bytes(key_pem(key)[:40])
                await trio.sleep(0.2)
                (server / "key.pem").write_bytes(key_pem(key))
                await trio.sleep(0.2)
                (server / "cert.pem").write_bytes(pem(leaf, files.fleet.intermediate.certificate))
                with trio.fail_after(5):
                    while True:
                        stream = await world.call(files.client())
                        shown = stream.getpeercert(binary_form=True)
                        await stream.transport_stream.aclose()
                        if shown == leaf.public_bytes(Encoding.DER):
                            break
                        await trio.sleep(0.05)
                seen.add(shown)
            done.set()
        failures = await world.failures()

    assert len(seen) == 4
    assert len(answers) > 20
    assert all(each.startswith(b"HTTP/1.1 200 ") for each in answers)
    assert failures.keys() <= {"closed"}


async def test_a_certificate_that_has_expired_makes_the_agent_unready(files: Files) -> None:
    files.fleet.write(
        files.folder / "server", "web-1", now() - timedelta(hours=1), timedelta(hours=1, seconds=4), (NAME,)
    )
    async with serving(files.keys()) as world:
        await world.running.agent.primed.wait()
        assert (await world.running.admin("/ready")).status == 200
        with trio.fail_after(20):
            while (answer := await world.running.admin("/ready")).status == 200:
                await trio.sleep(0.1)

    assert answer.status == 503
    assert b"cert.pem has expired on " in answer.body
