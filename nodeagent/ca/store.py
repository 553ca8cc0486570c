"""The directory of an authority: its keys and certificates, generation by generation, and what it has issued.

    ca.json                     the trust domain, and from when on former generations are out
    root-1/                     cert.pem, key.pem; of later ones cross.pem, by which the former root vouches for it
    intermediate-1/             cert.pem, key.pem, crl.pem
    bundle.pem, crl.pem         what agents are given: the roots to trust, the lists of revoked certificates
    tokens/, issued.jsonl       join tokens; a line for each certificate

The newest generation signs. Nothing is ever overwritten but what is made of the rest. An edge: blocks on the disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from nodeagent.ca.disk import CaError, UnknownIssuerError, create, locked, make_private, read, read_secret, replace
from nodeagent.ca.issued import Issued, IssuedLog
from nodeagent.ca.tokens import Tokens
from tls.authority import (
    LEAF_LIFETIME,
    Authority,
    AuthorityError,
    Key,
    Revoked,
    cross_sign,
    issue,
    make_intermediate,
    make_root,
    sign_crl,
)
from tls.files import TlsConfigError
from tls.identity import SpiffeId, check_domain
from tls.pair import read_certificates, read_key
from tls.request import Granted
from tls.revocation import read_lists

SLACK: Final = timedelta(hours=1)
"""How long after its last certificate a former generation stays."""

CRL_AGE: Final = timedelta(days=1)
"""How old a list of revoked certificates gets before it is signed anew."""


class _State(msgspec.Struct, frozen=True, rename="camel"):
    domain: str
    retired: dict[str, datetime] = {}
    """From when on former generations are out, by the names of their directories."""


@dataclass(frozen=True, slots=True)
class Generation:
    """One root or intermediate, of which the key is read when something is signed."""

    folder: Path
    certificate: x509.Certificate

    @property
    def number(self) -> int:
        """Grows from one to the next."""
        return int(self.folder.name.rpartition("-")[2])


class Store:
    """An authority on the disk. Methods raise CaError."""

    def __init__(self, folder: Path, passphrase: bytes | None = None) -> None:
        """Read it. The passphrase is asked for by what signs. Raises CaError."""
        self.folder = folder
        self._passphrase = passphrase
        if not (folder / "ca.json").exists():
            raise CaError(f"{folder}: there is no authority here; `nodeagent ca init {folder}` makes one")
        try:
            self._state = msgspec.json.decode(read(folder / "ca.json"), type=_State)
        except msgspec.DecodeError as error:
            raise CaError(f"{folder / 'ca.json'}: {error}") from None
        self.roots = self._generations("root")
        self.intermediates = self._generations("intermediate")
        self.tokens = Tokens(folder / "tokens")
        self.issued = IssuedLog(folder)

    @staticmethod
    def init(folder: Path, domain: str, now: datetime, passphrase: bytes | None = None) -> Store:
        """Make a new authority in a directory that has none. Raises CaError, IdentityError."""
        check_domain(domain)
        if (folder / "ca.json").exists() or (folder / "root-1").exists():
            raise CaError(f"{folder}: has an authority already, which is not overwritten")
        make_private(folder)
        root = make_root(domain, now)
        _write_authority(folder / "root-1", root, passphrase)
        _write_authority(folder / "intermediate-1", make_intermediate(root, domain, now), passphrase)
        create(folder / "ca.json", msgspec.json.encode(_State(domain)))
        store = Store(folder, passphrase)
        store.publish(now)
        return store

    @property
    def domain(self) -> str:
        """The trust domain."""
        return self._state.domain

    # What agents are given

    def bundle(self, now: datetime) -> bytes:
        """The roots to trust, the newest first."""
        return b"".join(_pem(each.certificate) for each in reversed(self.roots) if not self._is_out(each, now))

    def chain(self, leaf: x509.Certificate) -> bytes:
        """A certificate, with what is needed to verify it by any of the roots in the bundle."""
        issuer = self._intermediate_of(leaf)
        root = next(each for each in self.roots if each.certificate.subject == issuer.certificate.issuer)
        cross = root.folder / "cross.pem"
        return _pem(leaf) + _pem(issuer.certificate) + (read(cross) if cross.exists() else b"")

    def publish(self, now: datetime) -> None:
        """Bring bundle.pem and crl.pem up to date; lists that are old are signed anew."""
        with locked(self.folder / "lock"):
            for each in self.intermediates:
                if not self._is_out(each, now) and self._list_is_old(each, now):
                    self._sign_list(each, self._revoked(each), now)
            self._write_public(now)

    # What it does

    def check_signing(self) -> None:
        """Find out before anything is used up whether the key that signs is there, and in order. Raises CaError."""
        self._authority(self.intermediates[-1])

    def issue(
        self, granted: Granted, now: datetime, *, how: str, peer: str = "", lifetime: timedelta = LEAF_LIFETIME
    ) -> x509.Certificate:
        """Sign a certificate, and write down that it was. Raises CaError."""
        by = self.intermediates[-1]
        try:
            authority = self._authority(by)
            leaf = issue(authority, granted.identity, granted.key, now, dns=granted.dns, lifetime=lifetime)
        except AuthorityError as error:
            raise CaError(
                f"{by.folder / 'cert.pem'}: {error}; nodeagent ca rotate --intermediate {self.folder}"
            ) from None
        self.issued.add(Issued.of(leaf, granted.identity, granted.dns, by.folder.name, now, how, peer))
        return leaf

    def serials_of(self, identity: SpiffeId, now: datetime) -> list[int]:
        """The serial numbers of all certificates of somebody that are valid still. Raises CaError without one."""
        own = (each for each in self.issued.entries() if each.identity == str(identity) and each.until > now)
        serials = [int(each.serial, 16) for each in own]
        if not serials:
            raise CaError(f"{self.folder}: {identity} has no certificate that is valid")
        return serials

    def revoke(self, serials: Sequence[int], now: datetime) -> None:
        """Put certificates on the lists of their issuers, and publish those. Once more does nothing."""
        issuers: dict[str, list[int]] = {}
        for serial in serials:
            entry = self.issued.find(serial)
            if entry is None:
                raise CaError(f"{self.folder}: no certificate with the serial number {serial:x} was issued here")
            issuers.setdefault(entry.by, []).append(serial)
        with locked(self.folder / "lock"):
            for by in (each for each in self.intermediates if each.folder.name in issuers):
                known = self._revoked(by)
                new = set(issuers[by.folder.name]).difference(each.serial for each in known)
                self._sign_list(by, [*known, *(Revoked(serial, now) for serial in sorted(new))], now)
            self._write_public(now)

    def is_revoked(self, leaf: x509.Certificate) -> bool:
        """Tell whether a certificate that was issued here is on the list of its issuer."""
        return leaf.serial_number in {each.serial for each in self._revoked(self._intermediate_of(leaf))}

    def rotate_intermediate(self, now: datetime) -> None:
        """Sign by a new intermediate from now on. Agents need to know nothing of it."""
        with locked(self.folder / "lock"):
            self._add_intermediate(self._authority(self.roots[-1]), now)
        self._reopen().publish(now)

    def rotate_root(self, now: datetime, *, distrust: bool = False) -> datetime:
        """Sign under a new root from now on, and return when the former one is out.

        That is when the last certificate under it has expired, or at once when it is distrusted.
        """
        with locked(self.folder / "lock"):
            self.check_signing()  # else a passphrase that is wrong would be that of the new keys
            until = max((self._state.retired.get(each.folder.name, now) for each in self.roots), default=now)
            if until > now and not distrust:
                raise CaError(
                    f"{self.folder}: the last change of roots is under way until {until:%Y-%m-%d %H:%M} UTC; wait, or "
                    "--distrust the former ones, after which all must join anew"
                )
            out = now if distrust else max(self._end_of(each, now) for each in self.intermediates)
            root, former = self._new_root(now, distrust=distrust)
            self._add_intermediate(root, now, at=out)
            self._retire({each.folder.name: out for each in former if not self._is_out(each, now)})
        self._reopen().publish(now)
        return out

    def _new_root(self, now: datetime, *, distrust: bool) -> tuple[Authority, list[Generation]]:
        """The root that is to sign from now on, and those before it."""
        newest = self.roots[-1]
        used = {each.certificate.issuer for each in self.intermediates}
        if newest.certificate.subject not in used and not distrust:  # the last change was cut half-way
            return self._authority(newest), self.roots[:-1]
        root = make_root(self.domain, now)
        cross = None if distrust else cross_sign(self._authority(newest), root.certificate, self.domain, now)
        _write_authority(self.folder / f"root-{newest.number + 1}", root, self._passphrase, cross)
        return root, self.roots

    # Inside

    def _reopen(self) -> Store:
        fresh = Store(self.folder, self._passphrase)
        self._state, self.roots, self.intermediates = fresh._state, fresh.roots, fresh.intermediates
        return self

    def _add_intermediate(self, root: Authority, now: datetime, at: datetime | None = None) -> None:
        former = self.intermediates[-1]
        try:
            made = make_intermediate(root, self.domain, now)
        except AuthorityError as error:
            raise CaError(f"{self.folder}: {error}; nodeagent ca rotate --root {self.folder}") from None
        _write_authority(self.folder / f"intermediate-{former.number + 1}", made, self._passphrase)
        self._retire({former.folder.name: at or self._end_of(former, now)})

    def _retire(self, names: dict[str, datetime]) -> None:
        self._state = _State(self.domain, self._state.retired | names)
        replace(self.folder / "ca.json", msgspec.json.encode(self._state))

    def _is_out(self, generation: Generation, now: datetime) -> bool:
        at = self._state.retired.get(generation.folder.name)
        return at is not None and at <= now

    def _end_of(self, intermediate: Generation, now: datetime) -> datetime:
        """When the last certificate of an intermediate has expired; a server may sign with it for a moment yet."""
        ends = (each.until for each in self.issued.entries() if each.by == intermediate.folder.name)
        return max([now + LEAF_LIFETIME, *ends]) + SLACK

    def _intermediate_of(self, leaf: x509.Certificate) -> Generation:
        for each in self.intermediates:
            if each.certificate.subject == leaf.issuer:
                return each
        raise UnknownIssuerError(f"{self.folder}: the certificate was not issued here")

    def _list_is_old(self, by: Generation, now: datetime) -> bool:
        file = by.folder / "crl.pem"
        return not file.exists() or read_lists(read(file))[0].last_update_utc + CRL_AGE <= now

    def _revoked(self, by: Generation) -> list[Revoked]:
        file = by.folder / "crl.pem"
        if not file.exists():
            return []
        return [Revoked(each.serial_number, each.revocation_date_utc) for each in read_lists(read(file))[0]]

    def _sign_list(self, by: Generation, revoked: list[Revoked], now: datetime) -> None:
        file, number = by.folder / "crl.pem", 1
        if file.exists():
            former = read_lists(read(file))[0].extensions.get_extension_for_class(x509.CRLNumber).value
            number = former.crl_number + 1
        replace(file, _pem(sign_crl(self._authority(by), revoked, number, now)), 0o644)

    def _write_public(self, now: datetime) -> None:
        live = [each for each in self.intermediates if not self._is_out(each, now)]
        lists = b"".join(read(each.folder / "crl.pem") for each in live)
        for name, content in (("bundle.pem", self.bundle(now)), ("crl.pem", lists)):
            file = self.folder / name
            if not file.exists() or read(file) != content:
                replace(file, content, 0o644)

    def _generations(self, what: str) -> list[Generation]:
        found = [each for each in self.folder.glob(f"{what}-*") if each.name.rpartition("-")[2].isdecimal()]
        made = [Generation(each, _certificate(each / "cert.pem")) for each in found]
        if not made:
            raise CaError(f"{self.folder / what}-1: missing; the authority is not whole")
        return sorted(made, key=lambda each: each.number)

    def _authority(self, generation: Generation) -> Authority:
        """A generation with its key. Raises CaError when others may read it, or it is another one's."""
        file = generation.folder / "key.pem"
        if not file.exists():
            raise CaError(f"{file}: missing; bring the key back for what it has to sign")
        key = read_private(file, self._passphrase)
        if key.public_key() != generation.certificate.public_key():
            raise CaError(f"{file}: not the key of the certificate beside it")
        return Authority(generation.certificate, key)


def read_private(file: Path, passphrase: bytes | None) -> Key:
    """A key of ours, which nobody else may read. Raises CaError."""
    pem = read_secret(file)
    try:
        key = read_key(str(file), pem, passphrase)
    except TlsConfigError as error:
        hint = "; give it by --passphrase-file" if passphrase is None and b"ENCRYPTED" in pem else ""
        raise CaError(f"{error}{hint}") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CaError(f"{file}: not a key on an elliptic curve")
    return key


def private_pem(key: Key, passphrase: bytes | None = None) -> bytes:
    """A key as it is written."""
    how: KeySerializationEncryption = NoEncryption() if passphrase is None else BestAvailableEncryption(passphrase)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)


def _write_authority(
    folder: Path, authority: Authority, passphrase: bytes | None, cross: x509.Certificate | None = None
) -> None:
    """Write a generation; its certificate comes last, so that one without it does not count."""
    make_private(folder)
    create(folder / "key.pem", private_pem(authority.key, passphrase))
    if cross is not None:
        create(folder / "cross.pem", _pem(cross), 0o644)
    create(folder / "cert.pem", _pem(authority.certificate), 0o644)


def _certificate(file: Path) -> x509.Certificate:
    try:
        return read_certificates(str(file), read(file))[0]
    except TlsConfigError as error:
        raise CaError(str(error)) from None


def _pem(what: x509.Certificate | x509.CertificateRevocationList) -> bytes:
    return what.public_bytes(Encoding.PEM)
