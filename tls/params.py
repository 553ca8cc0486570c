"""What is asked of TLS towards a backend, as values. Pure: files are only named here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

PROTOCOLS: Final = ("TLSv1.2", "TLSv1.3")
"""The versions that may be spoken, the oldest first; what is older is broken (RFC 8996)."""

_DNS_NAME: Final = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*")


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """The files (PEM) that the agent proves itself with; `intermediates` has the rest of the chain, if it is apart."""

    certificate: str
    key: str
    intermediates: str | None = None


@dataclass(frozen=True, slots=True)
class ContextParams:
    """What connections to many backends share: whom to trust, and as whom to appear."""

    verify: bool = True
    trust: tuple[str, ...] = ()
    """Files (PEM) with the certificates to trust; none is the system's store."""
    certificate: ClientCertificate | None = None
    protocols: tuple[str, ...] = PROTOCOLS

    def __post_init__(self) -> None:
        if not self.protocols or not set(self.protocols) <= set(PROTOCOLS):
            raise ValueError(f"expected some of {', '.join(PROTOCOLS)}, found {', '.join(self.protocols) or 'none'}")


@dataclass(frozen=True, slots=True)
class ClientTls:
    """TLS towards one backend. `server_name` is sent (SNI), and verified unless verification is off."""

    server_name: str | None
    context: ContextParams = ContextParams()

    def __post_init__(self) -> None:
        if self.context.verify and self.server_name is None:
            raise ValueError("a certificate cannot be verified without the name that it must be for")


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
