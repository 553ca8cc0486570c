"""Tokens: which are good, and what rules make of their claims."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any, Final

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from nodeagent.policy.claims import bearer, values_of
from nodeagent.policy.decision import Decision
from nodeagent.policy.tokens import MAX_TOKENS, KeysError, TokenError, Verifier, read_keys
from tests.nodeagent.policy.asking import call, rules

RSA: Final = rsa.generate_private_key(65537, 2048)
EC: Final = ec.generate_private_key(ec.SECP256R1())
NOW: Final = 1_900_000_000


def jwks(**keys: Any) -> bytes:
    """A JWK Set with the public halves of these, by name."""
    listed = []
    for name, key in keys.items():
        kind = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
        listed.append({**json.loads(kind.to_jwk(key.public_key())), "kid": name, "use": "sig"})
    return json.dumps({"keys": listed}).encode()


def token(key: Any = RSA, algorithm: str = "RS256", kid: str | None = "one", **claims: Any) -> str:
    """A good token, but for what is said otherwise; a claim that is None is left out."""
    said = {"iss": "https://login", "aud": "mesh", "exp": 4_000_000_000, **claims}
    body = {name: value for name, value in said.items() if value is not None}
    return jwt.encode(body, key, algorithm, headers={"kid": kid} if kid else None)


def verifier(document: bytes | None = None, *algorithms: str) -> Verifier:
    made = Verifier("https://login", "mesh", algorithms or ("RS256", "ES256"), 10.0)
    made.use(read_keys(jwks(one=RSA, two=EC) if document is None else document))
    return made


def part(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def with_secret(header: dict[str, str], secret: bytes) -> str:
    said = f"{part(header)}.{part({'iss': 'https://login', 'aud': 'mesh', 'exp': 4_000_000_000})}"
    return f"{said}.{part(hmac.digest(secret, said.encode(), hashlib.sha256))}"


def test_a_good_token_says_who_it_is() -> None:
    for good in (token(sub="alice"), token(EC, "ES256", "two", sub="alice"), token(aud=["other", "mesh"], sub="alice")):
        assert verifier().claims(good, NOW)["sub"] == "alice"
    assert verifier(jwks(only=RSA)).claims(token(kid=None), NOW), "one key needs no name"


PUBLIC: Final = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
NONE: Final = f"{part({'alg': 'none', 'kid': 'one'})}.{part({'iss': 'https://login', 'aud': 'mesh', 'exp': 4e9})}."


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (token(exp=1_000_000_000), "the token has expired"),
        (token(exp=None), "the token has no exp"),
        (token(nbf=3_900_000_000), "the token is not valid yet"),
        (token(aud="other"), "the token is for somebody else"),
        (token(aud=None), "the token has no aud"),
        (token(iss="https://evil"), "the token is of another issuer"),
        (token(kid="three"), "the token is signed with a key that is not known"),
        (token(kid=None), "the token is signed with a key that is not known"),
        (token(rsa.generate_private_key(65537, 2048)), "the signature of the token is wrong"),
        (token()[:-4] + "AAAA", "the signature of the token is wrong"),
        (token(algorithm="RS512"), "it is no token that is taken here"),
        (token(EC, "ES256", "one"), "it is no token that is taken here"),
        (with_secret({"alg": "HS256", "kid": "one"}, PUBLIC), "it is no token that is taken here"),
        (with_secret({"alg": "HS256"}, b""), "the token is signed with a key that is not known"),
        (NONE, "it is no token that is taken here"),
        ("", "it is no token that is taken here"),
        ("a.b.c", "it is no token that is taken here"),
        ("\xff.\0.x", "it is no token that is taken here"),
    ],
)
def test_what_is_no_good_token(bad: str, why: str) -> None:
    with pytest.raises(TokenError, match=f"^{why}$"):
        verifier().claims(bad, NOW)


def test_what_was_good_is_until_it_expires_or_the_keys_change() -> None:
    made = verifier()
    assert made.claims(token(), NOW) is made.claims(token(), NOW)
    soon = token(exp=1_000)
    with pytest.raises(TokenError, match="expired"):
        made.claims(soon, 500)
    made.use(read_keys(jwks(one=rsa.generate_private_key(65537, 2048))))
    with pytest.raises(TokenError, match="signature"):
        made.claims(token(), NOW)
    made.use(read_keys(jwks(one=RSA)))
    for number in range(3):
        made.claims(token(sub=str(number)), NOW)
    assert len(made._good) == 3 <= MAX_TOKENS


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"{}",
        b'{"keys": 1}',
        b'{"keys": []}',
        b'{"keys": [{"kty": "oct", "k": "AAAA"}]}',
        json.dumps({"keys": [{"kty": "RSA"}] * 101}).encode(),
        b'{"keys": [{"kty": "RSA", "n": 1}]}',
        b"\xff",
        jwks(one=RSA).replace(b'"sig"', b'"enc"'),
    ],
)
def test_what_are_no_keys(document: bytes) -> None:
    with pytest.raises(KeysError):
        read_keys(document)


def test_where_a_token_stands() -> None:
    assert bearer(b"Bearer a.b.c") == "a.b.c"
    assert bearer(b"bearer   a.b.c") == "a.b.c"
    assert bearer(b"Basic YTpi") is None
    assert bearer(None) is None


def test_values_of_claims() -> None:
    claims = {"group": "a", "groups": ["a", "b", {}], "scope": "read write", "ok": True, "n": 7, "deep": {"x": 1}}
    assert [sorted(values_of(claims, name)) for name in ("group", "groups", "scope", "ok", "n", "deep", "none")] == [
        ["a"],
        ["a", "b"],
        ["read", "write"],
        ["true"],
        ["7"],
        [],
        [],
    ]


TOKENS = "tokens: {issuer: a, audience: b, jwksFile: c}"


def test_rules_by_claims() -> None:
    made = rules(f"""
        {TOKENS}
        default: deny
        rules: [{{name: ops, who: {{claims: {{groups: [ops, admins], tenant: [blue]}}}}, action: allow}}]
    """)
    for claims, verdict in (
        ({"groups": ["ops"], "tenant": "blue"}, "allow"),
        ({"groups": "admins", "tenant": ["red", "blue"]}, "allow"),
        ({"groups": ["ops"]}, "deny"),
        ({"groups": ["ops2"], "tenant": "blue"}, "deny"),
        ({}, "deny"),
        (None, "deny"),
    ):
        asked = call(claims=claims)
        assert made.decide(asked).verdict == verdict, claims
        left = made.narrowed(asked)
        if isinstance(left, Decision):
            raise AssertionError("two requests of one caller may have two tokens")
        assert made.decide_of(left, asked).verdict == verdict
    assert made.rules[0].why(call()) == "claims groups: admins or ops, tenant: blue: there is no token"
