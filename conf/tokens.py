"""Tokens (JWT) that say who somebody is, for rules."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Annotated, Final

from msgspec import Meta

from conf.fields import Count, CountFromZero, Text, about, one_of
from conf.section import Section
from conf.tracing import Url

JWT_PACKAGE: Final = "jwt"
"""What reads tokens: installed by the extra `jwt`."""

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Those by which one key signs and another verifies: with a shared secret whoever verifies could sign."""


class Tokens(Section, frozen=True, kw_only=True):
    """Tokens (JWT, RFC 7519) in `Authorization: Bearer ...`: `claims` of rules are what a good one says.

    A request with a token that is not good is answered 401 (RFC 6750), whatever the rules say; one without a token has
    no claims. Needs the extra `jwt`: `pip install 'nodeagent[jwt]'`.
    """

    issuer: Annotated[Text, about("Who must have made it, `iss`.", like="Istio's `issuer`")]
    audience: Annotated[
        Text, about("Whom it must be for, `aud`: a token for somebody else is none here.", like="Istio's `audiences`")
    ]
    algorithms: Annotated[
        Annotated[tuple[Annotated[str, one_of(*ALGORITHMS)], ...], Meta(min_length=1)],
        about(
            "How it may be signed. What the token itself says is not believed.", why="what nearly all use", like="none"
        ),
    ] = ("RS256", "ES256")
    jwks_file: Annotated[
        Text | None, about("A file with the keys (JWK Set, RFC 7517); it may change.", unset="`jwksUrl`", like="none")
    ] = None
    jwks_url: Annotated[
        Url | None, about("Where the keys are; with https verified.", unset="`jwksFile`", like="Istio's `jwksUri`")
    ] = None
    refresh_secs: Annotated[
        Count,
        about(
            "How often the keys of `jwksUrl` are fetched; sooner when a token names a key that is not among them.",
            why="whoever rotates keys announces them long before",
            like="Envoy",
        ),
    ] = 300
    leeway_secs: Annotated[
        CountFromZero, about("How far clocks may differ.", why="hosts keep time to the second", like="Envoy: 60")
    ] = 10

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """No keys, two sorts of them, and nothing to read tokens with."""
        if (self.jwks_file is None) == (self.jwks_url is None):
            yield "issuer", "its keys must come from one of jwksFile and jwksUrl"
        if find_spec(JWT_PACKAGE) is None:
            yield "issuer", "needs what is not installed: pip install 'nodeagent[jwt]'"
