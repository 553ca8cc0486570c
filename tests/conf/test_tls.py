"""The keys `tls` of `client` and of `servers`."""

from __future__ import annotations

import pytest

import conf
from conf import resolve
from conf.tls import ClientAuth, ClientTlsKeys, ServerCertificate, ServerTlsKeys
from namer.path import Path
from tests.conf.texts import problems, router, router_problems


def of(client: str, path: str = "/#/io.l5d.fs/users") -> ClientTlsKeys | None:
    """What holds for a concrete name."""
    return resolve(router(f"client: {client}").client, Path.parse(path)).tls


def test_all_keys() -> None:
    keys = """
      commonName: users.example
      trustCertsBundle: ca.pem
      crlPath: crl.pem
      clientAuth: {certPath: cert.pem, intermediateCertsPath: middle.pem, keyPath: key.pem, passphrasePath: secret}
      protocols: [TLSv1.2]
    """

    assert of(f"\n    tls: {keys}") == ClientTlsKeys(
        common_name="users.example",
        trust_certs_bundle="ca.pem",
        crl_path="crl.pem",
        client_auth=ClientAuth(
            cert_path="cert.pem", intermediate_certs_path="middle.pem", key_path="key.pem", passphrase_path="secret"
        ),
        protocols=("TLSv1.2",),
    )


def test_without_the_key_it_is_plain() -> None:
    assert of("{}") is None


LAYERS = """
  kind: io.l5d.static
  configs:
  - prefix: /#/*/{service}
    tls: {commonName: "{service}.{service}.example", trustCerts: [a.pem, b.pem]}
  - prefix: /#/{namer}/{service}/secret
    tls: {commonName: "{service}@{namer}"}
  - prefix: /#/io.l5d.fs/dog
    requestAttemptTimeoutMs: 5
  - prefix: /#/io.l5d.fs/cat
    tls: {enabled: false}
""".replace("@", "-")


@pytest.mark.parametrize(
    ("path", "tls"),
    [
        pytest.param("/$/inet/a/1", None, id="no prefix matches"),
        pytest.param(
            "/#/io.l5d.fs/users",
            ClientTlsKeys(common_name="users.users.example", trust_certs=("a.pem", "b.pem")),
            id="captures are filled in",
        ),
        pytest.param(
            "/#/io.l5d.fs/dog",
            ClientTlsKeys(common_name="dog.dog.example", trust_certs=("a.pem", "b.pem")),
            id="those of the prefix that has the key, not of a later one",
        ),
        pytest.param("/#/x/users/secret", ClientTlsKeys(common_name="users-x"), id="the later mapping holds, whole"),
        pytest.param("/#/io.l5d.fs/cat", ClientTlsKeys(enabled=False), id="turned off"),
    ],
)
def test_prefixes(path: str, tls: ClientTlsKeys | None) -> None:
    assert of(LAYERS, path) == tls


@pytest.mark.parametrize(
    ("tls", "line"),
    [
        pytest.param("{}", ":4:17: .commonName: missing; expected the name that the certificates", id="no name"),
        pytest.param(
            "{commonName: a, trustCerts: [x], trustCertsBundle: y}",
            ":4:45: .trustCerts: cannot stand beside trustCertsBundle",
            id="both",
        ),
        pytest.param(
            "{disableValidation: true, clientAuth: {certPath: c, keyPath: k}}",
            ":4:55: .clientAuth: cannot stand beside disableValidation",
            id="nobody to show it to",
        ),
        pytest.param(
            "{disableValidation: true, crlPath: c}",
            ":4:52: .crlPath: cannot stand beside disableValidation",
            id="nobody to refuse",
        ),
        pytest.param(
            '{commonName: "{host}"}',
            ":4:30: .commonName: no capture {host} in the prefix, which has: none",
            id="nothing is captured",
        ),
        pytest.param(
            "{commonName: a b}",
            ':4:30: .commonName: expected a host name, with {captures} of the prefix, found the text "a b"',
            id="no host name",
        ),
        pytest.param(
            "{commonName: a, protocols: [TLSv1.1]}",
            '.protocols[0]: expected TLSv1.2 or TLSv1.3, found the text "TLSv1.1"',
            id="too old",
        ),
        pytest.param("{commonName: a, clientAuth: {certPath: c}}", ".clientAuth.keyPath: missing", id="no key"),
        pytest.param(
            "{commonName: a, commonname: b}", '.commonname: unknown key; did you mean "commonName"', id="case"
        ),
    ],
)
def test_what_is_wrong(tls: str, line: str) -> None:
    (problem,) = router_problems(f"client: {{tls: {tls}}}")

    assert line in problem.replace("routers[0].client.tls", "")


@pytest.mark.parametrize("tls", ["{enabled: false}", "{disableValidation: true}"])
def test_without_validation_no_name_is_needed(tls: str) -> None:
    assert router_problems(f"client: {{tls: {tls}}}") == []


@pytest.mark.parametrize(
    ("prefix", "printed"),
    [
        pytest.param("/#/*/{service}", [], id="captured"),
        pytest.param(
            "/#/{namer}/*",
            ["l5d:4:79: routers[0].client.configs[0].tls.commonName: no capture {service} in the prefix"],
            id="not captured",
        ),
        pytest.param("{service}", ["l5d:4:46: routers[0].client.configs[0].prefix: expected"], id="no prefix at all"),
    ],
)
def test_a_name_may_use_only_what_its_own_prefix_captures(prefix: str, printed: list[str]) -> None:
    lines = router_problems(
        f'client: {{kind: static, configs: [{{prefix: "{prefix}", tls: {{commonName: "{{service}}"}}}}]}}'
    )

    assert [line[: len(expected)] for line, expected in zip(lines, printed, strict=True)] == printed


AGENTS = "identity: 'spiffe://mesh.example/host/{node}', trustCertsBundle: b, clientAuth: {certPath: c, keyPath: k}"


def test_agents() -> None:
    keys = of(f"{{tls: {{agents: opportunistic, plainIfRefused: true, {AGENTS}}}}}")

    assert keys == ClientTlsKeys(
        agents="opportunistic",
        plain_if_refused=True,
        identity="spiffe://mesh.example/host/{node}",
        trust_certs_bundle="b",
        client_auth=ClientAuth(cert_path="c", key_path="k"),
    )


def test_an_identity_may_be_made_of_captures() -> None:
    policy = (
        '{kind: static, configs: [{prefix: "/#/*/{service}", tls: '
        '{identity: "spiffe://a/svc/{service}/{node}", trustCertsBundle: b}}]}'
    )
    keys = of(policy)

    assert keys is not None
    assert keys.identity == "spiffe://a/svc/users/{node}"
    (problem,) = router_problems(f"client: {policy.replace('{service}/{node}', '{name}')}")
    assert "tls.identity: no capture {name} in the prefix, which has: service" in problem


@pytest.mark.parametrize(
    ("tls", "line"),
    [
        pytest.param("agents: on", '.agents: expected strict or opportunistic, found the text "on"', id="no mode"),
        pytest.param("plainIfRefused: true", ".plainIfRefused: is for agents: opportunistic", id="strict and plain"),
        pytest.param("commonName: a", ".commonName: cannot stand beside agents, which are known by", id="a name"),
        pytest.param("protocols: [TLSv1.2]", ".protocols: leave it out: agents speak TLSv1.3", id="too old"),
        pytest.param("identity: 'mesh.example'", ".identity: expected a SPIFFE id, such as", id="no identity"),
        pytest.param("identity: 'spiffe://mesh.example'", ".identity: expected a SPIFFE id, such as", id="a domain"),
    ],
)
def test_what_is_wrong_with_agents(tls: str, line: str) -> None:
    keys = f"agents: strict, {AGENTS}".split(", ")
    given = [key for key in keys if not key.startswith(tls.partition(":")[0])]
    (problem,) = router_problems(f"client: {{tls: {{{', '.join([*given, tls])}}}}}")

    assert line in problem.replace("routers[0].client.tls", "")


@pytest.mark.parametrize(
    ("without", "line"),
    [
        ("identity", "identity: missing; expected that of the agents"),
        ("trustCertsBundle", "trustCertsBundle: missing; expected the authority"),
        ("clientAuth", "clientAuth: missing; expected the certificate"),
    ],
)
def test_what_agents_need(without: str, line: str) -> None:
    keys = [key for key in f"agents: strict, {AGENTS}".split(", ", 3) if not key.startswith(without)]
    (problem,) = router_problems(f"client: {{tls: {{{', '.join(keys)}}}}}")

    assert line in problem


def listener(protocol: str, tls: str) -> ServerTlsKeys | None:
    """What a listener has."""
    text = f"routers: [{{protocol: {protocol}, servers: [{{name: db, port: 1, tls: {tls}}}]}}]"
    return conf.load(text, "l5d").routers[0].servers[0].tls


@pytest.mark.parametrize("protocol", ["http", "tcp"])
def test_a_listener_has_all_of_linkerds_keys_and_some_more(protocol: str) -> None:
    keys = """{
        certPath: cert.pem, intermediateCertsPath: middle.pem, keyPath: key.pem, passphrasePath: secret,
        certificates: [{certPath: b.pem, keyPath: b.key}],
        requireClientAuth: true, caCertPath: ca.pem, crlPath: crl.pem,
        ciphers: [ECDHE-ECDSA-AES128-GCM-SHA256], protocols: [TLSv1.2],
        handshakeTimeoutMs: 100, maxHandshakes: 10
    }"""

    assert listener(protocol, keys) == ServerTlsKeys(
        cert_path="cert.pem",
        intermediate_certs_path="middle.pem",
        key_path="key.pem",
        passphrase_path="secret",
        certificates=(ServerCertificate(cert_path="b.pem", key_path="b.key"),),
        require_client_auth=True,
        ca_cert_path="ca.pem",
        crl_path="crl.pem",
        ciphers=("ECDHE-ECDSA-AES128-GCM-SHA256",),
        protocols=("TLSv1.2",),
        handshake_timeout_ms=100,
        max_handshakes=10,
    )


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ("requireClientAuth: true", ".requireClientAuth: needs caCertPath, a file with the certificates to trust"),
        ("crlPath: c", ".crlPath: needs caCertPath: without it nobody is asked for a certificate"),
        (
            "protocols: [TLSv1.3], ciphers: [ECDHE-ECDSA-AES128-GCM-SHA256]",
            ".ciphers: are those of TLSv1.2, which protocols leaves out",
        ),
        ("ciphers: [NULL-SHA]", ": NULL-SHA protects nothing"),
        ("ciphers: [TLS_RSA_WITH_AES_128_CBC_SHA]", ": OpenSSL knows no suite TLS_RSA_WITH_AES_128_CBC_SHA"),
        ("ciphers: [ALL]", ": ALL is no suite of TLSv1.2"),
        ("protocols: [SSLv3]", ".protocols[0]: expected TLSv1.2 or TLSv1.3"),
        ("maxHandshakes: 0", ".maxHandshakes: 0 is out of range; expected a whole number from 1"),
        ("certificates: [{certPath: b}]", ".certificates[0].keyPath: missing"),
    ],
)
def test_what_is_wrong_with_a_listener(keys: str, line: str) -> None:
    (problem,) = problems(f"routers: [{{protocol: http, servers: [{{tls: {{certPath: c, keyPath: k, {keys}}}}}]}}]")

    assert problem.startswith("l5d:1:")
    assert line in problem
