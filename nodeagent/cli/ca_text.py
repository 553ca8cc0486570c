"""What a certificate says, for people. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tls.identity import IdentityError, dns_names, peer_identity


def describe(certificate: x509.Certificate, now: datetime) -> str:
    """The lines of one certificate."""
    rows = [
        _who(certificate),
        ("subject", certificate.subject.rfc4514_string() or "-"),
        ("issuer", certificate.issuer.rfc4514_string() or "-"),
        ("valid", f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M:%S} to {_until(certificate, now)}"),
        ("serial", f"{certificate.serial_number:x}"),
        ("key", _key(certificate)),
        ("sha256", certificate.fingerprint(hashes.SHA256()).hex()),
    ]
    names = dns_names(certificate)
    if names:
        rows.insert(1, ("dns", ", ".join(names)))
    return "\n".join(f"{name + ':':<11}{value}" for name, value in rows)


def _who(certificate: x509.Certificate) -> tuple[str, str]:
    try:
        return "identity", str(peer_identity(certificate))
    except IdentityError as error:
        try:
            ca = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        except (x509.ExtensionNotFound, ValueError):
            ca = False
        return ("authority", "signs other certificates") if ca else ("identity", f"none: {error}")


def _until(certificate: x509.Certificate, now: datetime) -> str:
    end = certificate.not_valid_after_utc
    left = f"{span(end - now)} left" if end > now else f"expired {span(now - end)} ago"
    if certificate.not_valid_before_utc > now:
        left = f"not yet, in {span(certificate.not_valid_before_utc - now)}"
    return f"{end:%Y-%m-%d %H:%M:%S} UTC ({left})"


def span(time: timedelta) -> str:
    """A time in the unit that fits."""
    seconds = time.total_seconds()
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def _key(certificate: x509.Certificate) -> str:
    match certificate.public_key():
        case ec.EllipticCurvePublicKey(curve=curve):
            return curve.name
        case rsa.RSAPublicKey(key_size=bits):
            return f"RSA, {bits} bits"
        case other:
            return type(other).__name__.removesuffix("PublicKey")
