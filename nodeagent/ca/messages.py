"""What the server of an authority and its clients say to each other, as JSON over HTTPS. Pure.

    GET  /v1/trust                              -> Trust
    POST /v1/join    Authorization: Bearer ...  -> Membership    the body is a request (PEM)
    POST /v1/renew   with the certificate       -> Membership    the body is a request (PEM)

An error is one line of text, with a status of 4xx or 5xx.
"""

from __future__ import annotations

from typing import Final

import msgspec

TRUST: Final = "/v1/trust"
JOIN: Final = "/v1/join"
RENEW: Final = "/v1/renew"

MAX_ANSWER: Final = 16 * 1024 * 1024
"""Bytes; most of it may be the list of revoked certificates, 40 bytes each."""


class Trust(msgspec.Struct, frozen=True):
    """Whom to believe, all PEM."""

    bundle: str
    crl: str


class Given(Trust, frozen=True):
    """What a host gets."""

    certificate: str
    """With the chain that others verify it by."""
