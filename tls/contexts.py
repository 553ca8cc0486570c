"""`ssl.SSLContext`s out of parameters. An edge: reads the files, and blocks while it does.

Differs from `ssl.create_default_context` in four things. A certificate of a named file is trusted as it is, also one
that is no root, as Java does and so linkerd 1.x. An end without close_notify is an error, for it may be a cut
(RFC 8446, 6.1). Renegotiation is refused. A server gives no session tickets where it asks for certificates, so that
each connection is a handshake under the trust of its time (RFC 8446, 4.6.1).
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Final, TypeAlias

from tls.files import TlsConfigError, read_file
from tls.names import by_name
from tls.params import PROTOCOLS, ContextParams, OwnCertificate, ServerParams

if TYPE_CHECKING:
    from cryptography import x509

    from tls.revocation import Revocations

Params: TypeAlias = ContextParams | ServerParams

_VERSIONS: Final = dict(zip(PROTOCOLS, (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3), strict=True))

_CLIENT_AUTH: Final = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}


@dataclass(frozen=True, slots=True)
class Validity:
    """From when until when a certificate is valid."""

    file: str
    begins: datetime
    expires: datetime


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One side of TLS, as its files were at one time. It is never changed; new files make a new one."""

    context: ssl.SSLContext
    revoked: Revocations | None
    """Whom it does not believe any more; None where no lists are named."""
    own: tuple[Validity, ...]
    """Its own certificates."""
    digest: bytes
    """Of all that was read: the same for the same content."""
    names: Mapping[str, ssl.SSLContext] = field(default_factory=dict)
    """Of a server with several certificates, by name: what is spoken with who asks for that."""

    @property
    def expires(self) -> datetime | None:
        """When the first of its own certificates ends; None without one."""
        return min((each.expires for each in self.own), default=None)


class Contexts:
    """Contexts by what they were made of: as many as a configuration has different `tls` sections.

    Each is made when it is first asked for, and stays until `reload` swaps it for one of the files as they are then.
    """

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._sides: dict[Params, Side] = {}
        self.on_made: Callable[[Params], None] = lambda params: None  # noqa: ARG005
        """Called when a side was made for the first time, by whoever asked for it."""

    def client(self, params: ContextParams) -> ssl.SSLContext:
        """Return the context for `params`; the first time, files are read. Raises TlsConfigError, each time anew."""
        return self.side(params).context

    def side(self, params: Params) -> Side:
        """Return what new connections are made with; as `client`."""
        side = self._sides.get(params)
        if side is None:
            side = self._sides[params] = make_side(params, self._now())
            self.on_made(params)
        return side

    def made(self) -> dict[Params, Side]:
        """All that there are now, for their ends and lists."""
        return dict(self._sides)

    def reload(self, params: Params) -> bool:
        """Read the files anew, and swap what new connections are made with; False when nothing has changed.

        Blocks, and may run in a thread. Raises TlsConfigError; then all stays as it was.
        """
        side = make_side(params, self._now())
        former = self._sides.get(params)
        if former is not None and former.digest == side.digest:
            return False
        self._sides[params] = side
        return True


def client_context(params: ContextParams) -> ssl.SSLContext:
    """Make a context for connections to backends that speak HTTP/1.1. Raises TlsConfigError."""
    return make_side(params, datetime.now(UTC)).context


def make_side(params: Params, now: datetime) -> Side:
    """Read the files, and make of them all that there is to one side. Raises TlsConfigError."""
    server = isinstance(params, ServerParams)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = _VERSIONS[min(params.protocols)]
    context.maximum_version = _VERSIONS[max(params.protocols)]
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    content = sha256()
    own: tuple[Validity, ...] = ()
    names: dict[str, ssl.SSLContext] = {}
    if isinstance(params, ServerParams):
        own, names = _serve(context, params, now, content.update)
    else:
        context.set_alpn_protocols(["http/1.1"])
        if params.verify:
            context.check_hostname = params.by_name
            _trust(context, params.trust, content.update)
        else:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if params.certificate is not None:
            leaf = _appear_as(context, params.certificate, now, content.update, server=False)
            own = (_validity(params.certificate, leaf),)
    return Side(context, _revoked(params.revoked, content.update), own, content.digest(), names)


def _serve(
    context: ssl.SSLContext, params: ServerParams, now: datetime, read: Callable[[bytes], None]
) -> tuple[tuple[Validity, ...], dict[str, ssl.SSLContext]]:
    """Set up what is special to a server; return its certificates, and of several which name each is for."""
    if params.alpn:
        context.set_alpn_protocols(params.alpn)
    if params.ciphers:
        context.set_ciphers(":".join(params.ciphers))
    _ask(context, params, read)
    leaf = _appear_as(context, params.certificate, now, read, server=True)
    own, names = [_validity(params.certificate, leaf)], dict[str, ssl.SSLContext]()
    if params.others:
        # Without itself among them, so that nothing is a circle: a context that was swapped goes at once.
        known: dict[str, ssl.SSLContext | None] = dict.fromkeys(_names(params.certificate, leaf))
        for other in params.others:
            one = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            _ask(one, params, read)  # whom to trust changes along with the certificate
            leaf = _appear_as(one, other, now, read, server=True)
            own.append(_validity(other, leaf))
            known = {**dict.fromkeys(_names(other, leaf), one), **known}
        context.sni_callback = _chooser(known)
        names = {name: one or context for name, one in known.items()}
    return tuple(own), names


def _chooser(
    known: dict[str, ssl.SSLContext | None],
) -> Callable[[ssl.SSLObject, str | None, ssl.SSLContext], int | None]:
    """What OpenSSL asks for the certificate of a name; who asks for none gets the first one."""
    found = {name: (context,) for name, context in known.items()}

    def choose(connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> int | None:  # noqa: ARG001
        if name is None:
            return None
        chosen = by_name(found, name)
        if chosen is None:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        if chosen[0] is not None:
            connection.context = chosen[0]
        return None

    return choose


def _names(own: OwnCertificate, leaf: x509.Certificate) -> list[str]:
    from tls.identity import dns_names

    names = [name.lower() for name in dns_names(leaf)]
    if not names:
        raise TlsConfigError(f"{own.certificate}: has no DNS name (subjectAltName), so nobody could ask for it")
    return names


def _validity(own: OwnCertificate, leaf: x509.Certificate) -> Validity:
    return Validity(own.certificate, leaf.not_valid_before_utc, leaf.not_valid_after_utc)


def _ask(context: ssl.SSLContext, params: ServerParams, read: Callable[[bytes], None]) -> None:
    context.verify_mode = _CLIENT_AUTH[params.client_auth]
    if params.client_auth != "none":
        _trust(context, params.trust, read)
        context.num_tickets = 0
        context.options |= ssl.OP_NO_TICKET


def _trust(context: ssl.SSLContext, files: tuple[str, ...], read: Callable[[bytes], None]) -> None:
    if not files:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        return
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    for file in files:
        pem = read_file(file)
        read(pem)
        if pem.count(b"-----BEGIN ") != pem.count(b"-----END "):  # OpenSSL takes what is whole
            raise TlsConfigError(f"{file}: not certificates in PEM form (the last one is not whole)")
        try:
            with _as_file(pem) as name:
                context.load_verify_locations(name)
        except ssl.SSLError as error:
            raise TlsConfigError(f"{file}: not certificates in PEM form ({_reason(error)})") from None


def _appear_as(
    context: ssl.SSLContext, own: OwnCertificate, now: datetime, read: Callable[[bytes], None], *, server: bool
) -> x509.Certificate:
    """Load a certificate and its key, and return it."""
    from tls.pair import read_pair  # it takes 8 MB, which an agent without a certificate should not need

    pair = read_pair(own, "server" if server else "client", now)
    read(pair.chain + pair.key)
    try:
        with _as_file(pair.chain) as chain_file, _as_file(pair.key) as key_file:
            context.load_cert_chain(chain_file, key_file, lambda: pair.passphrase or b"")
    except ssl.SSLError as error:
        raise TlsConfigError(f"{own.key}: cannot be used for TLS ({_reason(error)})") from None
    return pair.leaf


def _revoked(files: tuple[str, ...], read: Callable[[bytes], None]) -> Revocations | None:
    if not files:
        return None
    from tls.revocation import RevocationError, Revocations, read_lists

    lists = []
    for file in files:
        pem = read_file(file)
        read(pem)
        try:
            lists += read_lists(pem)
        except RevocationError as error:
            raise TlsConfigError(f"{file}: {error}") from None
    return Revocations.of(lists)


@contextmanager
def _as_file(data: bytes) -> Iterator[str]:
    """A name for bytes, in memory only: `ssl` takes certificates and keys from files, each kind from one."""
    fd = os.memfd_create("pem")
    try:
        with os.fdopen(os.dup(fd), "wb") as file:
            file.write(data)
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)


def _reason(error: ssl.SSLError) -> str:
    return error.reason.replace("_", " ").lower() if error.reason else str(error)
