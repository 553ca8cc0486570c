"""Who somebody is."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from tests.tls.authorities import DOMAIN, NOW, Fleet
from tls.authority import make_key
from tls.identity import IdentityError, SpiffeId, dns_names, peer_identity

DOMAINS = st.from_regex(r"[a-z0-9._-]{1,40}", fullmatch=True)
SEGMENTS = st.from_regex(r"[A-Za-z0-9._-]{1,20}", fullmatch=True).filter(lambda text: text not in (".", ".."))


@given(DOMAINS, st.lists(SEGMENTS, max_size=5))
def test_what_is_shown_is_read_as_the_same(domain: str, segments: list[str]) -> None:
    made = SpiffeId(domain, "".join(f"/{each}" for each in segments))

    assert SpiffeId.parse(str(made)) == made
    assert made.name == (segments[-1] if segments else "")


@given(st.text(max_size=60) | st.text(max_size=40).map("spiffe://".__add__))
def test_whatever_is_read_is_shown_letter_by_letter_and_the_rest_is_an_error(text: str) -> None:
    try:
        read = SpiffeId.parse(text)
    except IdentityError:
        return
    assert str(read) == text


def test_names_of_the_mesh() -> None:
    assert str(SpiffeId.host(DOMAIN, "web-1.eu")) == "spiffe://mesh.example/host/web-1.eu"
    assert str(SpiffeId.service(DOMAIN, "users")) == "spiffe://mesh.example/svc/users"
    assert str(SpiffeId.authority(DOMAIN)) == "spiffe://mesh.example/ca"
    assert SpiffeId.parse("spiffe://prod.example/ns/default/sa/web").path == "/ns/default/sa/web"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "begins with spiffe://"),
        ("https://mesh.example/host/a", "begins with spiffe://"),
        ("SPIFFE://mesh.example/host/a", "begins with spiffe://"),
        ("spiffe:///host/a", "no trust domain"),
        ("spiffe://Mesh.example/host/a", "no trust domain"),
        ("spiffe://user@mesh.example/a", "no trust domain"),
        ("spiffe://mesh.example:443/a", "no trust domain"),
        ("spiffe://mesh.example?a", "no trust domain"),
        ("spiffe://bücher.example/a", "no trust domain"),
        ("spiffe://" + "a" * 256 + "/a", "no trust domain"),
        ("spiffe://mesh.example/", "no path"),
        ("spiffe://mesh.example/host/", "no path"),
        ("spiffe://mesh.example//host", "no path"),
        ("spiffe://mesh.example/host/..", "no path"),
        ("spiffe://mesh.example/./host", "no path"),
        ("spiffe://mesh.example/host/a%2fb", "no path"),
        ("spiffe://mesh.example/host/a?b", "no path"),
        ("spiffe://mesh.example/host/a#b", "no path"),
        ("spiffe://mesh.example/host/a\0", "no path"),
        ("spiffe://mesh.example/host/a\n", "no path"),
        ("spiffe://mesh.example/" + "a" * 2048, "at most 2048 bytes"),
    ],
)
def test_what_is_no_id(text: str, reason: str) -> None:
    with pytest.raises(IdentityError, match=reason):
        SpiffeId.parse(text)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "a" * 65, "bücher", "a\n"])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(IdentityError, match="no name of a host or service"):
        SpiffeId.host(DOMAIN, name)


def test_the_identity_of_a_peer() -> None:
    leaf = Fleet.made().issue("web-1", make_key(), dns=("web-1.example",))

    assert peer_identity(leaf) == SpiffeId.host(DOMAIN, "web-1")
    assert dns_names(leaf) == ("web-1.example",)


ID = "spiffe://mesh.example/host/a"


def certificate(
    *uris: str,
    ca: bool = False,
    usage: str | None = "digital_signature",
    purposes: tuple[x509.ObjectIdentifier, ...] | None = (
        ExtendedKeyUsageOID.CLIENT_AUTH,
        ExtendedKeyUsageOID.SERVER_AUTH,
    ),
) -> x509.Certificate:
    """A certificate that anybody could make; nothing is verified here."""
    key, name = make_key(), x509.Name([])
    builder = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, NOW, NOW + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(each) for each in uris]), True)
        .add_extension(x509.BasicConstraints(ca, None), True)
    )
    if usage is not None:
        usages = dict.fromkeys(
            (
                "digital_signature",
                "content_commitment",
                "key_encipherment",
                "data_encipherment",
                "key_agreement",
                "key_cert_sign",
                "crl_sign",
                "encipher_only",
                "decipher_only",
            ),
            False,
        )
        builder = builder.add_extension(x509.KeyUsage(**usages | dict.fromkeys(usage.split("+"), True)), True)
    if purposes is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), False)
    return builder.sign(key, hashes.SHA256())


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        pytest.param(certificate(), "exactly one URI for its identity, this one has 0", id="none"),
        pytest.param(certificate(ID, ID + "b"), "exactly one URI for its identity, this one has 2", id="two"),
        pytest.param(certificate(ID, ID), "exactly one URI for its identity, this one has 2", id="twice"),
        pytest.param(certificate("https://mesh.example/"), "begins with spiffe://", id="another scheme"),
        pytest.param(certificate("spiffe://mesh.example"), "is a trust domain", id="no path"),
        pytest.param(certificate("spiffe://mesh.example/a\0b"), "no path", id="NUL"),
        pytest.param(certificate(ID, ca=True), "stands for nobody", id="an authority"),
        pytest.param(certificate(ID, usage=None), "does not have digitalSignature", id="no usage"),
        pytest.param(certificate(ID, usage="key_agreement"), "does not have digitalSignature", id="another usage"),
        pytest.param(certificate(ID, usage="digital_signature+crl_sign"), "keyCertSign or cRLSign", id="signs lists"),
        pytest.param(
            certificate(ID, usage="digital_signature+key_cert_sign"), "keyCertSign or cRLSign", id="signs certificates"
        ),
        pytest.param(
            certificate(ID, purposes=(ExtendedKeyUsageOID.SERVER_AUTH,)), "not for clientAuth", id="servers only"
        ),
        pytest.param(
            certificate(ID, purposes=(ExtendedKeyUsageOID.CLIENT_AUTH,)), "not for serverAuth", id="clients only"
        ),
        pytest.param(
            certificate(ID, purposes=(ExtendedKeyUsageOID.CODE_SIGNING,)), "not for clientAuth", id="another purpose"
        ),
    ],
)
def test_certificates_that_identify_nobody(made: x509.Certificate, reason: str) -> None:
    with pytest.raises(IdentityError, match=reason):
        peer_identity(made)


def test_purposes_may_be_left_out() -> None:
    assert peer_identity(certificate(ID, purposes=None)) == SpiffeId.parse(ID)


def test_of_no_certificate_of_the_authority_is_there_an_identity() -> None:
    fleet = Fleet.made()
    for each in (fleet.root, fleet.intermediate):
        with pytest.raises(IdentityError, match="stands for nobody"):
            peer_identity(each.certificate)
