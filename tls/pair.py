"""A certificate and its key, read from their files and checked. An edge: blocks on the disk.

What counts is one reading of both: the key must be that of the certificate just read, so a pair that is being replaced
is an error, and never half of each.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, TypeAlias

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from tls.files import TlsConfigError, read_file
from tls.params import OwnCertificate

End: TypeAlias = Literal["client", "server"]

_PURPOSES: Final = {"client": ExtendedKeyUsageOID.CLIENT_AUTH, "server": ExtendedKeyUsageOID.SERVER_AUTH}


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate with its chain, and its key, both as they were read."""

    chain: bytes
    key: bytes
    passphrase: bytes | None
    leaf: x509.Certificate


def read_pair(own: OwnCertificate, end: End, now: datetime) -> Pair:
    """Read what one proves oneself with at one end of a connection. Raises TlsConfigError."""
    chain = read_file(own.certificate)
    leaf = read_certificates(own.certificate, chain)[0]
    _check_leaf(own.certificate, leaf, end, now)
    if own.intermediates is not None:
        rest = read_file(own.intermediates)
        read_certificates(own.intermediates, rest)
        chain += b"\n" + rest
    key = read_file(own.key)
    passphrase = None if own.passphrase is None else read_passphrase(own.passphrase)
    if _public(read_key(own.key, key, passphrase, own.passphrase)) != _public(leaf):
        raise TlsConfigError(f"{own.key}: not the key of the certificate in {own.certificate}")
    return Pair(chain, key, passphrase, leaf)


def read_certificates(file: str, pem: bytes) -> list[x509.Certificate]:
    """The certificates in what was read from a file, at least one. Raises TlsConfigError."""
    try:
        found = x509.load_pem_x509_certificates(pem)
        for each in found:
            each.public_key()  # what is read later is read here, where it is known of which file it is
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise TlsConfigError(f"{file}: not certificates in PEM form ({_brief(error)})") from None
    if pem.count(b"-----BEGIN CERTIFICATE-----") != pem.count(b"-----END CERTIFICATE-----"):
        raise TlsConfigError(f"{file}: not certificates in PEM form (the last one is not whole)")
    return found


def read_key(file: str, pem: bytes, passphrase: bytes | None, passphrase_file: str | None = None) -> PrivateKeyTypes:
    """The key in what was read from a file. A passphrase that it does not need is not minded. Raises TlsConfigError."""
    try:
        return load_pem_private_key(pem, passphrase)
    except TypeError:
        if passphrase is None:
            raise TlsConfigError(f"{file}: the key is encrypted, and no passphrase is given") from None
        return read_key(file, pem, None)
    except (ValueError, UnsupportedAlgorithm) as error:
        if passphrase is not None and b"ENCRYPTED" in pem:
            raise TlsConfigError(f"{file}: the passphrase in {passphrase_file} is not that of the key") from None
        raise TlsConfigError(f"{file}: not a private key in PEM form ({_brief(error)})") from None


def read_passphrase(file: str) -> bytes:
    """The passphrase in a file, without the end of its line. Raises TlsConfigError."""
    passphrase = read_file(file).rstrip(b"\r\n")
    if not passphrase or b"\n" in passphrase or len(passphrase) > 1023:
        raise TlsConfigError(f"{file}: expected a passphrase in one line, of at most 1023 bytes")
    return passphrase


def _check_leaf(file: str, leaf: x509.Certificate, end: End, now: datetime) -> None:
    if leaf.not_valid_after_utc < now:
        raise TlsConfigError(f"{file}: the certificate has expired on {leaf.not_valid_after_utc:%Y-%m-%d %H:%M:%S} UTC")
    if leaf.not_valid_before_utc > now:
        begin = f"{leaf.not_valid_before_utc:%Y-%m-%d %H:%M:%S} UTC"
        raise TlsConfigError(f"{file}: the certificate is valid only from {begin} on; is the clock right?")
    try:
        purposes = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise TlsConfigError(f"{file}: the certificate has extensions that cannot be read ({_brief(error)})") from None
    if _PURPOSES[end] not in purposes and ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE not in purposes:
        raise TlsConfigError(f"{file}: the certificate is not for a {end} (its extended key usage lacks {end}Auth)")


def _public(of: PrivateKeyTypes | x509.Certificate) -> bytes:
    return of.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:120].rstrip(".") or type(error).__name__
