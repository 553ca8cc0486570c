"""Join tokens: what lets a host that nobody knows yet have its first certificate, once.

    naj1.SECRET.FINGERPRINT

The fingerprint is that of the root, by which the host knows the authority before it shows the secret. The authority
keeps a hash of the secret, in a file named for it; whoever renames that file has used the token, and the kernel lets
one do so. So a token is used once whatever runs at the same time, and after a restart. An edge: blocks on the disk.
"""

from __future__ import annotations

import binascii
import os
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from nodeagent.ca.disk import CaError, create, make_private, read
from tls.identity import SpiffeId
from tls.request import Permit

TTL: Final = timedelta(hours=1)
"""How long a token may be used, unless told otherwise."""

KEPT: Final = timedelta(days=7)
"""How long it is remembered that a token is over, so that who comes with it is told why."""

_PREFIX: Final = "naj1"
_BYTES: Final = 32


class TokenError(Exception):
    """A token is refused; the message says why, and nothing of the token."""


@dataclass(frozen=True, slots=True)
class Token:
    """What the host is given."""

    secret: str
    fingerprint: bytes
    """SHA-256 of the root's certificate."""

    def __str__(self) -> str:
        return f"{_PREFIX}.{self.secret}.{_text(self.fingerprint)}"

    @staticmethod
    def parse(text: str) -> Token:
        """Read what `nodeagent ca token` prints. Raises TokenError."""
        parts = text.strip().split(".")
        if len(parts) != 3 or parts[0] != _PREFIX or len(text) > 200 or not text.isascii():
            raise TokenError(f"this is no join token: expected what `nodeagent ca token` prints, {_PREFIX}.….…")
        try:
            secret, fingerprint = (urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in parts[1:])
        except (binascii.Error, ValueError):
            secret = fingerprint = b""
        if len(secret) != _BYTES or len(fingerprint) != _BYTES:
            raise TokenError("this join token is not whole: copy all of what `nodeagent ca token` prints")
        return Token(parts[1], fingerprint)


class _Kept(msgspec.Struct, frozen=True, rename="camel"):
    """What the authority remembers of a token."""

    identity: str
    dns: tuple[str, ...]
    expires: datetime


class Tokens:
    """The tokens of an authority, one file each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def create(self, permit: Permit, root: x509.Certificate, expires: datetime) -> Token:
        """Make a token that is good for one certificate. Raises CaError."""
        make_private(self._folder)
        token = Token(_text(secrets.token_bytes(_BYTES)), fingerprint(root))
        kept = _Kept(str(permit.identity), permit.dns, expires)
        create(self._file(token.secret), msgspec.json.encode(kept))
        return token

    def permit(self, secret: str, now: datetime) -> Permit:
        """Say what a token is good for, without using it. Raises TokenError."""
        file = self._file(secret)
        try:
            kept = msgspec.json.decode(read(file), type=_Kept)
        except (CaError, msgspec.DecodeError):
            if file.with_suffix(".used").exists():
                raise TokenError("the join token was used already; if that was not you, look at issued.jsonl") from None
            raise TokenError("the join token is not known here") from None
        if kept.expires <= now:
            raise TokenError(f"the join token has expired on {kept.expires:%Y-%m-%d %H:%M:%S} UTC; get another one")
        return Permit(SpiffeId.parse(kept.identity), kept.dns)

    def use(self, secret: str) -> None:
        """Use a token. Raises TokenError when somebody else has, be it at the same moment."""
        file = self._file(secret)
        try:
            file.rename(file.with_suffix(".used"))
        except OSError:
            raise TokenError("the join token was used already") from None
        self._settle()

    def sweep(self, now: datetime) -> None:
        """Forget those that have been over for long."""
        for file in self._folder.glob("*.*"):
            try:
                if msgspec.json.decode(read(file), type=_Kept).expires + KEPT <= now:
                    file.unlink(missing_ok=True)
            except (CaError, msgspec.DecodeError):
                continue

    def _file(self, secret: str) -> Path:
        return self._folder / f"{sha256(secret.encode()).hexdigest()}.token"

    def _settle(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def fingerprint(root: x509.Certificate) -> bytes:
    """By what a root is known."""
    return root.fingerprint(hashes.SHA256())


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")
