"""TLS: towards the endpoints of a concrete name, and on a listener."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Final

from msgspec import Meta
from msgspec.structs import replace

from conf.fields import Count, Millis, Reader, Text, about, one_of
from conf.section import Section
from tls.params import PROTOCOLS

_CAPTURE: Final = re.compile(r"\{([^{}/]+)\}")
_COMMON_NAME: Final = re.compile(r"(?:[A-Za-z0-9._:-]|\{[^{}/]+\}){1,255}")


def _common_name(text: str) -> str:
    if not _COMMON_NAME.fullmatch(text):
        raise ValueError
    return text


def _protocol(text: str) -> str:
    if text not in PROTOCOLS:
        raise ValueError
    return text


def _cipher_suite(text: str) -> str:
    from tls.ciphers import check_suite  # most configurations name none

    return check_suite(text)


def _expected_identity(text: str) -> str:
    from tls.expected import check_expected  # most configurations name none

    check_expected(_CAPTURE.sub("x", text))
    return text


CommonName = Annotated[str, Meta(extra={"reader": Reader("a host name, with {captures} of the prefix", _common_name)})]
CipherSuite = Annotated[
    str, Meta(extra={"reader": Reader("a cipher suite, such as ECDHE-ECDSA-AES128-GCM-SHA256", _cipher_suite)})
]
ExpectedIdentity = Annotated[
    str,
    Meta(
        extra={"reader": Reader("a SPIFFE id, such as spiffe://mesh.example/host/{node}", _expected_identity)},
    ),
]
AgentMode = Annotated[str, one_of("strict", "opportunistic")]
Protocol = Annotated[str, Meta(extra={"reader": Reader(" or ".join(PROTOCOLS), _protocol)})]


class OwnCertificate(Section, frozen=True, kw_only=True):
    """A certificate of the agent's own. All files are PEM."""

    cert_path: Annotated[Text, about("The file with the certificate.")]
    intermediate_certs_path: Annotated[
        Text | None, about("A file with the rest of its chain.", unset="the chain is in `certPath`, if there is one")
    ] = None
    key_path: Annotated[Text, about("The file with its key.")]
    passphrase_path: Annotated[
        Text | None, about("A file with the passphrase of the key.", unset="the key has none", like="linkerd 1.x: none")
    ] = None


class ClientAuth(OwnCertificate, frozen=True, kw_only=True):
    """The certificate that the agent shows to an endpoint that asks for one. All files are PEM."""


class ApiTlsKeys(Section, frozen=True):
    """TLS towards a server."""

    enabled: Annotated[bool, about("`false` turns off what an earlier prefix turned on.")] = True
    disable_validation: Annotated[
        bool, about("Unsafe: speak with whoever answers.", why="without validation, anybody may be the endpoint")
    ] = False
    common_name: Annotated[
        CommonName | None,
        about(
            "The name that the certificate must be for, which is also sent (SNI); `{name}` stands for what the prefix "
            "captured.",
            unset="must be given, unless `disableValidation` is set",
        ),
    ] = None
    trust_certs_bundle: Annotated[
        Text | None,
        about("A file (PEM) with the certificates to trust.", unset="`trustCerts`, or else the system's"),
    ] = None
    trust_certs: Annotated[tuple[Text, ...], about("The older form: files (PEM) with the certificates to trust.")] = ()
    crl_path: Annotated[
        Text | None,
        about(
            "A file (PEM) with lists of revoked certificates (CRL); endpoints on one are refused. A list that is out "
            "of date counts still, and an issuer without one has revoked nobody.",
            unset="nobody is revoked",
            like="linkerd 1.x: none",
        ),
    ] = None
    client_auth: Annotated[ClientAuth | None, about("The certificate that the agent shows.", unset="it shows none")] = (
        None
    )
    protocols: Annotated[
        tuple[Protocol, ...],
        about(
            "The versions that may be spoken.", why="what is older is broken (RFC 8996)", unset="TLSv1.2 and TLSv1.3"
        ),
    ] = ()

    @property
    def captures(self) -> dict[str, frozenset[str]]:
        """By key, the captures that it is made of."""
        return {"commonName": frozenset(_CAPTURE.findall(self.common_name or ""))}

    @property
    def names_peer(self) -> bool:
        """Whether it says whom a certificate must be for."""
        return self.common_name is not None

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if self.trust_certs_bundle is not None and self.trust_certs:
            yield "trustCerts", "cannot stand beside trustCertsBundle; put all certificates into one of the two"
        if self.disable_validation and self.crl_path is not None:
            yield "crlPath", "cannot stand beside disableValidation, which believes everybody"
        if self.disable_validation and self.client_auth is not None:
            yield "clientAuth", "cannot stand beside disableValidation, as in linkerd 1.x"
        if self.enabled and not self.disable_validation and not self.names_peer:
            yield "commonName", "missing; expected the name that the certificates of the endpoints are for"


class ClientTlsKeys(ApiTlsKeys, frozen=True):
    """TLS towards the endpoints. The whole mapping counts as one key: of two prefixes, the later one's holds."""

    agents: Annotated[
        AgentMode | None,
        about(
            "Speak TLS with the agents on the hosts of the endpoints, which hand on what they get. `strict`: an "
            "endpoint without an agent is not used. `opportunistic`: it is called in plain. Who has one, discovery "
            "tells: the transformers `io.l5d.port` and `io.l5d.k8s.daemonset`, or `agent=PORT` in the metadata of "
            "Consul, as a tag, or in a file.",
            unset="TLS is spoken with the endpoints themselves",
            like="Istio's `STRICT` and `PERMISSIVE`; linkerd 1.x: by the port only",
        ),
    ] = None
    plain_if_refused: Annotated[
        bool,
        about(
            "With `opportunistic`: call an endpoint in plain also when nobody listens on the port of its agent.",
            why="an agent that restarts must not expose what is said; nor whoever can forge a refusal",
        ),
    ] = False
    identity: Annotated[
        ExpectedIdentity | None,
        about(
            "The SPIFFE id that the certificate must have, such as `spiffe://mesh.example/host/{node}`. `{node}` is "
            "the name of the host where discovery tells it (Consul, Kubernetes, `node=NAME` in a file), else any; "
            "other `{name}` stand for what the prefix captured.",
            unset="`commonName` counts; with `agents` it must be given",
            like="Envoy",
        ),
    ] = None

    @property
    def captures(self) -> dict[str, frozenset[str]]:
        return super().captures | {"identity": frozenset(_CAPTURE.findall(self.identity or "")) - {"node"}}

    @property
    def names_peer(self) -> bool:
        return super().names_peer or self.identity is not None or self.agents is not None

    def filled(self, captured: Mapping[str, str]) -> ClientTlsKeys:
        """These keys with what was captured in the name."""

        def fill(text: str | None) -> str | None:
            return None if text is None else _CAPTURE.sub(lambda found: captured.get(found[1], found[0]), text)

        return replace(self, common_name=fill(self.common_name), identity=fill(self.identity))

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from super().contradictions()
        if not self.enabled:
            return
        if self.identity is not None and self.disable_validation:
            yield "identity", "cannot stand beside disableValidation, which believes everybody"
        elif self.identity is not None and self.trust_certs_bundle is None and not self.trust_certs:
            yield "trustCertsBundle", "missing; expected the authority whose word an identity is"
        if self.plain_if_refused and self.agents != "opportunistic":
            yield "plainIfRefused", "is for agents: opportunistic"
        if self.agents is None:
            return
        if self.disable_validation:
            yield "agents", "cannot stand beside disableValidation: both sides are verified"
        if self.identity is None:
            yield "identity", "missing; expected that of the agents, such as spiffe://mesh.example/host/{node}"
        if self.client_auth is None:
            yield "clientAuth", "missing; expected the certificate that this agent shows to the others"
        if self.common_name is not None:
            yield "commonName", "cannot stand beside agents, which are known by their identity"
        if "TLSv1.2" in self.protocols:
            yield "protocols", "leave it out: agents speak TLSv1.3 with each other"


class ServerCertificate(OwnCertificate, frozen=True, kw_only=True):
    """A certificate that a listener shows. All files are PEM."""


class ServerTlsKeys(ServerCertificate, frozen=True, kw_only=True):
    """TLS on a listener: who calls must speak it. Files that change are heeded by new connections."""

    certificates: Annotated[
        tuple[ServerCertificate, ...],
        about(
            "More certificates: a caller who says which name it wants (SNI) gets the one that is for it, and is "
            "refused when none is. Who does not say gets the first one, of `certPath`.",
            unset="everybody gets the one of `certPath`",
            like="Envoy, nginx; linkerd 1.x: one",
        ),
    ] = ()
    ca_cert_path: Annotated[
        Text | None,
        about(
            "A file (PEM) with the certificates to trust. Callers are then asked for theirs; one that is shown must be "
            "good, and says who calls (`l5d-client-id`).",
            unset="nobody is asked",
            like="linkerd 1.x: has an effect with `requireClientAuth` only",
        ),
    ] = None
    require_client_auth: Annotated[bool, about("Callers without a certificate are refused.")] = False
    crl_path: Annotated[
        Text | None,
        about(
            "A file (PEM) with lists of revoked certificates (CRL); callers on one are refused. A list that is out of "
            "date counts still, and an issuer without one has revoked nobody.",
            unset="nobody is revoked",
            like="linkerd 1.x: none",
        ),
    ] = None
    ciphers: Annotated[
        tuple[CipherSuite, ...],
        about(
            "The cipher suites of TLSv1.2, by OpenSSL's names, the best first. Those of TLSv1.3 stay.",
            unset="those with forward secrecy and authenticated encryption",
            like="linkerd 1.x: by Java's names",
        ),
    ] = ()
    protocols: Annotated[
        tuple[Protocol, ...],
        about(
            "The versions that may be spoken.", why="what is older is broken (RFC 8996)", unset="TLSv1.2 and TLSv1.3"
        ),
    ] = ()
    handshake_timeout_ms: Annotated[
        Millis,
        about(
            "Closed when a handshake takes longer.",
            why="it is two round trips; who says nothing must not hold memory",
            like="linkerd 1.x: no limit",
        ),
    ] = 5_000
    max_handshakes: Annotated[
        Count,
        about(
            "Handshakes under way at once; one more is closed, unless its caller has less than an equal part.",
            why="each holds some 50 KB, and all of them together are worked off in a second or two",
            like="HAProxy's `maxsslconn` is near",
        ),
    ] = 1_000

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if self.require_client_auth and self.ca_cert_path is None:
            yield "requireClientAuth", "needs caCertPath, a file with the certificates to trust"
        if self.crl_path is not None and self.ca_cert_path is None:
            yield "crlPath", "needs caCertPath: without it nobody is asked for a certificate"
        if self.ciphers and self.protocols == ("TLSv1.3",):
            yield "ciphers", "are those of TLSv1.2, which protocols leaves out"
