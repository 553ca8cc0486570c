"""A certificate and its key, and what may be wrong with their files."""

from __future__ import annotations

import base64
import tempfile
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from tests.tls.authorities import DOMAIN, NOW, Fleet, key_pem, pem
from tests.tls.test_identity import certificate
from tls.authority import Key, issue, make_key
from tls.contexts import make_side
from tls.files import TlsConfigError
from tls.identity import SpiffeId, peer_identity
from tls.pair import read_pair
from tls.params import OwnCertificate, ServerParams

DAY = timedelta(days=1)


@pytest.fixture
def own(tmp_path: Path) -> OwnCertificate:
    """The files of a host, which are good."""
    Fleet.made().write(tmp_path)
    return OwnCertificate(str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"))


def fault(own: OwnCertificate, now: datetime = NOW) -> str:
    """What is said of these files."""
    with pytest.raises(TlsConfigError) as caught:
        read_pair(own, "server", now)
    return str(caught.value)


def encrypted(key: Key, passphrase: bytes) -> bytes:
    """A key as it stands in a file, with a passphrase."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase))


def test_files_that_are_good(own: OwnCertificate) -> None:
    pair = read_pair(own, "server", NOW)

    assert pair.leaf.not_valid_after_utc == NOW + DAY
    assert pair.chain.count(b"BEGIN CERTIFICATE") == 2


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (NOW + DAY + timedelta(seconds=1), "has expired on 2026-03-02 12:00:00 UTC"),
        (NOW - timedelta(minutes=6), "is valid only from 2026-03-01 11:55:00 UTC on; is the clock right?"),
    ],
)
def test_the_wrong_time(own: OwnCertificate, now: datetime, said: str) -> None:
    assert fault(own, now) == f"{own.certificate}: the certificate {said}"


def test_the_wrong_usage(tmp_path: Path) -> None:
    from cryptography.x509.oid import ExtendedKeyUsageOID

    made = certificate("spiffe://mesh.example/host/a", purposes=(ExtendedKeyUsageOID.CLIENT_AUTH,))
    (tmp_path / "cert.pem").write_bytes(pem(made))
    own = OwnCertificate(str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"))

    assert (
        fault(own)
        == f"{own.certificate}: the certificate is not for a server (its extended key usage lacks serverAuth)"
    )


def test_a_key_of_another_certificate(own: OwnCertificate) -> None:
    Path(own.key).write_bytes(key_pem(make_key()))

    assert fault(own) == f"{own.key}: not the key of the certificate in {own.certificate}"


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.97])
@pytest.mark.parametrize("which", ["certificate", "key"])
def test_a_file_that_is_half_written(own: OwnCertificate, which: str, share: float) -> None:
    file = Path(getattr(own, which))
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * share)])

    assert fault(own).startswith(f"{file}: not ")


def test_a_passphrase(tmp_path: Path) -> None:
    fleet, key = Fleet.made(), make_key()
    (tmp_path / "cert.pem").write_bytes(pem(issue(fleet.root, SpiffeId.host(DOMAIN, "a"), key.public_key(), NOW)))
    (tmp_path / "key.pem").write_bytes(encrypted(key, b"open sesame"))
    secret = tmp_path / "passphrase"
    without = OwnCertificate(str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"))
    own = OwnCertificate(without.certificate, without.key, passphrase=str(secret))

    assert fault(without) == f"{own.key}: the key is encrypted, and no passphrase is given"
    assert fault(own) == f"{secret}: cannot be read: No such file or directory"
    for wrong in ("", "two\nlines", "a" * 1024):
        secret.write_text(wrong)
        assert fault(own) == f"{secret}: expected a passphrase in one line, of at most 1023 bytes"
    secret.write_text("open barley\n")
    assert fault(own) == f"{own.key}: the passphrase in {secret} is not that of the key"
    secret.write_text("open sesame\n")
    assert read_pair(own, "server", NOW).passphrase == b"open sesame"
    Path(own.key).write_bytes(key_pem(key))
    assert read_pair(own, "server", NOW).key == key_pem(key)


LEAF = Fleet.made().issue("web-1", KEY := make_key(), NOW, dns=("web-1.example",))
DER = LEAF.public_bytes(Encoding.DER)


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@given(st.integers(0, len(DER) * 8 - 1), st.booleans())
def test_whatever_bit_of_a_certificate_is_changed_nothing_but_the_one_error_comes_of_it(bit: int, cut: bool) -> None:
    """An agent follows files that anybody may have broken, and must outlive that."""
    bent = bytearray(DER)
    bent[bit // 8] ^= 1 << bit % 8
    if cut:
        bent = bent[: bit // 8]
    with tempfile.TemporaryDirectory() as folder:
        own = OwnCertificate(f"{folder}/cert.pem", f"{folder}/key.pem")
        Path(own.key).write_bytes(key_pem(KEY))
        content = b"-----BEGIN CERTIFICATE-----\n%b-----END CERTIFICATE-----\n" % base64.encodebytes(bent)
        Path(own.certificate).write_bytes(content)
        with suppress(TlsConfigError):
            make_side(ServerParams(own), NOW)
    with suppress(ValueError, x509.InvalidVersion):
        peer_identity(x509.load_der_x509_certificate(bytes(bent)))
