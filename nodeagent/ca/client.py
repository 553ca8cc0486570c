"""Asks the server of an authority: to join by a token, to renew by the certificate, and whom to trust. An edge.

A host that joins knows a fingerprint. It takes the roots from whoever answers, looks for the one with the fingerprint,
and shows its token only over a connection that is verified by that root, for the name that only the authority has.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio
from cryptography import x509

from namer.httpapi import ApiError, NoAnswerError, Session, StatusError, session
from nodeagent.ca.disk import CaError
from nodeagent.ca.membership import Membership, pem
from nodeagent.ca.messages import JOIN, MAX_ANSWER, RENEW, TRUST, Given, Trust
from nodeagent.ca.tokens import Token, fingerprint
from tls.authority import make_key
from tls.contexts import Contexts
from tls.files import TlsConfigError
from tls.identity import IdentityError, SpiffeId
from tls.pair import read_certificates
from tls.request import authority_name, make_request

SECONDS = 15.0
"""How long one answer may take."""

AGAIN = (429, 500, 503)
"""Statuses of what another time may go well."""


async def join(address: str, token: Token, folder: Path) -> Membership:
    """Become a member: make a key, and get a certificate for it into a new directory. Raises CaError."""
    membership = Membership(folder)
    membership.check_free()
    await rejoin(address, token, membership)
    return membership


async def rejoin(address: str, token: Token, membership: Membership) -> None:
    """Join, and put what is got in the place of what there is, if anything: a certificate has expired, say.

    Raises CaError.
    """
    root = await _root(address, token.fingerprint)
    domain = _domain(root)
    key = make_key()
    headers = {"authorization": f"Bearer {token.secret}"}
    async with _verified(address, domain, _context(pem(root))) as authority:
        reply = await authority.call(
            "POST", JOIN, headers=headers, content=make_request(key), timeout=SECONDS, limit=MAX_ANSWER
        )
        given = reply.json(Given)
    await trio.to_thread.run_sync(partial(membership.take, key, given, address=address, domain=domain))


async def renew(membership: Membership) -> None:
    """Get a new certificate, for a new key, in the place of the current one. Raises CaError."""
    key = make_key()
    async with _as_member(membership) as authority:
        reply = await authority.call("POST", RENEW, content=make_request(key), timeout=SECONDS, limit=MAX_ANSWER)
        given = reply.json(Given)
    await trio.to_thread.run_sync(membership.write_trust, given)
    await trio.to_thread.run_sync(membership.write_pair, key, given.certificate)


async def refresh_trust(membership: Membership) -> None:
    """Bring the roots and the lists of revoked certificates up to date. Raises CaError."""
    async with _as_member(membership) as authority:
        reply = await authority.call("GET", TRUST, timeout=SECONDS, limit=MAX_ANSWER)
        trust = reply.json(Trust)
    await trio.to_thread.run_sync(membership.write_trust, trust)


async def _root(address: str, wanted: bytes) -> x509.Certificate:
    """The root with a fingerprint, from whoever has it. Raises CaError."""
    anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anybody.check_hostname = False
    anybody.verify_mode = ssl.CERT_NONE
    async with _errors(), session(f"https://{address}", tls=anybody) as server:
        reply = await server.call("GET", TRUST, timeout=SECONDS, limit=MAX_ANSWER)
        trust = reply.json(Trust)
    try:
        roots = read_certificates(address, trust.bundle.encode())
    except TlsConfigError as error:
        raise CaError(str(error)) from None
    for root in roots:
        if fingerprint(root) == wanted:
            return root
    raise CaError(
        f"{address}: is not the authority that the join token is from (its root has another fingerprint); check the "
        "address, or get a new token; nothing was sent"
    )


def _domain(root: x509.Certificate) -> str:
    try:
        names = root.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        (uri,) = names.get_values_for_type(x509.UniformResourceIdentifier)
        return SpiffeId.parse(uri).domain
    except (x509.ExtensionNotFound, ValueError, IdentityError):
        raise CaError("the root of the authority does not name its trust domain") from None


def _context(bundle: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=bundle)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


@asynccontextmanager
async def _as_member(membership: Membership) -> AsyncIterator[Session]:
    address, domain = membership.authority()
    try:
        context = await trio.to_thread.run_sync(Contexts().client, membership.client)
    except TlsConfigError as error:
        again = "; get a join token and join anew" if "has expired" in str(error) else ""
        raise CaError(f"{error}{again}") from None
    async with _verified(address, domain, context) as authority:
        yield authority


@asynccontextmanager
async def _verified(address: str, domain: str, context: ssl.SSLContext) -> AsyncIterator[Session]:
    """A connection to the authority and nobody else: the name that is verified is given to no other."""
    async with (
        _errors(),
        session(f"https://{address}", tls=context, server_name=authority_name(domain)) as authority,
    ):
        yield authority


@asynccontextmanager
async def _errors() -> AsyncIterator[None]:
    try:
        yield
    except StatusError as error:
        refusal = CaAwayError if error.status in AGAIN else CaRefusedError
        raise refusal(str(error)) from None
    except NoAnswerError as error:
        stranger = "CERTIFICATE_VERIFY_FAILED" in str(error)
        hint = (
            "whoever answers there is not the authority of this host"
            if stranger
            else "does `nodeagent ca serve` run there?"
        )
        trouble = CaError if stranger else CaAwayError
        raise trouble(f"{error}; {hint}") from None
    except ApiError as error:
        raise CaError(str(error)) from None


class CaRefusedError(CaError):
    """The authority has answered, and says no."""


class CaAwayError(CaError):
    """It does not answer, or cannot do it now: another time it may."""
