"""Who somebody is: SPIFFE ids, and how they are read from the certificate of a peer. Pure.

An id is `spiffe://DOMAIN/PATH`: the domain is whose word it is, the path is who is meant there. Agents are
`/host/NAME`, services `/svc/NAME`, and the authority that nodeagent makes is `/ca`; ids that others give out, such as
`/ns/default/sa/web`, are ids as well.

Source: SPIFFE-ID and X509-SVID of spiffe.io. Both are taken strictly, so that one identity has one spelling: lower
case, no percent-encoding, no empty segments.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, TypeVar

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

MAX_ID: Final = 2048
"""Bytes of an id (SPIFFE-ID, 2.3)."""

MAX_DOMAIN: Final = 255

MAX_NAME: Final = 64
"""Characters of the name of a host or a service: what Linux gives a host name, and X.509 a common name."""

_SCHEME: Final = "spiffe://"
_DOMAIN: Final = re.compile(r"[a-z0-9._-]+")
_SEGMENT: Final = re.compile(r"[A-Za-z0-9._-]+")

T = TypeVar("T", bound=x509.ExtensionType)


class IdentityError(ValueError):
    """Something is no id, or a certificate does not say who its owner is; the message says why."""


@dataclass(frozen=True, slots=True, order=True)
class SpiffeId:
    """An identity. `path` is "" for the domain itself, else it begins with a slash. Raises IdentityError."""

    domain: str
    path: str = ""

    def __post_init__(self) -> None:
        check_domain(self.domain)
        if self.path:
            _check_path(self.path)
        if len(str(self)) > MAX_ID:
            raise IdentityError(f"an id has at most {MAX_ID} bytes, found {len(str(self))}")

    def __str__(self) -> str:
        return f"{_SCHEME}{self.domain}{self.path}"

    @staticmethod
    def parse(text: str) -> SpiffeId:
        """Read `spiffe://domain/path`. Raises IdentityError."""
        if not text.startswith(_SCHEME):
            raise IdentityError(f"expected an id that begins with {_SCHEME}, found {text[:80]!r}")
        if len(text) > MAX_ID:
            raise IdentityError(f"an id has at most {MAX_ID} bytes, found {len(text)}")
        domain, slash, path = text.removeprefix(_SCHEME).partition("/")
        return SpiffeId(domain, slash + path)

    @staticmethod
    def host(domain: str, name: str) -> SpiffeId:
        """The id of the agent on a host. Raises IdentityError."""
        return SpiffeId(domain, f"/host/{_checked_name(name)}")

    @staticmethod
    def service(domain: str, name: str) -> SpiffeId:
        """The id of a service. Raises IdentityError."""
        return SpiffeId(domain, f"/svc/{_checked_name(name)}")

    @staticmethod
    def authority(domain: str) -> SpiffeId:
        """The id that the server of the authority proves itself with. Raises IdentityError."""
        return SpiffeId(domain, "/ca")

    @property
    def name(self) -> str:
        """The last segment of the path, "" for a domain."""
        return self.path.rpartition("/")[2]


def check_domain(text: str) -> str:
    """Return a trust domain as it is. Raises IdentityError (SPIFFE-ID, 2.1)."""
    if not 0 < len(text) <= MAX_DOMAIN or not _DOMAIN.fullmatch(text):
        raise IdentityError(
            f"{text[:80]!r} is no trust domain: expected 1 to {MAX_DOMAIN} of a-z, 0-9, '.', '-' and '_', such as "
            "mesh.example"
        )
    return text


def _check_path(path: str) -> None:
    for segment in path[1:].split("/") if path[0] == "/" else [""]:
        if segment in (".", "..") or not _SEGMENT.fullmatch(segment):
            raise IdentityError(
                f"{path[:80]!r} is no path of an id: expected segments of A-Z, a-z, 0-9, '.', '-' and '_' after "
                "one slash each"
            )


def _checked_name(name: str) -> str:
    if not 0 < len(name) <= MAX_NAME or not _SEGMENT.fullmatch(name) or name in (".", ".."):
        raise IdentityError(
            f"{name[:80]!r} is no name of a host or service: expected 1 to {MAX_NAME} of A-Z, a-z, 0-9, '.', '-' "
            "and '_'"
        )
    return name


def peer_identity(certificate: x509.Certificate) -> SpiffeId:
    """Say who owns a certificate whose chain was verified already. Raises IdentityError (X509-SVID, 5.2)."""
    try:
        extensions = certificate.extensions
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise IdentityError(f"the certificate has extensions that cannot be read: {error}") from None
    _check_leaf(extensions)
    found = _uris(extensions)
    if len(found) != 1:
        raise IdentityError(f"a certificate has exactly one URI for its identity, this one has {len(found)}")
    identity = SpiffeId.parse(found[0])
    if not identity.path:
        raise IdentityError(f"{identity} is a trust domain; expected a path that says who in it")
    return identity


def _check_leaf(extensions: x509.Extensions) -> None:
    """Certificates that sign others authenticate nobody, and TLS must be among what this one is for."""
    constraints = _value(extensions, x509.BasicConstraints)
    if constraints is not None and constraints.ca:
        raise IdentityError("the certificate is an authority's (CA), which stands for nobody")
    usage = _value(extensions, x509.KeyUsage)
    if usage is None or not usage.digital_signature:
        raise IdentityError("the key usage of the certificate does not have digitalSignature")
    if usage.key_cert_sign or usage.crl_sign:
        raise IdentityError("the key usage of the certificate has keyCertSign or cRLSign, as only an authority's may")
    purposes = _value(extensions, x509.ExtendedKeyUsage)
    if purposes is None:
        return
    for purpose, name in (
        (ExtendedKeyUsageOID.CLIENT_AUTH, "clientAuth"),
        (ExtendedKeyUsageOID.SERVER_AUTH, "serverAuth"),
    ):
        if purpose not in purposes:
            raise IdentityError(f"the certificate is not for {name} (extended key usage)")


def _value(extensions: x509.Extensions, kind: type[T]) -> T | None:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _uris(extensions: x509.Extensions) -> list[str]:
    names = _value(extensions, x509.SubjectAlternativeName)
    return [] if names is None else names.get_values_for_type(x509.UniformResourceIdentifier)


def dns_names(certificate: x509.Certificate) -> tuple[str, ...]:
    """The names for which a certificate stands besides its identity."""
    names = _value(certificate.extensions, x509.SubjectAlternativeName)
    return () if names is None else tuple(names.get_values_for_type(x509.DNSName))
