"""Who is revoked."""

from __future__ import annotations

import base64
from contextlib import suppress
from datetime import timedelta

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from tests.tls.authorities import NOW, Fleet, pem
from tls.authority import CRL_LIFETIME, Revoked, make_key, sign_crl
from tls.revocation import RevocationError, Revocations, read_lists


def listed(fleet: Fleet, *revoked: x509.Certificate, number: int = 1) -> bytes:
    """The list of a fleet."""
    return pem(sign_crl(fleet.intermediate, [Revoked(each.serial_number, NOW) for each in revoked], number, NOW))


def parsed(pem: bytes) -> Revocations:
    """What the lists in a file say."""
    return Revocations.of(read_lists(pem))


def test_a_certificate_is_revoked_by_its_own_issuer_only() -> None:
    one, other = Fleet.made(), Fleet.made()
    good, bad, foreign = one.issue("good", make_key()), one.issue("bad", make_key()), other.issue("bad", make_key())

    lists = parsed(listed(one, bad) + b"# a remark\n" + listed(other, good))

    assert [lists.revokes(each) for each in (good, bad, foreign)] == [False, True, False]
    assert lists.next_update == NOW + CRL_LIFETIME


def test_of_one_issuer_all_lists_count() -> None:
    fleet = Fleet.made()
    first, second = fleet.issue("a", make_key()), fleet.issue("b", make_key())
    lists = parsed(listed(fleet, first) + listed(fleet, second, number=2))

    assert lists.revokes(first)
    assert lists.revokes(second)


def test_where_there_is_no_list_nobody_is_revoked() -> None:
    assert not Revocations().revokes(Fleet.made().issue("a", make_key()))
    assert Revocations().next_update is None


def test_an_empty_list_is_a_list() -> None:
    fleet = Fleet.made()
    lists = parsed(listed(fleet))

    assert not lists.revokes(fleet.issue("a", make_key()))
    assert lists.next_update is not None
    assert lists.next_update - NOW > timedelta(days=1)


@pytest.mark.parametrize("bad", ["", "hello", "half", "certificate"])
def test_what_is_no_list(bad: str) -> None:
    fleet = Fleet.made()
    whole = listed(fleet, fleet.issue("a", make_key()))
    content = {"half": whole + whole[:200], "certificate": whole + pem(fleet.root.certificate)}.get(bad, bad.encode())

    with pytest.raises(RevocationError, match="not revocation lists"):
        parsed(content)


LIST = listed(Fleet.made(), Fleet.made().issue("a", make_key()))
DER = base64.b64decode(b"".join(LIST.splitlines()[1:-1]))


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@given(st.integers(0, len(DER) * 8 - 1))
def test_whatever_bit_of_a_list_is_changed_nothing_but_the_one_error_comes_of_it(bit: int) -> None:
    bent = bytearray(DER)
    bent[bit // 8] ^= 1 << bit % 8
    with suppress(RevocationError):
        parsed(b"-----BEGIN X509 CRL-----\n%b-----END X509 CRL-----\n" % base64.encodebytes(bent))
