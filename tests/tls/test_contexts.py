"""Contexts out of files; what they do in a handshake is shown where TLS is spoken."""

from __future__ import annotations

import pathlib
import ssl

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from tls.contexts import Contexts, client_context
from tls.files import TlsConfigError
from tls.params import ContextParams, OwnCertificate


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


def written(path: pathlib.Path, data: bytes) -> str:
    path.write_bytes(data)
    return str(path)


def test_by_default_it_verifies_against_the_systems_store() -> None:
    context = client_context(ContextParams())

    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert (context.minimum_version, context.maximum_version) == (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


@pytest.mark.parametrize("option", [ssl.OP_NO_RENEGOTIATION, ssl.OP_NO_COMPRESSION])
def test_what_has_been_attacked_is_off(option: ssl.Options) -> None:
    """Renegotiation by a client (RFC 5746), and compression (RFC 7525, 3.3), which TLS 1.2 has."""
    assert client_context(ContextParams()).options & option


def test_verification_can_be_turned_off() -> None:
    context = client_context(ContextParams(verify=False))

    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)


@pytest.mark.parametrize(
    ("protocols", "lowest", "highest"),
    [
        (("TLSv1.2",), ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2),
        (("TLSv1.3",), ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3),
        (("TLSv1.3", "TLSv1.2"), ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3),
    ],
)
def test_versions(protocols: tuple[str, ...], lowest: ssl.TLSVersion, highest: ssl.TLSVersion) -> None:
    context = client_context(ContextParams(protocols=protocols))

    assert (context.minimum_version, context.maximum_version) == (lowest, highest)


def test_named_files_take_the_place_of_the_systems_store(ca: trustme.CA, tmp_path: pathlib.Path) -> None:
    other = trustme.CA(organization_name="other")
    bundle = written(tmp_path / "bundle.pem", "# für uns\n".encode() + ca.cert_pem.bytes() + other.cert_pem.bytes())
    single = written(tmp_path / "single.pem", trustme.CA(organization_name="third").cert_pem.bytes())

    assert len(client_context(ContextParams(trust=(bundle, single))).get_ca_certs()) == 3


def test_intermediates_stand_in_a_file_of_their_own(ca: trustme.CA, tmp_path: pathlib.Path) -> None:
    middle = ca.create_child_ca()
    leaf = middle.issue_cert("agent")
    own = OwnCertificate(
        written(tmp_path / "cert.pem", leaf.cert_chain_pems[0].bytes()),
        written(tmp_path / "key.pem", leaf.private_key_pem.bytes()),
        written(tmp_path / "middle.pem", middle.cert_pem.bytes()),
    )

    client_context(ContextParams(certificate=own))


@pytest.mark.parametrize("bad", ["trust", "certificate", "key", "intermediates"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(None, "cannot be read: No such file or directory", id="missing"),
        pytest.param(b"hello", "PEM form", id="garbage"),
        pytest.param(b"", "PEM form", id="empty"),
    ],
)
def test_the_file_that_is_bad_is_named(
    bad: str, content: bytes | None, reason: str, ca: trustme.CA, tmp_path: pathlib.Path
) -> None:
    leaf = ca.issue_cert("agent")
    files = {
        "trust": ca.cert_pem.bytes(),
        "certificate": leaf.cert_chain_pems[0].bytes(),
        "key": leaf.private_key_pem.bytes(),
        "intermediates": ca.cert_pem.bytes(),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / bad).unlink()
    if content is not None:
        (tmp_path / bad).write_bytes(content)
    own = OwnCertificate(*(str(tmp_path / name) for name in ("certificate", "key", "intermediates")))

    with pytest.raises(TlsConfigError) as caught:
        client_context(ContextParams(trust=(str(tmp_path / "trust"),), certificate=own))

    assert str(caught.value).startswith(f"{tmp_path / bad}: ")
    assert reason in str(caught.value)


def test_a_directory_is_no_file(tmp_path: pathlib.Path) -> None:
    with pytest.raises(TlsConfigError, match="cannot be read: Is a directory"):
        client_context(ContextParams(trust=(str(tmp_path),)))


def test_a_key_of_another_certificate(ca: trustme.CA, tmp_path: pathlib.Path) -> None:
    certificate = written(tmp_path / "cert.pem", ca.issue_cert("a").cert_chain_pems[0].bytes())
    key = written(tmp_path / "key.pem", ca.issue_cert("b").private_key_pem.bytes())

    with pytest.raises(TlsConfigError) as caught:
        client_context(ContextParams(certificate=OwnCertificate(certificate, key)))

    assert str(caught.value) == f"{key}: not the key of the certificate in {certificate}"


def test_nobody_is_asked_for_a_passphrase(ca: trustme.CA, tmp_path: pathlib.Path) -> None:
    leaf = ca.issue_cert("a")
    private = serialization.load_pem_private_key(leaf.private_key_pem.bytes(), None)
    pem = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    own = OwnCertificate(
        written(tmp_path / "cert.pem", leaf.cert_chain_pems[0].bytes()), written(tmp_path / "key.pem", pem)
    )

    with pytest.raises(TlsConfigError, match="the key is encrypted"):
        client_context(ContextParams(certificate=own))


def test_contexts_are_made_once_and_failures_are_not_kept(ca: trustme.CA, tmp_path: pathlib.Path) -> None:
    contexts, file = Contexts(), tmp_path / "ca.pem"
    params = ContextParams(trust=(str(file),))

    with pytest.raises(TlsConfigError):
        contexts.client(params)
    file.write_bytes(ca.cert_pem.bytes())
    made = contexts.client(params)
    file.unlink()

    assert contexts.client(ContextParams(trust=(str(file),))) is made
