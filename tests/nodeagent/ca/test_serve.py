"""Hosts join an authority and stay members, over real sockets."""

from __future__ import annotations

import os
import stat
import subprocess
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
import trio
from cryptography import x509
from structlog.testing import capture_logs

from nodeagent.ca.client import CaAwayError, CaRefusedError, join, refresh_trust, renew
from nodeagent.ca.disk import CaError
from nodeagent.ca.membership import Membership, pem
from nodeagent.ca.messages import Given
from nodeagent.ca.server import CaLimits
from nodeagent.ca.store import read_private
from nodeagent.ca.tokens import Token, fingerprint
from tests.nodeagent.ca.world import authority, now
from tests.tls.authorities import DOMAIN, Fleet
from tests.tls.handshakes import shake_hands
from tests.tls.test_authority import needs_openssl
from tls.authority import Authority, issue, make_intermediate, make_key
from tls.contexts import make_side
from tls.identity import SpiffeId, dns_names, peer_identity
from tls.params import OwnCertificate, ServerParams
from tls.request import MAX_REQUEST, Granted, authority_name, make_request
from tls.revocation import Revocations, read_lists

WEB = SpiffeId.host(DOMAIN, "web-1")


def speak(client: Membership, server: Membership) -> tuple[SpiffeId, SpiffeId]:
    """A handshake between two members; returns whom each has seen."""
    own = OwnCertificate(str(server.certificate), str(server.key))
    listening = make_side(ServerParams(own, "required", (str(server.bundle),)), now()).context
    calling = make_side(client.client, now()).context
    calling.check_hostname = False
    seen = [x509.load_der_x509_certificate(each) for each in shake_hands(calling, listening) if each]
    one, other = (peer_identity(each) for each in seen)
    return one, other


# Joining.


async def test_two_hosts_join_and_know_each_other(tmp_path: Path) -> None:
    async with authority(tmp_path) as ca:
        web, db = await ca.joined("web-1"), await ca.joined("db")

    assert speak(web, db) == (SpiffeId.host(DOMAIN, "db"), WEB)
    assert speak(db, web) == (WEB, SpiffeId.host(DOMAIN, "db"))


@needs_openssl
async def test_what_a_host_gets(tmp_path: Path) -> None:
    async with authority(tmp_path) as ca:
        web = await ca.joined(dns=("web-1.example",))

    leaf = web.leaf()
    assert (peer_identity(leaf), dns_names(leaf)) == (WEB, ("web-1.example",))
    assert timedelta(hours=23) < leaf.not_valid_after_utc - now() <= timedelta(hours=24)
    assert stat.S_IMODE(web.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(web.key.stat().st_mode) == 0o600
    files = ["-CAfile", str(web.bundle), "-CRLfile", str(web.crl)]
    files += ["-untrusted", str(web.certificate), str(web.certificate)]
    subprocess.run(["openssl", "verify", "-crl_check", *files], check=True, capture_output=True, timeout=20)


async def test_a_token_is_used_once_whoever_comes_at_the_same_time_and_after_a_restart(tmp_path: Path) -> None:
    async with authority(tmp_path) as ca:
        token, said, joined = ca.token(), [], []

        async def come(number: int) -> None:
            try:
                joined.append(await join(ca.address, token, tmp_path / f"host-{number}"))
            except CaRefusedError as error:
                said.append(str(error))

        async with trio.open_nursery() as nursery:
            for number in range(6):
                nursery.start_soon(come, number)
        assert len(joined) == 1
        assert len(said) == 5
        assert all("403 the join token was used already" in each for each in said)

    async with authority(tmp_path) as again:
        with pytest.raises(CaRefusedError, match="403 the join token was used already"):
            await join(again.address, token, tmp_path / "another")


async def test_a_token_that_has_expired(tmp_path: Path) -> None:
    async with authority(tmp_path) as ca:
        token = ca.token(ttl=timedelta(seconds=-1))
        with pytest.raises(CaRefusedError, match=r"403 the join token has expired on .*; get another one"):
            await join(ca.address, token, tmp_path / "web")
    assert not (tmp_path / "web").exists()


async def test_who_has_joined_is_not_overwritten_and_the_token_is_kept(tmp_path: Path) -> None:
    async with authority(tmp_path) as ca:
        web = await ca.joined()
        with pytest.raises(CaError, match=r"cert.pem: is there already, and is not overwritten"):
            await join(ca.address, ca.token(), web.folder)
        assert ca.files("token") == 1


async def test_an_authority_with_another_root_is_shown_no_token(tmp_path: Path) -> None:
    async with authority(tmp_path) as ca:
        secret = ca.token().secret
        stranger = Token(secret, fingerprint(Fleet.made().root.certificate))
        with pytest.raises(CaError, match="is not the authority that the join token is from"):
            await join(ca.address, stranger, tmp_path / "web")
        assert (ca.files("token"), ca.files("used")) == (1, 0)


async def test_a_member_cannot_pass_for_the_authority(tmp_path: Path) -> None:
    """It has the true root, and a certificate under it; but not for the authority's name."""
    async with authority(tmp_path) as ca:
        thief = await ca.joined("thief", dns=("thief.example",))
        token, seen = ca.token(), bytearray()

    own = OwnCertificate(str(thief.certificate), str(thief.key))
    context = make_side(ServerParams(own), now()).context
    trust = b'{"bundle":%b,"crl":""}' % repr(thief.bundle.read_text()).replace("'", '"').encode()
    answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(trust), trust)

    async def pretend(stream: trio.SocketStream) -> None:
        secured = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
        with suppress(trio.BrokenResourceError):
            seen.extend(await secured.receive_some(10_000))
            await secured.send_all(answer)
            await secured.aclose()

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listener.socket.getsockname()[1]
        nursery.start_soon(trio.serve_listeners, pretend, [listener])
        with pytest.raises(CaError, match="not the authority of this host"):
            await join(f"127.0.0.1:{port}", token, tmp_path / "web")
        nursery.cancel_scope.cancel()
    assert b"GET /v1/trust" in seen
    assert token.secret.encode() not in seen


async def test_nobody_answers(tmp_path: Path) -> None:
    async with authority(tmp_path) as ca:
        token = ca.token()
    with pytest.raises(CaError, match="connection refused; does `nodeagent ca serve` run there"):
        await join(ca.address, token, tmp_path / "web")


# What is asked for is checked, and what is wrong costs no token.


def posted(path: str, body: bytes, *headers: str) -> bytes:
    """A request in bytes."""
    head = [f"POST {path} HTTP/1.1", "host: ca", f"content-length: {len(body)}", *headers]
    return "\r\n".join([*head, "", ""]).encode() + body


async def test_a_request_that_is_not_granted_costs_no_token(tmp_path: Path) -> None:
    good, foreign = make_request(make_key()), make_request(make_key(), SpiffeId.host(DOMAIN, "db"))
    bent = good.replace(b"A", b"B", 1)
    async with authority(tmp_path) as ca:
        bearer = f"authorization: Bearer {ca.token().secret}"
        for body, reason in (
            (bent, b"400"),
            (foreign, b"is for spiffe://mesh.example/host/db"),
            (b"", b"no certificate"),
        ):
            assert reason in await ca.said(posted("/v1/join", body, bearer))
        assert ca.files("used") == 0
        assert b"HTTP/1.1 200" in await ca.said(posted("/v1/join", good, bearer))


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (b"GET / HTTP/1.1\r\nhost: ca\r\n\r\n", b"HTTP/1.1 404"),
        (b"GET /v1/join HTTP/1.1\r\nhost: ca\r\n\r\n", b"HTTP/1.1 405"),
        (posted("/v1/join", b"x"), b"HTTP/1.1 401"),
        (posted("/v1/join", b"x", "authorization: Basic eA=="), b"HTTP/1.1 401"),
        (posted("/v1/join", b"x", "authorization: Bearer x"), b"HTTP/1.1 403"),
        (posted("/v1/renew", b"x"), b"HTTP/1.1 401"),
        (posted("/v1/join", b"x" * (MAX_REQUEST + 1)), b"HTTP/1.1 413"),
        (b"GET / HTTP/1.1\r\nhost: ca\r\nx: " + b"y" * 10_000, b"HTTP/1.1 431"),
        (b"hello\r\n\r\n", b"HTTP/1.1 400"),
        (b"GET /v1/trust HTTP/1.1\r\nhost: ca\r\n\r\n", b"HTTP/1.1 200"),
    ],
)
async def test_what_is_said_to_whom(request_: bytes, said: bytes, tmp_path: Path) -> None:
    async with authority(tmp_path) as ca:
        assert (await ca.said(request_)).startswith(said)


# Renewing.


async def test_a_member_renews_with_a_new_key(tmp_path: Path) -> None:
    async with authority(tmp_path) as ca:
        web = await ca.joined(dns=("web-1.example",))
        before, key = web.leaf(), web.key.read_bytes()
        for _ in range(3):
            await renew(web)

    after = web.leaf()
    assert after.serial_number != before.serial_number
    assert web.key.read_bytes() != key
    assert (peer_identity(after), dns_names(after)) == (WEB, ("web-1.example",))
    assert stat.S_IMODE(web.key.stat().st_mode) == 0o600
    assert sorted(each.name for each in web.folder.glob("pair-*")) == ["pair-3", "pair-4"]


async def test_who_is_revoked_renews_no_more_and_others_learn_it(tmp_path: Path) -> None:
    async with authority(tmp_path) as ca:
        web, db = await ca.joined("web-1"), await ca.joined("db")
        ca.store.revoke([web.leaf().serial_number], now())
        with pytest.raises(CaRefusedError, match=r"403 the certificate of spiffe://mesh.example/host/web-1 is revoked"):
            await renew(web)
        await refresh_trust(db)

    assert Revocations.of(read_lists(db.crl.read_bytes())).revokes(web.leaf())


async def test_a_certificate_that_has_expired_is_not_renewed(tmp_path: Path) -> None:
    async with authority(tmp_path) as ca:
        store, key = ca.store, make_key()
        leaf = store.issue(Granted(WEB, key.public_key(), ()), now() - timedelta(days=2), how="hand")
        given = Given(store.bundle(now()).decode(), "", store.chain(leaf).decode())
        web = Membership.create(tmp_path / "web", key, given, address=ca.address, domain=DOMAIN)
        with pytest.raises(
            CaError, match=r"cert.pem: the certificate has expired on .*; get a join token and join anew"
        ):
            await renew(web)


async def test_a_request_for_somebody_else_is_not_signed_for_a_member(tmp_path: Path) -> None:
    async with authority(tmp_path) as ca:
        web = await ca.joined()
        context = make_side(web.client, now()).context
        body = make_request(make_key(), SpiffeId.authority(DOMAIN), (authority_name(DOMAIN),))
        assert b"400" in await ca.said(posted("/v1/renew", body), context)


async def test_members_of_another_authority_are_strangers(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    async with authority(tmp_path) as ca, authority(tmp_path / "other") as other:
        web = await ca.joined()
        text = (web.folder / "authority.json").read_text().replace(ca.address, other.address)
        (web.folder / "authority.json").write_text(text)
        with pytest.raises(CaError, match="not the authority of this host"):
            await renew(web)


# New roots while it serves.


async def test_members_and_newcomers_go_through_a_change_of_roots(tmp_path: Path) -> None:
    async with authority(tmp_path) as ca:
        before, token = await ca.joined("before"), ca.token("late")
        ca.store.rotate_root(now())
        renewed, after = await ca.joined("renewed"), await ca.joined("after")
        late = await join(ca.address, token, tmp_path / "late")
        for one in (before, renewed, after, late):
            for other in (before, renewed, after, late):
                speak(one, other)
        for member in (before, renewed, after, late):
            await renew(member)
            assert member.bundle.read_bytes().count(b"BEGIN") == 2
        speak(before, after)


async def test_a_root_that_is_distrusted_makes_all_join_anew(tmp_path: Path) -> None:
    async with authority(tmp_path) as ca:
        web = await ca.joined()
        ca.store.rotate_root(now(), distrust=True)
        with pytest.raises(CaError, match="not the authority of this host"):
            await renew(web)
        again = await join(ca.address, ca.token(), tmp_path / "again")
        assert again.bundle.read_bytes().count(b"BEGIN") == 1


# Troubles, and those who make them.


async def test_trouble_of_its_own_is_in_its_log_and_not_in_the_answer(tmp_path: Path) -> None:
    async with authority(tmp_path) as ca:
        token = ca.token()
        (ca.folder / "intermediate-1" / "key.pem").chmod(0o644)
        with (
            capture_logs() as logs,
            pytest.raises(CaAwayError, match="503 the authority cannot do this now; its log"),
        ):
            await join(ca.address, token, tmp_path / "web")
        (ca.folder / "intermediate-1" / "key.pem").chmod(0o600)
        await join(ca.address, token, tmp_path / "web")
    assert any("chmod 600" in str(each.get("error")) for each in logs)


async def test_a_certificate_that_somebody_signed_with_a_stolen_key_is_not_renewed(tmp_path: Path) -> None:
    """By an intermediate under the true root that the authority does not know."""
    async with authority(tmp_path) as ca:
        root = ca.store.roots[-1]
        stolen = read_private(root.folder / "key.pem", None)
        by, key = make_intermediate(Authority(root.certificate, stolen), DOMAIN, now()), make_key()
        leaf = issue(by, WEB, key.public_key(), now())
        chain = pem(leaf) + pem(by.certificate)
        given = Given(ca.store.bundle(now()).decode(), "", chain)
        web = Membership.create(tmp_path / "web", key, given, address=ca.address, domain=DOMAIN)
        with pytest.raises(CaRefusedError, match="403 the certificate was not issued here"):
            await renew(web)


async def test_a_fault_in_it_ends_one_request_and_not_the_server(tmp_path: Path) -> None:
    async with authority(tmp_path) as ca:
        token = ca.token()
        (kept,) = (ca.folder / "tokens").iterdir()
        whole = kept.read_bytes()
        kept.write_bytes(whole.replace(b"spiffe://", b"elsewhere:"))
        with (
            capture_logs() as logs,
            pytest.raises(CaAwayError, match="500 a fault in the authority; its log has it"),
        ):
            await join(ca.address, token, tmp_path / "web")
        kept.write_bytes(whole)
        await join(ca.address, token, tmp_path / "web")
    assert any(each["log_level"] == "error" and each.get("exc_info") for each in logs)


async def test_one_address_cannot_take_all_connections(tmp_path: Path) -> None:
    async with authority(tmp_path, limits=CaLimits(per_address=2, handshake=1.0)) as ca:
        *silent, refused = [await trio.open_tcp_stream(*ca.where) for _ in range(3)]
        async with refused:
            assert await refused.receive_some(1) == b""
        for each in silent:  # they do not shake hands, and are closed in time
            async with each:
                assert await each.receive_some(1) == b""
        await ca.joined()


async def test_who_shakes_hands_and_says_nothing_is_closed(tmp_path: Path) -> None:
    async with authority(tmp_path, limits=CaLimits(exchange=0.3)) as ca:
        stream = trio.SSLStream(
            await trio.open_tcp_stream(*ca.where), ca.context(), server_hostname=authority_name(DOMAIN)
        )
        await stream.do_handshake()
        with suppress(trio.BrokenResourceError):
            assert await stream.receive_some(1) == b""
        await trio.aclose_forcefully(stream)


async def test_who_asks_too_often_waits(tmp_path: Path) -> None:
    async with authority(tmp_path, limits=CaLimits(burst=3, per_second=0.01)) as ca:
        said = [(await ca.said(b"GET / HTTP/1.1\r\nhost: ca\r\n\r\n"))[9:12] for _ in range(5)]
    assert said == [b"404", b"404", b"404", b"429", b"429"]


async def test_rubbish_in_the_place_of_a_handshake(tmp_path: Path) -> None:
    async with authority(tmp_path) as ca:
        for rubbish in (b"GET / HTTP/1.1\r\n\r\n", os.urandom(1000), b"\x16\x03\x01"):
            stream = await trio.open_tcp_stream(*ca.where)
            with suppress(trio.BrokenResourceError):
                await stream.send_all(rubbish)
                await stream.send_eof()
                await stream.receive_some(1000)
            await stream.aclose()
        await ca.joined()
