"""Who is revoked: certificate revocation lists as a value that is asked after a handshake. Pure.

OpenSSL could check them within the handshake (VERIFY_CRL_CHECK_LEAF). It is not asked to, for three reasons: a list
that is missing for one issuer, as right after a new intermediate, or that is out of date refuses everybody, so that an
outage of the authority becomes one of the fleet; a session that is resumed is not verified again, so that who was
revoked since stays in (RFC 8446, 4.6.1); and what it says does not name the peer. Here a list that is out of date still
counts, and a certificate of an issuer without a list is not revoked: short lifetimes bound what that lets pass.

Only leaves are looked up. An intermediate that cannot be trusted any more is taken out with its root, see
docs/operations.md. A list is believed as the file it comes from, like the certificates to trust beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from cryptography import x509

_CRL: Final = re.compile(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.DOTALL)


class RevocationError(ValueError):
    """Lists cannot be read; the message says why."""


@dataclass(frozen=True, slots=True)
class Revocations:
    """The serial numbers that each issuer has revoked; a certificate is known by the two (RFC 5280, 4.1.2.2)."""

    by_issuer: Mapping[x509.Name, frozenset[int]] = field(default_factory=dict)
    next_update: datetime | None = None
    """When the first of the lists is out of date; None without lists."""

    @staticmethod
    def of(lists: Iterable[x509.CertificateRevocationList]) -> Revocations:
        """What these lists say together; of one issuer all count."""
        by_issuer: dict[x509.Name, frozenset[int]] = {}
        ends: list[datetime] = []
        for each in lists:
            known = by_issuer.get(each.issuer, frozenset())
            by_issuer[each.issuer] = known.union(entry.serial_number for entry in each)
            if each.next_update_utc is not None:
                ends.append(each.next_update_utc)
        return Revocations(by_issuer, min(ends, default=None))

    def revokes_der(self, certificate: bytes) -> bool:
        """Tell the same of a certificate as it came in a handshake. Raises ValueError when it cannot be read."""
        try:
            return bool(self.by_issuer) and self.revokes(x509.load_der_x509_certificate(certificate))
        except x509.InvalidVersion as error:
            raise ValueError(str(error)) from None

    def revokes(self, certificate: x509.Certificate) -> bool:
        """Tell whether its issuer has revoked a certificate."""
        if not self.by_issuer:
            return False
        serials = self.by_issuer.get(certificate.issuer)
        return serials is not None and certificate.serial_number in serials


def read_lists(pem: bytes) -> list[x509.CertificateRevocationList]:
    """The lists in the content of a file (PEM), one after the other, at least one. Raises RevocationError."""
    found = _CRL.findall(pem)
    if not found or len(found) != pem.count(b"-----BEGIN"):
        raise RevocationError("not revocation lists (CRL) in PEM form")
    try:
        lists = [x509.load_pem_x509_crl(each) for each in found]
        for each in lists:  # what is read later is read here, where an error is that of the file
            Revocations.of([each])
            len(each.extensions)
    except (ValueError, x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise RevocationError("not revocation lists (CRL) in PEM form") from None
    return lists
