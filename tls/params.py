"""What is asked of TLS, as values. Pure: files are only named here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, Literal, TypeAlias

PROTOCOLS: Final = ("TLSv1.2", "TLSv1.3")
"""The versions that may be spoken, the oldest first; what is older is broken (RFC 8996)."""

_DNS_NAME: Final = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*")


ClientAuth: TypeAlias = Literal["none", "optional", "required"]
"""Whether clients are asked for a certificate, and whether they may come without one. What they show is verified."""


@dataclass(frozen=True, slots=True)
class OwnCertificate:
    """The files (PEM) that the agent proves itself with, and a file with the passphrase of the key if it has one.

    `intermediates` has the rest of the chain, if it is apart.
    """

    certificate: str
    key: str
    intermediates: str | None = None
    passphrase: str | None = None

    @property
    def files(self) -> tuple[str, ...]:
        """All of them."""
        files = (self.certificate, self.key, self.intermediates, self.passphrase)
        return tuple(file for file in files if file is not None)


@dataclass(frozen=True, slots=True)
class ContextParams:
    """What connections to many backends share: whom to trust, and as whom to appear."""

    verify: bool = True
    trust: tuple[str, ...] = ()
    """Files (PEM) with the certificates to trust; none is the system's store."""
    certificate: OwnCertificate | None = None
    protocols: tuple[str, ...] = PROTOCOLS
    revoked: tuple[str, ...] = ()
    """Files (PEM) with revocation lists; see `tls.revocation`."""
    by_name: bool = True
    """Whether what is verified includes that the certificate is for a host name."""

    def __post_init__(self) -> None:
        _check_protocols(self.protocols)

    @property
    def files(self) -> tuple[str, ...]:
        """What it is made of."""
        return (*(self.certificate.files if self.certificate else ()), *self.trust, *self.revoked)


@dataclass(frozen=True, slots=True)
class ServerParams:
    """What the connections of a listener share: as whom to appear, and which clients to trust."""

    certificate: OwnCertificate
    client_auth: ClientAuth = "none"
    trust: tuple[str, ...] = ()
    """Files (PEM) with the certificates to trust, where clients are asked."""
    protocols: tuple[str, ...] = PROTOCOLS
    revoked: tuple[str, ...] = ()
    """Files (PEM) with revocation lists."""
    others: tuple[OwnCertificate, ...] = ()
    """More certificates, for those who ask for their names (SNI); then a name that none is for is refused."""
    ciphers: tuple[str, ...] = ()
    """Of TLS 1.2, by OpenSSL's names; none is the usual ones."""
    alpn: tuple[str, ...] = ("http/1.1",)
    """What is spoken (RFC 7301)."""

    def __post_init__(self) -> None:
        _check_protocols(self.protocols)
        if self.client_auth != "none" and not self.trust:
            raise ValueError("clients cannot be verified without certificates to trust")

    @property
    def files(self) -> tuple[str, ...]:
        """What it is made of."""
        certificates = (self.certificate, *self.others)
        return (*(file for each in certificates for file in each.files), *self.trust, *self.revoked)


def _check_protocols(protocols: tuple[str, ...]) -> None:
    if not protocols or not set(protocols) <= set(PROTOCOLS):
        raise ValueError(f"expected some of {', '.join(PROTOCOLS)}, found {', '.join(protocols) or 'none'}")


@dataclass(frozen=True, slots=True)
class Agents:
    """Endpoints are reached through the agents on their hosts.

    `strict`: no endpoint is called otherwise. Else in plain where no agent is known, and with `plain_if_refused` also
    where nobody listens on the agent's port; never because TLS failed.
    """

    strict: bool = True
    plain_if_refused: bool = False


@dataclass(frozen=True, slots=True)
class ClientTls:
    """TLS towards one backend. `server_name` is sent (SNI), and verified unless verification is off.

    `identity` is the SPIFFE id that the certificate must have, as of `tls.expected`. With `agents` the backend is the
    agent on its host.
    """

    server_name: str | None
    context: ContextParams = ContextParams()
    identity: str | None = None
    agents: Agents | None = None

    def __post_init__(self) -> None:
        if not self.context.verify:
            return
        if self.context.by_name and self.server_name is None:
            raise ValueError("a certificate cannot be verified without the name that it must be for")
        if not self.context.by_name and self.identity is None:
            raise ValueError("a certificate must be for a name or of an identity")


def host_name(text: str) -> str:
    """Return `text` as a name for SNI and verification: an IP address, or a DNS name without its final dot.

    Raises ValueError when it is neither (RFC 6066, section 3).
    """
    name = text.removesuffix(".")
    if _DNS_NAME.fullmatch(name):
        return name
    try:
        return str(ip_address(text))
    except ValueError:
        raise ValueError(f"{text[:260]!r} is no host name") from None
