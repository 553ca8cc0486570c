"""Who a client is, by its certificate."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from tests.tls.authorities import NOW, Fleet
from tls.authority import make_key
from tls.identity import IdentityError
from tls.peer import Peer, read_peer

KEY = make_key()


def peer(common: str = "web", uris: tuple[str, ...] = (), dns: tuple[str, ...] = ()) -> Peer:
    """What is read from a certificate with these names, of anybody."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)] if common else [])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(hours=1))
    )
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(each) for each in uris]
    names += [x509.DNSName(each) for each in dns]
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return read_peer(builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.DER))


def test_a_member_of_a_mesh_is_known_by_its_id() -> None:
    leaf = Fleet.made().issue("web-1", KEY, dns=("web-1.example",))

    read = read_peer(leaf.public_bytes(Encoding.DER))

    assert read.identity == "spiffe://mesh.example/host/web-1"
    assert read.expires == leaf.not_valid_after_utc
    assert (
        read.header
        == (
            f"Hash={leaf.fingerprint(hashes.SHA256()).hex()};"
            'Subject="CN=web-1,O=mesh.example";URI=spiffe://mesh.example/host/web-1;DNS=web-1.example'
        ).encode()
    )


@pytest.mark.parametrize(
    ("names", "identity"),
    [
        ({"dns": ("Web.example", "b.example")}, "dns:web.example"),
        ({"dns": ("*.example", "b.example")}, "dns:b.example"),
        ({"dns": ("web.example\r\nl5d-client-id: root",)}, "subject:CN=web"),
        ({"dns": ("fe80::1%\r\nl5d-client-id: root",)}, "subject:CN=web"),
        ({"uris": ("https://web.example/",)}, "subject:CN=web"),
        ({"common": "spiffe://mesh.example/host/web-1"}, "subject:CN=spiffe://mesh.example/host/web-1"),
        ({"common": 'bücher "\r\nX: 1'}, "subject:CN=b%C3%BCcher %5C%22%0D%0AX: 1"),
        ({"common": "100%0A"}, "subject:CN=100%250A"),
    ],
)
def test_without_an_id_it_is_a_name_that_can_be_taken_for_none(names: dict[str, str], identity: str) -> None:
    assert peer(**names).identity == identity  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("uris", "reason"),
    [
        pytest.param(("spiffe://mesh.example/host/a",), "digitalSignature", id="not for TLS"),
        pytest.param(("spiffe://a/b", "spiffe://a/c"), "digitalSignature", id="two"),
        pytest.param(("SPIFFE://mesh.example/host/a",), "digitalSignature", id="in capitals"),
    ],
)
def test_who_claims_an_id_and_is_not_fit_for_it_is_nobody(uris: tuple[str, ...], reason: str) -> None:
    with pytest.raises(IdentityError, match=reason):
        peer(uris=uris, dns=("web.example",))


def test_a_certificate_without_any_name_is_nobodys() -> None:
    with pytest.raises(IdentityError, match="names nobody"):
        peer(common="")


@given(
    st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=64),
    st.lists(st.text(st.characters(max_codepoint=126, min_codepoint=1), min_size=1, max_size=80), max_size=3),
)
def test_whatever_is_in_a_certificate_a_field_is_one_line_and_says_no_more(common: str, dns: list[str]) -> None:
    read = peer(common=common, dns=tuple(dns), uris=tuple(f"x:{each}" for each in dns))

    assert re.fullmatch(r"[ -~]+", read.identity)
    assert re.fullmatch(rb'Hash=[0-9a-f]{64};Subject="[ !#-\[\]-~]*"(;(URI|DNS)=[!#-+\--:<>-~]*)*', read.header)
