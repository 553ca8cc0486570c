"""What an authority signs, checked by OpenSSL: its command line, and real handshakes."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from tests.tls.authorities import DOMAIN, NOW, Fleet, key_pem, pem
from tests.tls.handshakes import shake_hands
from tls.authority import (
    BACKDATED,
    Authority,
    AuthorityError,
    Revoked,
    cross_sign,
    issue,
    make_intermediate,
    make_key,
    make_root,
    sign_crl,
)
from tls.identity import SpiffeId

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl: apt-get install openssl")


def test_a_leaf_is_short_lived_backdated_and_for_both_sides() -> None:
    key = make_key()
    fleet = Fleet.made()
    leaf = fleet.issue("web-1", key, NOW, dns=("web-1.example",))

    assert (leaf.not_valid_before_utc, leaf.not_valid_after_utc) == (NOW - BACKDATED, NOW + timedelta(hours=24))
    assert leaf.public_key() == key.public_key()
    assert leaf.subject.rfc4514_string() == "CN=web-1,O=mesh.example"
    assert leaf.serial_number.bit_length() > 64
    shown = {type(each.value).__name__: each.critical for each in leaf.extensions}
    assert shown == {
        "SubjectKeyIdentifier": False,
        "BasicConstraints": True,
        "KeyUsage": True,
        "ExtendedKeyUsage": False,
        "SubjectAlternativeName": False,
        "AuthorityKeyIdentifier": False,
    }
    own = fleet.intermediate.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier == own.digest


def test_serial_numbers_do_not_repeat() -> None:
    fleet, key = Fleet.made(), make_key()

    assert len({fleet.issue("a", key).serial_number for _ in range(50)}) == 50


def test_nothing_outlives_its_issuer() -> None:
    fleet = Fleet.made()
    end = fleet.intermediate.certificate.not_valid_after_utc

    late = fleet.issue("web-1", make_key(), end - timedelta(hours=1))
    assert late.not_valid_after_utc == end
    with pytest.raises(AuthorityError, match=r"has expired on 2028-02-29 12:00 UTC"):
        fleet.issue("web-1", make_key(), end)
    with pytest.raises(AuthorityError, match="has expired"):
        make_intermediate(fleet.root, DOMAIN, NOW + timedelta(days=3651))


def test_a_long_domain_and_name_fit() -> None:
    domain, name = ".".join(["a" * 50] * 5), "b" * 64
    root = make_root(domain, NOW)
    leaf = issue(root, SpiffeId.host(domain, name), make_key().public_key(), NOW)

    assert leaf.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value == name


# Verified by another program.


def verify(
    folder: Path, trusted: list[x509.Certificate], chain: list[x509.Certificate], *options: str, at: datetime = NOW
) -> str:
    """What `openssl verify` says of the first of the chain."""
    (folder / "trusted.pem").write_bytes(pem(*trusted))
    (folder / "leaf.pem").write_bytes(pem(chain[0]))
    (folder / "rest.pem").write_bytes(pem(*chain[1:]))
    command = ["openssl", "verify", "-x509_strict", "-no-CApath", "-no-CAstore", "-attime", str(int(at.timestamp()))]
    files = ["-CAfile", str(folder / "trusted.pem"), "-untrusted", str(folder / "rest.pem"), str(folder / "leaf.pem")]
    done = subprocess.run([*command, *options, *files], capture_output=True, text=True, timeout=20, check=False)
    return "OK" if done.returncode == 0 else done.stderr


@needs_openssl
@pytest.mark.parametrize("purpose", ["sslserver", "sslclient"])
def test_openssl_verifies_a_leaf_for_both_purposes(tmp_path: Path, purpose: str) -> None:
    fleet = Fleet.made()
    chain = [fleet.issue("web-1", make_key()), fleet.intermediate.certificate]

    assert verify(tmp_path, [fleet.root.certificate], chain, "-purpose", purpose) == "OK"


@needs_openssl
@pytest.mark.parametrize(
    ("at", "said"),
    [
        (NOW - timedelta(minutes=4), "OK"),
        (NOW - timedelta(minutes=6), "not yet valid"),
        (NOW + timedelta(hours=23), "OK"),
        (NOW + timedelta(hours=25), "expired"),
    ],
)
def test_openssl_holds_to_the_time(tmp_path: Path, at: datetime, said: str) -> None:
    fleet = Fleet.made()
    chain = [fleet.issue("web-1", make_key()), fleet.intermediate.certificate]

    assert said in verify(tmp_path, [fleet.root.certificate], chain, at=at)


@needs_openssl
def test_an_intermediate_signs_no_other_authority(tmp_path: Path) -> None:
    fleet = Fleet.made()
    forged = make_intermediate(fleet.intermediate, DOMAIN, NOW)
    leaf = issue(forged, SpiffeId.host(DOMAIN, "web-1"), make_key().public_key(), NOW)

    said = verify(tmp_path, [fleet.root.certificate], [leaf, forged.certificate, fleet.intermediate.certificate])
    assert "path length constraint exceeded" in said


@needs_openssl
def test_openssl_reads_the_list_of_revoked_ones(tmp_path: Path) -> None:
    fleet = Fleet.made()
    good, bad = fleet.issue("good", make_key()), fleet.issue("bad", make_key())
    crl = sign_crl(fleet.intermediate, [Revoked(bad.serial_number, NOW)], 7, NOW)
    (tmp_path / "crl.pem").write_bytes(pem(crl))
    options = ("-crl_check", "-CRLfile", str(tmp_path / "crl.pem"))

    trusted, middle = [fleet.root.certificate], fleet.intermediate.certificate
    assert verify(tmp_path, trusted, [good, middle], *options) == "OK"
    assert "certificate revoked" in verify(tmp_path, trusted, [bad, middle], *options)


# A new root takes over: everybody accepts everybody at every step.


def rotation() -> tuple[Fleet, Fleet, x509.Certificate]:
    """The authority before and after, and the new root as the old one vouches for it."""
    old = Fleet.made()
    root = make_root(DOMAIN, NOW)
    return old, Fleet(root, make_intermediate(root, DOMAIN, NOW)), cross_sign(old.root, root.certificate, DOMAIN, NOW)


@needs_openssl
def test_a_cross_signed_root_is_verified_by_those_who_know_only_the_old_one(tmp_path: Path) -> None:
    old, new, cross = rotation()
    leaf, middle = new.issue("web-1", make_key()), new.intermediate.certificate

    assert verify(tmp_path, [old.root.certificate], [leaf, middle, cross]) == "OK"
    assert verify(tmp_path, [old.root.certificate, new.root.certificate], [leaf, middle, cross]) == "OK"
    assert verify(tmp_path, [new.root.certificate], [leaf, middle, cross]) == "OK"
    assert "unable to get" in verify(tmp_path, [old.root.certificate], [leaf, middle])


def contexts(
    trusted: list[x509.Certificate], leaf: x509.Certificate, key: bytes, rest: list[x509.Certificate], folder: Path
) -> dict[bool, ssl.SSLContext]:
    """One peer, as the client and as the server."""
    file = folder / f"{leaf.serial_number}.pem"
    file.write_bytes(key + pem(leaf, *rest))
    made = {}
    for server in (True, False):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=pem(*trusted).decode())
        context.load_cert_chain(file)
        made[server] = context
    return made


def test_peers_of_every_step_of_a_rotation_accept_each_other(tmp_path: Path) -> None:
    now = datetime.now(NOW.tzinfo)
    old_root, new_root = make_root(DOMAIN, now), make_root(DOMAIN, now)
    old, new = (Authority(each.certificate, each.key) for each in (old_root, new_root))
    cross = cross_sign(old, new.certificate, DOMAIN, now)
    middles = {1: make_intermediate(old, DOMAIN, now), 2: make_intermediate(new, DOMAIN, now)}
    rests = {1: [middles[1].certificate], 2: [middles[2].certificate, cross]}

    def peer(by: int, *trusted: Authority) -> dict[bool, ssl.SSLContext]:
        key = make_key()
        leaf = issue(middles[by], SpiffeId.host(DOMAIN, "web"), key.public_key(), now)
        return contexts([each.certificate for each in trusted], leaf, key_pem(key), rests[by], tmp_path)

    before, told, renewed, after = peer(1, old), peer(1, old, new), peer(2, old, new), peer(2, new)
    at_once = [(before, told, renewed), (told, renewed), (renewed, after)]
    for peers in at_once:
        for one in peers:
            for other in peers:
                shake_hands(one[False], other[True])
    with pytest.raises(ssl.SSLCertVerificationError):  # why the old root stays until its last leaf has expired
        shake_hands(after[False], before[True])
