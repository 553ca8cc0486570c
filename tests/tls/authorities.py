"""Authorities and certificates for tests, at times that the test chooses."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tls.authority import Authority, Key, issue, make_intermediate, make_key, make_root
from tls.identity import SpiffeId

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DOMAIN = "mesh.example"


def pem(*certificates: x509.Certificate | x509.CertificateRevocationList) -> bytes:
    """As they stand in a file."""
    return b"".join(each.public_bytes(Encoding.PEM) for each in certificates)


def key_pem(key: Key) -> bytes:
    """A key as it stands in a file, without a passphrase."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@dataclass(frozen=True)
class Fleet:
    """A root, an intermediate, and whom they know."""

    root: Authority
    intermediate: Authority

    @staticmethod
    def made(now: datetime = NOW, domain: str = DOMAIN) -> Fleet:
        """A new one."""
        root = make_root(domain, now)
        return Fleet(root, make_intermediate(root, domain, now))

    def issue(
        self,
        name: str,
        key: Key,
        now: datetime = NOW,
        lifetime: timedelta = timedelta(hours=24),
        dns: tuple[str, ...] = (),
    ) -> x509.Certificate:
        """A certificate for a host."""
        return issue(self.intermediate, SpiffeId.host(DOMAIN, name), key.public_key(), now, lifetime=lifetime, dns=dns)

    def write(
        self,
        folder: Path,
        name: str = "web-1",
        now: datetime = NOW,
        lifetime: timedelta = timedelta(hours=24),
        dns: tuple[str, ...] = (),
    ) -> x509.Certificate:
        """Write `cert.pem` with its chain, `key.pem` and `bundle.pem` into a folder."""
        key = make_key()
        leaf = self.issue(name, key, now, lifetime, dns)
        (folder / "key.pem").write_bytes(key_pem(key))
        (folder / "cert.pem").write_bytes(pem(leaf, self.intermediate.certificate))
        (folder / "bundle.pem").write_bytes(pem(self.root.certificate))
        return leaf
