"""The directory of an authority."""

from __future__ import annotations

import shutil
import stat
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509

from nodeagent.ca.disk import CaError
from nodeagent.ca.store import CRL_AGE, SLACK, Store
from tests.tls.authorities import DOMAIN, NOW
from tests.tls.test_authority import needs_openssl, verify
from tls.authority import LEAF_LIFETIME, make_key
from tls.identity import IdentityError, SpiffeId
from tls.request import Granted
from tls.revocation import Revocations, read_lists

HOUR = timedelta(hours=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An authority that is new."""
    Store.init(tmp_path / "ca", DOMAIN, NOW)
    return tmp_path / "ca"


def issued(
    store: Store, name: str = "web-1", now: datetime = NOW, lifetime: timedelta = LEAF_LIFETIME
) -> x509.Certificate:
    """A certificate for a host."""
    granted = Granted(SpiffeId.host(DOMAIN, name), make_key().public_key(), ())
    return store.issue(granted, now, how="token", peer="10.0.0.7", lifetime=lifetime)


def certificates(pem: bytes) -> list[x509.Certificate]:
    """Those in a file."""
    return x509.load_pem_x509_certificates(pem)


def test_keys_are_for_their_owner_alone(folder: Path) -> None:
    secret = [each for each in folder.rglob("*") if each.is_dir() or each.name in ("key.pem", "ca.json", "lock")]

    assert len(secret) == 6
    assert all(not stat.S_IMODE(each.stat().st_mode) & 0o077 for each in (folder, *secret))


def test_an_authority_is_not_overwritten(folder: Path) -> None:
    with pytest.raises(CaError, match="has an authority already, which is not overwritten"):
        Store.init(folder, DOMAIN, NOW)


def test_a_bad_domain_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(IdentityError, match="no trust domain"):
        Store.init(tmp_path / "ca", "Mesh", NOW)
    assert not (tmp_path / "ca").exists()


def test_there_must_be_an_authority(tmp_path: Path) -> None:
    with pytest.raises(CaError, match=f"there is no authority here; `nodeagent ca init {tmp_path}` makes one"):
        Store(tmp_path)


def test_a_key_that_others_may_read_signs_nothing(folder: Path) -> None:
    key = folder / "intermediate-1" / "key.pem"
    key.chmod(0o644)

    with pytest.raises(CaError, match=f"chmod 600 {key}"):
        issued(Store(folder))


def test_a_key_of_another_certificate_signs_nothing(folder: Path) -> None:
    key = folder / "intermediate-1" / "key.pem"
    key.write_bytes((folder / "root-1" / "key.pem").read_bytes())

    with pytest.raises(CaError, match=f"{key}: not the key of the certificate beside it"):
        issued(Store(folder))


def test_a_passphrase(tmp_path: Path) -> None:
    Store.init(tmp_path, DOMAIN, NOW, b"open sesame")

    assert b"ENCRYPTED" in (tmp_path / "root-1" / "key.pem").read_bytes()
    issued(Store(tmp_path, b"open sesame"))
    with pytest.raises(CaError, match="is not that of the key"):
        issued(Store(tmp_path, b"open barley"))
    with pytest.raises(CaError, match="key is encrypted, and no passphrase is given; give it by --passphrase-file"):
        issued(Store(tmp_path))


def test_what_was_issued_is_written_down(folder: Path) -> None:
    leaf = issued(Store(folder))

    entry = Store(folder).issued.find(leaf.serial_number)
    assert entry is not None
    assert (entry.identity, entry.until, entry.by) == (
        str(SpiffeId.host(DOMAIN, "web-1")),
        NOW + LEAF_LIFETIME,
        "intermediate-1",
    )
    assert (entry.how, entry.peer) == ("token", "10.0.0.7")


def test_a_cut_line_of_the_log_is_passed_over(folder: Path) -> None:
    store = Store(folder)
    with (folder / "issued.jsonl").open("ab") as log:
        log.write(b'{"serial": "12\n')
    leaf = issued(store)

    assert store.issued.find(leaf.serial_number) is not None


def test_an_intermediate_that_has_expired_says_what_to_do(folder: Path) -> None:
    with pytest.raises(CaError, match=r"has expired on 2028-02-29 .*; nodeagent ca rotate --intermediate"):
        issued(Store(folder), now=NOW + timedelta(days=731))


# Revoking.


def revoked(folder: Path, *leaves: x509.Certificate) -> list[bool]:
    """What the published lists say of certificates."""
    lists = Revocations.of(read_lists((folder / "crl.pem").read_bytes()))
    return [lists.revokes(each) for each in leaves]


def test_a_certificate_is_revoked(folder: Path) -> None:
    store = Store(folder)
    good, bad = issued(store), issued(store)
    store.revoke([bad.serial_number], NOW)
    store.revoke([bad.serial_number], NOW)

    assert revoked(folder, good, bad) == [False, True]
    assert [Store(folder).is_revoked(each) for each in (good, bad)] == [False, True]


def test_what_was_not_issued_here_is_not_revoked(folder: Path) -> None:
    with pytest.raises(CaError, match="no certificate with the serial number 12ab was issued here"):
        Store(folder).revoke([0x12AB], NOW)


def test_all_certificates_of_somebody(folder: Path) -> None:
    store, identity = Store(folder), SpiffeId.host(DOMAIN, "web-1")
    old, first, other = issued(store, now=NOW - 2 * LEAF_LIFETIME), issued(store), issued(store, "web-2")
    store.rotate_intermediate(NOW)
    second = issued(store)

    serials = store.serials_of(identity, NOW)
    assert serials == [first.serial_number, second.serial_number]
    store.revoke(serials, NOW)
    assert revoked(folder, first, second, other, old) == [True, True, False, False]
    with pytest.raises(CaError, match="has no certificate that is valid"):
        store.serials_of(SpiffeId.host(DOMAIN, "db"), NOW)


def test_lists_are_signed_anew_before_they_are_out_of_date(folder: Path) -> None:
    store = Store(folder)
    bad = issued(store)
    store.revoke([bad.serial_number], NOW)
    store.publish(NOW + CRL_AGE)

    (crl,) = read_lists((folder / "crl.pem").read_bytes())
    assert crl.next_update_utc == NOW + timedelta(days=8)
    assert crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 3
    assert revoked(folder, bad) == [True]


# New keys.


@needs_openssl
def test_a_new_intermediate_needs_nothing_from_members(folder: Path, tmp_path: Path) -> None:
    store = Store(folder)
    before = issued(store)
    store.rotate_intermediate(NOW)
    after = issued(store)

    roots = certificates(store.bundle(NOW))
    assert len(roots) == 1
    assert after.issuer != before.issuer
    for leaf in (before, after):
        assert verify(tmp_path, roots, certificates(store.chain(leaf))) == "OK"


@needs_openssl
def test_a_new_root_is_verified_by_old_and_new_members_until_the_old_one_is_out(folder: Path, tmp_path: Path) -> None:
    store = Store(folder)
    first_roots, before = certificates(store.bundle(NOW)), issued(store)
    out = store.rotate_root(NOW)
    both_roots, after = certificates(store.bundle(NOW)), issued(store)
    last_roots = certificates(store.bundle(out))

    assert out == before.not_valid_after_utc + SLACK
    assert [len(each) for each in (first_roots, both_roots, last_roots)] == [1, 2, 1]
    for roots in (first_roots, both_roots):
        for leaf in (before, after):
            assert verify(tmp_path, roots, certificates(store.chain(leaf))) == "OK"
    assert verify(tmp_path, last_roots, certificates(store.chain(after))) == "OK"


def test_the_old_root_stays_for_the_longest_certificate_under_it(folder: Path) -> None:
    store = Store(folder)
    issued(store, lifetime=timedelta(days=90))
    store.rotate_intermediate(NOW)
    issued(store)

    assert store.rotate_root(NOW) == NOW + timedelta(days=90) + SLACK


def test_one_change_of_roots_at_a_time(folder: Path) -> None:
    store = Store(folder)
    out = store.rotate_root(NOW)

    with pytest.raises(CaError, match="the last change of roots is under way until 2026-03-02 13:00 UTC; wait, or"):
        store.rotate_root(NOW + HOUR)
    store.rotate_root(out)
    assert len(certificates(store.bundle(out))) == 2


def test_a_root_that_is_distrusted_is_out_at_once(folder: Path) -> None:
    store = Store(folder)
    former = store.roots[-1].certificate
    store.rotate_root(NOW, distrust=True)

    assert former not in certificates((folder / "bundle.pem").read_bytes())
    assert len(certificates(store.chain(issued(store)))) == 2


@pytest.mark.parametrize("distrust", [True, False])
@pytest.mark.parametrize("wrong", [None, b"open barley"])
def test_new_keys_have_the_passphrase_of_the_others(tmp_path: Path, wrong: bytes | None, distrust: bool) -> None:
    Store.init(tmp_path, DOMAIN, NOW, b"open sesame")
    for rotate in (
        partial(Store(tmp_path, wrong).rotate_root, distrust=distrust),
        Store(tmp_path, wrong).rotate_intermediate,
    ):
        with pytest.raises(CaError, match="passphrase"):
            rotate(NOW)
    assert not (tmp_path / "root-2").exists()
    assert not (tmp_path / "intermediate-2").exists()


def test_a_change_of_roots_that_was_cut_half_way_is_brought_to_its_end(folder: Path, tmp_path: Path) -> None:
    """As by a loss of power: the new root is there, and nothing under it."""
    store, before = Store(folder), Store(folder)
    leaf = issued(before)
    store.rotate_root(NOW)
    shutil.rmtree(folder / "intermediate-2")
    (folder / "ca.json").write_text('{"domain":"mesh.example"}')

    again = Store(folder)
    assert issued(again).issuer == leaf.issuer
    again.rotate_root(NOW)
    assert len(certificates(again.bundle(NOW))) == 2
    assert len(certificates(again.bundle(NOW + 2 * LEAF_LIFETIME))) == 1
    assert len(certificates(again.chain(issued(again)))) == 3


def test_a_root_key_that_is_kept_elsewhere_is_missed_only_where_it_signs(folder: Path) -> None:
    (folder / "root-1" / "key.pem").unlink()
    store = Store(folder)

    issued(store)
    with pytest.raises(CaError, match=r"root-1/key.pem: missing; bring the key back for what it has to sign"):
        store.rotate_intermediate(NOW)
