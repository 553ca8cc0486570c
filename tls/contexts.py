"""`ssl.SSLContext`s out of parameters. An edge: reads the files, and blocks while it does.

Differs from `ssl.create_default_context` in three things. A certificate of a named file is trusted as it is, also one
that is no root, as Java does and so linkerd 1.x. An end without close_notify is an error, for it may be a cut
(RFC 8446, 6.1). Renegotiation is refused.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NoReturn

from tls.params import PROTOCOLS, ClientCertificate, ContextParams

MAX_FILE: Final = 8 * 1024 * 1024
"""Bytes of one file; the largest trust bundles have a quarter of a megabyte."""

_VERSIONS: Final = dict(zip(PROTOCOLS, (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3), strict=True))


class TlsConfigError(ValueError):
    """A file cannot be used. The message begins with its name."""


class Contexts:
    """Contexts by what they were made of: as many as a configuration has different `tls` sections."""

    def __init__(self) -> None:
        self._made: dict[ContextParams, ssl.SSLContext] = {}

    def client(self, params: ContextParams) -> ssl.SSLContext:
        """Return the context for `params`; the first time, files are read. Raises TlsConfigError, each time anew."""
        context = self._made.get(params)
        if context is None:
            context = self._made[params] = client_context(params)
        return context


def client_context(params: ContextParams) -> ssl.SSLContext:
    """Make a context for connections to backends that speak HTTP/1.1. Raises TlsConfigError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = _VERSIONS[min(params.protocols)]
    context.maximum_version = _VERSIONS[max(params.protocols)]
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    context.set_alpn_protocols(["http/1.1"])
    if params.verify:
        _trust(context, params.trust)
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if params.certificate is not None:
        _appear_as(context, params.certificate)
    return context


def _trust(context: ssl.SSLContext, files: tuple[str, ...]) -> None:
    if not files:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        return
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    for file in files:
        _load_certificates(context, file, _read(file))


def _appear_as(context: ssl.SSLContext, own: ClientCertificate) -> None:
    chain = b""
    for file in (own.certificate, own.intermediates):
        if file is not None:
            pem = _read(file)
            _load_certificates(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), file, pem)  # tells which file is bad
            chain += pem + b"\n"
    key = _read(own.key)

    def encrypted() -> NoReturn:
        raise TlsConfigError(f"{own.key}: the key is encrypted; give it without a passphrase")

    try:
        with _as_file(chain) as chain_file, _as_file(key) as key_file:
            context.load_cert_chain(chain_file, key_file, encrypted)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise TlsConfigError(f"{own.key}: not the key of the certificate in {own.certificate}") from None
        raise TlsConfigError(f"{own.key}: not a private key in PEM form ({_reason(error)})") from None


def _load_certificates(context: ssl.SSLContext, file: str, pem: bytes) -> None:
    try:
        with _as_file(pem) as name:
            context.load_verify_locations(name)
    except ssl.SSLError as error:
        raise TlsConfigError(f"{file}: not certificates in PEM form ({_reason(error)})") from None


def _read(file: str) -> bytes:
    try:
        with Path(file).open("rb") as opened:
            data = opened.read(MAX_FILE + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise TlsConfigError(f"{file}: cannot be read: {reason}") from None
    if len(data) > MAX_FILE:
        raise TlsConfigError(f"{file}: over {MAX_FILE} bytes; expected certificates or a key")
    return data


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
