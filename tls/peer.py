"""Who a client is, by the certificate that it has proved to have. Pure.

A SPIFFE id is its identity (see `tls.identity`). A certificate without one is known by its first DNS name
(`dns:web.example`), else by its subject (`subject:CN=web,O=Example`). The words before the colon keep an authority that
gives out names from giving out ids. A certificate that claims an id and is not fit to has none at all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from tls.identity import IdentityError, peer_identity
from tls.params import host_name

MAX_IDENTITY: Final = 2048
"""Bytes."""

REMEMBERED: Final = 256
"""Certificates that are not read anew: half a megabyte."""

MAX_NAMES: Final = 16
"""Names of one kind that are told to endpoints."""

_UNSAFE: Final = re.compile(r"[^ !#$&-\[\]-~]")
_UNSAFE_BARE: Final = re.compile(r"[^!#$&-+\--:<>-\[\]-~]")  # no comma, semicolon, space or quote


@dataclass(frozen=True, slots=True)
class Peer:
    """A client with a verified certificate. All of it is printable ASCII."""

    identity: str
    expires: datetime
    header: bytes
    """What `X-Forwarded-Client-Cert` says of it, in Envoy's form: `Hash=...;Subject="...";URI=...;DNS=...`."""


@lru_cache(REMEMBERED)
def read_peer(certificate: bytes) -> Peer:
    """Read a certificate (DER) whose chain was verified already. Raises IdentityError when it is nobody's.

    The last ones are remembered: the same few callers come again and again, and reading costs a tenth of a handshake.
    """
    try:
        read = x509.load_der_x509_certificate(certificate)
        uris, dns = _alternative_names(read)
        subject = read.subject.rfc4514_string()
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise IdentityError(f"the certificate cannot be read: {str(error)[:120]}") from None
    if any(uri.lower().startswith("spiffe:") for uri in uris):
        identity = str(peer_identity(read))
    else:
        identity = _identity(dns, subject)
    said = [f"Hash={read.fingerprint(hashes.SHA256()).hex()}", f'Subject="{_quoted(subject)}"']
    said += [f"URI={_escaped(_UNSAFE_BARE, uri)}" for uri in uris[:MAX_NAMES]]
    said += [f"DNS={_escaped(_UNSAFE_BARE, name)}" for name in dns[:MAX_NAMES]]
    return Peer(identity, read.not_valid_after_utc, ";".join(said).encode())


def _alternative_names(certificate: x509.Certificate) -> tuple[list[str], list[str]]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return [], []
    return names.get_values_for_type(x509.UniformResourceIdentifier), names.get_values_for_type(x509.DNSName)


def _identity(dns: list[str], subject: str) -> str:
    for name in dns:
        try:
            host = host_name(name).lower()
        except ValueError:  # a wildcard, or rubbish
            continue
        if not _UNSAFE.search(host):  # the zone of an IPv6 address may be anything
            return f"dns:{host}"
    identity = f"subject:{_escaped(_UNSAFE, subject)}"
    if not subject or len(identity) > MAX_IDENTITY:
        raise IdentityError(
            "the certificate names nobody: it has no URI, no DNS name and no subject of ordinary length"
        )
    return identity


def _quoted(text: str) -> str:
    return _escaped(_UNSAFE, text[:MAX_IDENTITY])


def _escaped(unsafe: re.Pattern[str], text: str) -> str:
    """The same in printable ASCII: other characters are percent-encoded (RFC 3986, 2.1)."""
    return unsafe.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), text[:MAX_IDENTITY])
