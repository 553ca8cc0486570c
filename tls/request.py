"""What is asked of an authority, and whether it may be had: certificate signing requests (RFC 2986). Pure.

A request proves that whoever sends it has the key. Who that is, is not the request's word: a token or a certificate
says so, and the request may only ask for less.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding

from tls.authority import Key
from tls.identity import IdentityError, SpiffeId
from tls.params import host_name

MAX_REQUEST: Final = 16 * 1024
"""Bytes of a request; one with an RSA key of 4096 bits and ten names has 2 KiB."""

MAX_DNS: Final = 16
"""DNS names of one certificate."""

_CURVES: Final = ("secp256r1", "secp384r1")
_RSA_BITS: Final = (2048, 4096)
_KEYS: Final = "P-256, P-384, Ed25519 or RSA of 2048 to 4096 bits"
_LABELS: Final = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*")


class RequestError(ValueError):
    """A request is not granted; the message says why."""


@dataclass(frozen=True, slots=True)
class Permit:
    """What somebody may have a certificate for."""

    identity: SpiffeId
    dns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Granted:
    """A request that was checked: this key may be signed for these names."""

    identity: SpiffeId
    key: CertificatePublicKeyTypes
    dns: tuple[str, ...]


def authority_name(domain: str) -> str:
    """The DNS name in the certificate of the authority's own server, which no other certificate may have.

    Clients verify the server by it (RFC 9525), and need not know at which address it is.
    """
    return f"ca.{domain.strip('.')}"


def dns_name(text: str, domain: str) -> str:
    """Return a DNS name that a certificate of `domain` may bear, in lower case. Raises RequestError."""
    name = text.lower().removesuffix(".")
    try:
        host_name(name)
    except ValueError as error:
        raise RequestError(str(error)) from None
    if not _LABELS.fullmatch(name) or name.rpartition(".")[2].isdigit():
        raise RequestError(f"{text[:80]!r} is no DNS name for a certificate: expected labels of a-z, 0-9 and '-'")
    if name == authority_name(domain):
        raise RequestError(f"{name} is the name of the authority's own server; choose another one")
    return name


def dns_names(texts: Iterable[str], domain: str) -> tuple[str, ...]:
    """The DNS names that a certificate of `domain` may bear, without repetitions. Raises RequestError."""
    names = tuple(dict.fromkeys(dns_name(text, domain) for text in texts))
    if len(names) > MAX_DNS:
        raise RequestError(f"a certificate has at most {MAX_DNS} DNS names, found {len(names)}")
    return names


def make_request(key: Key, identity: SpiffeId | None = None, dns: tuple[str, ...] = ()) -> bytes:
    """A request in PEM, signed by `key`; without an identity it asks for what it may have."""
    names: list[x509.GeneralName] = [] if identity is None else [x509.UniformResourceIdentifier(str(identity))]
    names += [x509.DNSName(name) for name in dns]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=not dns)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def check_request(pem: bytes, permit: Permit) -> Granted:
    """Say what a request gets: the names that it asks for, or all that it may have when it asks for none.

    Raises RequestError.
    """
    request = _read(pem)
    key = _key(request)
    try:
        valid = request.is_signature_valid
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        valid = False
    if not valid:
        raise RequestError("the request is not signed by its own key")
    identity, dns = _asked(request)
    if identity is not None and identity != permit.identity:
        raise RequestError(f"the request is for {identity}, and this is for {permit.identity} only")
    for name in dns:
        if name not in permit.dns:
            allowed = ", ".join(permit.dns) or "none"
            raise RequestError(f"the request asks for the DNS name {name[:80]!r}; allowed here: {allowed}")
    return Granted(permit.identity, key, permit.dns if identity is None and not dns else dns)


def _read(pem: bytes) -> x509.CertificateSigningRequest:
    if len(pem) > MAX_REQUEST:
        raise RequestError(f"a request has at most {MAX_REQUEST} bytes, found {len(pem)}")
    try:
        return x509.load_pem_x509_csr(pem)
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion):
        raise RequestError("this is no certificate signing request in PEM form") from None


def _key(request: x509.CertificateSigningRequest) -> CertificatePublicKeyTypes:
    try:
        key = request.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise RequestError(f"the key cannot be read; expected {_KEYS}") from None
    match key:
        case ec.EllipticCurvePublicKey(curve=curve) if curve.name in _CURVES:
            return key
        case ed25519.Ed25519PublicKey():
            return key
        case rsa.RSAPublicKey(key_size=bits) if _RSA_BITS[0] <= bits <= _RSA_BITS[1]:
            if key.public_numbers().e >= 65537:
                return key
            raise RequestError("the RSA key has a small exponent; expected 65537")
        case rsa.RSAPublicKey(key_size=bits):
            found = f"RSA of {bits} bits"
        case ec.EllipticCurvePublicKey(curve=curve):
            found = curve.name
        case _:
            found = "another kind"
    raise RequestError(f"the key is {found}; expected {_KEYS}")


def _asked(request: x509.CertificateSigningRequest) -> tuple[SpiffeId | None, tuple[str, ...]]:
    try:
        extensions = request.extensions
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise RequestError("the request has extensions that cannot be read") from None
    identity: SpiffeId | None = None
    dns: list[str] = []
    for extension in extensions:
        match extension.value:
            case x509.BasicConstraints(ca=True):
                raise RequestError("the request is for an authority (CA); only leaves are issued")
            case x509.SubjectAlternativeName() as names:
                for name in names:
                    match name:
                        case x509.UniformResourceIdentifier(value=uri) if identity is None:
                            identity = _identity(uri)
                        case x509.DNSName(value=host):
                            dns.append(host)
                        case _:
                            raise RequestError("the request has names besides one URI and DNS names")
    if len(dns) > MAX_DNS:
        raise RequestError(f"a certificate has at most {MAX_DNS} DNS names, the request {len(dns)}")
    return identity, tuple(dict.fromkeys(dns))


def _identity(uri: str) -> SpiffeId:
    try:
        return SpiffeId.parse(uri)
    except IdentityError as error:
        raise RequestError(f"the request is for no identity: {error}") from None
