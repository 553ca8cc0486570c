"""Cipher suites of TLS 1.2, by the names that OpenSSL has for them."""

from __future__ import annotations

import ssl
from typing import Final

_STRENGTH: Final = 128
"""Bits of security that a suite must have (RFC 9325, 4.2.1)."""


def check_suite(name: str) -> str:
    """Return the name of a suite that may be offered. Raises ValueError, which says why, for all others.

    OpenSSL passes over names that it does not know, as long as another one is left.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.set_ciphers(name)
    except ssl.SSLError:
        raise ValueError(f"OpenSSL knows no suite {name}") from None
    found = [suite for suite in context.get_ciphers() if suite["protocol"] != "TLSv1.3" and suite["name"] == name]
    if not found:
        raise ValueError(f"{name} is no suite of TLSv1.2")
    if any(suite["strength_bits"] < _STRENGTH or suite["auth"] == "auth-null" for suite in found):
        raise ValueError(f"{name} protects nothing")
    return name
