"""A certificate authority: roots, intermediates, the short-lived certificates of agents, lists of revoked ones. Pure.

    root (10 years)  ->  intermediate (2 years)  ->  leaf (24 hours)

Peers trust roots. A new root is also signed by the one before it (`cross_sign`): whoever trusts only the old one
verifies leaf, intermediate and the new root as an intermediate. So a root may sign two levels of authorities, and the
path lengths say no more than that. Constraints on URI names are left out, because many libraries refuse whatever has
them (X509-SVID, 4.2).

All times are aware. Keys and serial numbers are random. Source: RFC 5280; X509-SVID of spiffe.io.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tls.identity import MAX_NAME, SpiffeId

ROOT_LIFETIME: Final = timedelta(days=3650)
INTERMEDIATE_LIFETIME: Final = timedelta(days=730)

LEAF_LIFETIME: Final = timedelta(hours=24)
"""Who is revoked is out in a day even where no list is read, and there is time to repair the authority."""

BACKDATED: Final = timedelta(minutes=5)
"""How far in the past validity begins: the clocks of a fleet differ."""

CRL_LIFETIME: Final = timedelta(days=7)

_HASH: Final = hashes.SHA256()

Key: TypeAlias = ec.EllipticCurvePrivateKey


class AuthorityError(Exception):
    """The authority cannot do what it is asked for; the message says why."""


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate that signs others, with its key."""

    certificate: x509.Certificate
    key: Key


@dataclass(frozen=True, slots=True)
class Revoked:
    """A certificate that is no longer to be believed."""

    serial: int
    at: datetime


def make_key() -> Key:
    """A new key, P-256: what everybody verifies, and quickest in a handshake."""
    return ec.generate_private_key(ec.SECP256R1())


def make_root(domain: str, now: datetime, key: Key | None = None) -> Authority:
    """Make a root for a trust domain. Raises IdentityError."""
    key = key or make_key()
    name = _authority_name(domain, "root", key.public_key())
    builder = _authority(domain, name, key.public_key(), now, now + ROOT_LIFETIME, path_length=2)
    return Authority(builder.issuer_name(name).sign(key, _HASH), key)


def make_intermediate(root: Authority, domain: str, now: datetime, key: Key | None = None) -> Authority:
    """Make the authority that signs leaves. Raises AuthorityError when the root has expired."""
    key = key or make_key()
    until = _until(root, now, INTERMEDIATE_LIFETIME)
    name = _authority_name(domain, "intermediate", key.public_key())
    builder = _authority(domain, name, key.public_key(), now, until, path_length=0)
    return Authority(_signed(builder, root), key)


def cross_sign(old: Authority, new: x509.Certificate, domain: str, now: datetime) -> x509.Certificate:
    """Vouch for a new root with the old one's key: the same name and key as `new`, as an intermediate of `old`.

    Raises AuthorityError when the old one has expired.
    """
    key = new.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    until = min(_until(old, now, ROOT_LIFETIME), new.not_valid_after_utc)
    return _signed(_authority(domain, new.subject, key, now, until, path_length=1), old)


def issue(
    by: Authority,
    identity: SpiffeId,
    key: CertificatePublicKeyTypes,
    now: datetime,
    *,
    dns: Iterable[str] = (),
    lifetime: timedelta = LEAF_LIFETIME,
) -> x509.Certificate:
    """Sign a leaf for `identity`, for both sides of TLS. It never outlives its issuer.

    Raises AuthorityError when the issuer has expired.
    """
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(str(identity))]
    names += [x509.DNSName(name) for name in dns]
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    subject = _name(identity.domain, identity.name)
    builder = (
        _builder(subject, key, now, _until(by, now, lifetime))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
    )
    return _signed(builder, by)


def sign_crl(by: Authority, revoked: Iterable[Revoked], number: int, now: datetime) -> x509.CertificateRevocationList:
    """Sign the list of what `by` has revoked; `number` grows from one to the next (RFC 5280, 5.2.3)."""
    begin = _whole(now)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(by.certificate.subject)
        .last_update(begin - BACKDATED)
        .next_update(begin + CRL_LIFETIME)
        .add_extension(_issuer_key(by), critical=False)
        .add_extension(x509.CRLNumber(number), critical=False)
    )
    for each in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(each.serial).revocation_date(_whole(each.at))
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(by.key, _HASH)


def _authority(
    domain: str,
    subject: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: datetime,
    until: datetime,
    *,
    path_length: int,
) -> x509.CertificateBuilder:
    """What all certificates of authorities have."""
    identity = x509.UniformResourceIdentifier(str(SpiffeId(domain)))
    return (
        _builder(subject, key, now, until)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(x509.SubjectAlternativeName([identity]), critical=False)
    )


def _authority_name(domain: str, what: str, key: ec.EllipticCurvePublicKey) -> x509.Name:
    """A name that no other authority has, for chains and lists go by names."""
    return _name(domain, f"nodeagent {what} {x509.SubjectKeyIdentifier.from_public_key(key).digest.hex()[:16]}")


def _builder(
    subject: x509.Name, key: CertificatePublicKeyTypes, now: datetime, until: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_whole(now) - BACKDATED)
        .not_valid_after(_whole(until))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _signed(builder: x509.CertificateBuilder, by: Authority) -> x509.Certificate:
    issued = builder.issuer_name(by.certificate.subject).add_extension(_issuer_key(by), critical=False)
    return issued.sign(by.key, _HASH)


def _until(by: Authority, now: datetime, lifetime: timedelta) -> datetime:
    end = by.certificate.not_valid_after_utc
    if end <= now:
        raise AuthorityError(f"the certificate of the issuer has expired on {end:%Y-%m-%d %H:%M} UTC")
    return min(now + lifetime, end)


def _issuer_key(by: Authority) -> x509.AuthorityKeyIdentifier:
    identifier = by.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _name(domain: str, common: str) -> x509.Name:
    """A subject; X.509 gives organization and common name 64 characters each."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, domain[:MAX_NAME]),
            x509.NameAttribute(NameOID.COMMON_NAME, common[:MAX_NAME]),
        ]
    )


def _whole(moment: datetime) -> datetime:
    """X.509 counts in seconds."""
    return moment.replace(microsecond=0)
