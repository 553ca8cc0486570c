"""The directory of a host that has joined: its certificate, its key, and whom to trust.

    cert.pem, key.pem           links to those of the generation that `current` links to
    bundle.pem, crl.pem         the roots to trust, the lists of revoked certificates
    authority.json              where to renew

A new pair is written beside the old one, and one rename makes it the current one: no moment has half of each. An edge:
blocks on the disk.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from nodeagent.ca.disk import CaError, create, make_private, read, read_secret, replace
from nodeagent.ca.messages import Given, Trust
from nodeagent.ca.store import private_pem
from tls.authority import Key
from tls.files import TlsConfigError
from tls.pair import read_certificates
from tls.params import ContextParams, OwnCertificate

KEPT = 2
"""Pairs that stay: the current one, and the one before, which somebody may be reading."""


class _Authority(msgspec.Struct, frozen=True):
    address: str
    domain: str


class Membership:
    """What a host has from its authority. Methods raise CaError."""

    def __init__(self, folder: Path, address: str | None = None) -> None:
        """`address` is where the authority is, if that is known better than where the host has joined."""
        self.folder = folder
        self._address = address
        self.certificate = folder / "cert.pem"
        self.key = folder / "key.pem"
        self.bundle = folder / "bundle.pem"
        self.crl = folder / "crl.pem"

    @staticmethod
    def create(folder: Path, key: Key, given: Given, *, address: str | None, domain: str) -> Membership:
        """Write a new one; `address` is where it is renewed, None where nobody does that."""
        membership = Membership(folder)
        membership.check_free()
        membership.take(key, given, address=address, domain=domain)
        return membership

    def take(self, key: Key, given: Given, *, address: str | None, domain: str) -> None:
        """Write what an authority has given to who has joined it, in the place of what there is; as `create`."""
        make_private(self.folder)
        self.write_trust(given)
        if address is not None:
            replace(self.folder / "authority.json", msgspec.json.encode(_Authority(address, domain)))
        self.write_pair(key, given.certificate)
        for file in (self.key, self.certificate):
            if not os.path.lexists(file):
                file.symlink_to(Path("current") / file.name)

    def check_free(self) -> None:
        """Raise CaError when there is a certificate already."""
        for file in (self.certificate, self.key):
            if os.path.lexists(file):
                raise CaError(f"{file}: is there already, and is not overwritten; choose another directory")

    def authority(self) -> tuple[str, str]:
        """Where to renew, and the trust domain."""
        file = self.folder / "authority.json"
        if not file.exists():
            raise CaError(f"{file}: missing; this directory was not made by `nodeagent ca join`")
        try:
            found = msgspec.json.decode(read(file), type=_Authority)
        except msgspec.DecodeError as error:
            raise CaError(f"{file}: {error}") from None
        return self._address or found.address, found.domain

    def leaf(self) -> x509.Certificate:
        """The current certificate."""
        try:
            return read_certificates(str(self.certificate), read(self.certificate))[0]
        except TlsConfigError as error:
            raise CaError(str(error)) from None

    @property
    def client(self) -> ContextParams:
        """TLS as this host towards others of its authority."""
        own = OwnCertificate(str(self.certificate), str(self.key))
        return ContextParams(trust=(str(self.bundle),), certificate=own, protocols=("TLSv1.3",))

    def check_key(self) -> None:
        """Raise CaError when others may read the key."""
        read_secret(self.key)

    def write_pair(self, key: Key, chain: str) -> None:
        """Make this the current pair, after checking that it is one."""
        try:
            leaf = read_certificates("what the authority has answered", chain.encode())[0]
        except TlsConfigError as error:
            raise CaError(str(error)) from None
        if leaf.public_key() != key.public_key():
            raise CaError("the authority has signed another key than was asked for")
        numbers = self._generations()
        generation = self.folder / f"pair-{max(numbers, default=0) + 1}"
        make_private(generation)
        create(generation / "key.pem", private_pem(key))
        create(generation / "cert.pem", chain.encode(), 0o644)
        link = self.folder / ".current"
        link.unlink(missing_ok=True)
        link.symlink_to(generation.name)
        link.replace(self.folder / "current")
        for number in sorted(numbers)[: 1 - KEPT or None]:
            shutil.rmtree(self.folder / f"pair-{number}", ignore_errors=True)

    def write_trust(self, trust: Trust) -> None:
        """Replace whom to trust, where that has changed."""
        for file, text in ((self.bundle, trust.bundle), (self.crl, trust.crl)):
            if not file.exists() or read(file) != text.encode():
                replace(file, text.encode(), 0o644)

    def _generations(self) -> list[int]:
        names = [each.name.removeprefix("pair-") for each in self.folder.glob("pair-*")]
        return [int(name) for name in names if name.isdecimal()]


def pem(certificate: x509.Certificate) -> str:
    """A certificate as text."""
    return certificate.public_bytes(Encoding.PEM).decode()
