"""What the server of an authority does for those who ask, once it knows how they are: the rules. Blocks on the disk.

A request, and whether it can be signed, is checked before its token is used, so that a mistake costs no token; and the
token is used before anything is signed, so that it never serves twice.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import structlog
from cryptography import x509

from namer.files import look
from nodeagent.ca.disk import CaError, UnknownIssuerError, read
from nodeagent.ca.membership import Membership
from nodeagent.ca.messages import Given, Trust
from nodeagent.ca.store import Store
from nodeagent.ca.tokens import TokenError
from tls.authority import LEAF_LIFETIME, make_key
from tls.identity import IdentityError, SpiffeId, dns_names, peer_identity
from tls.request import Granted, Permit, RequestError, authority_name, check_request

log = structlog.get_logger("nodeagent.ca")


class Refused(Exception):
    """Somebody does not get what they ask for: a status of HTTP, and why in one line."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class CaService:
    """An authority that answers. What other commands do to its directory is seen by the next request."""

    def __init__(
        self, folder: Path, passphrase: bytes | None, now: Callable[[], datetime], lifetime: timedelta = LEAF_LIFETIME
    ) -> None:
        """Raises CaError."""
        self._folder = folder
        self._passphrase = passphrase
        self._now = now
        self._lifetime = lifetime
        self._seen = look(folder / "ca.json")
        self._store = Store(folder, passphrase)

    @property
    def store(self) -> Store:
        """The directory as it is now. Raises CaError."""
        seen = look(self._folder / "ca.json")
        if seen != self._seen:
            self._store, self._seen = Store(self._folder, self._passphrase), seen
        return self._store

    def trust(self) -> Trust:
        """Whom members believe. Raises Refused."""
        try:
            store = self.store
            store.publish(self._now())
            return Trust(**_public(store))
        except CaError as error:
            raise _own_fault(error) from None

    def join(self, secret: str, request: bytes, peer: str) -> Given:
        """Give a token's owner their first certificate. Raises Refused."""
        try:
            store = self.store
            granted = check_request(request, store.tokens.permit(secret, self._now()))
            store.check_signing()
            store.tokens.use(secret)
            return self._give(store, granted, "token", peer)
        except TokenError as error:
            raise Refused(403, str(error)) from None
        except RequestError as error:
            raise Refused(400, str(error)) from None
        except CaError as error:
            raise _own_fault(error) from None

    def renew(self, certificate: bytes | None, request: bytes, peer: str) -> Given:
        """Give the owner of a certificate, which the handshake has verified, another one. Raises Refused."""
        if certificate is None:
            raise Refused(401, "to renew a certificate, show it; who has none joins by a token")
        try:
            store, leaf = self.store, x509.load_der_x509_certificate(certificate)
            identity = peer_identity(leaf)
            if store.is_revoked(leaf):
                raise Refused(403, f"the certificate of {identity} is revoked")
            return self._give(store, check_request(request, Permit(identity, dns_names(leaf))), "renewal", peer)
        except UnknownIssuerError:
            raise Refused(403, "the certificate was not issued here") from None
        except (IdentityError, ValueError, x509.InvalidVersion) as error:
            raise Refused(400, str(error)) from None
        except CaError as error:
            raise _own_fault(error) from None

    def give_own(self, files: Membership) -> None:
        """Give the server itself a certificate, for the name that only it has. Raises CaError."""
        store, key = self.store, make_key()
        identity, dns = SpiffeId.authority(store.domain), (authority_name(store.domain),)
        given = self._give(store, Granted(identity, key.public_key(), dns), "server", "")
        if files.certificate.exists():
            files.write_trust(given)
            files.write_pair(key, given.certificate)
        else:
            Membership.create(files.folder, key, given, address=None, domain=store.domain)

    def _give(self, store: Store, granted: Granted, how: str, peer: str) -> Given:
        now = self._now()
        leaf = store.issue(granted, now, how=how, peer=peer, lifetime=self._lifetime)
        log.info(
            "a certificate is issued",
            identity=str(granted.identity),
            dns=granted.dns,
            serial=f"{leaf.serial_number:x}",
            until=f"{leaf.not_valid_after_utc:%Y-%m-%d %H:%M:%S} UTC",
            how=how,
            peer=peer,
        )
        store.publish(now)
        return Given(certificate=store.chain(leaf).decode(), **_public(store))


def _public(store: Store) -> dict[str, str]:
    """What agents are given of the directory as it was last published."""
    return {name: read(store.folder / f"{name}.pem").decode() for name in ("bundle", "crl")}


def _own_fault(error: CaError) -> Refused:
    log.error("the authority cannot do its work", error=str(error))
    return Refused(503, "the authority cannot do this now; its log says why")
