"""Tokens (JWT, RFC 7519) and what they say. Pure, over PyJWT (the extra `jwt`); imported where tokens are read.

Who made a token, for whom, and how it is signed is up to the configuration, never to the token (RFC 8725): only keys
that cannot sign are used, and each only for its own kind.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import jwt

from nodeagent.policy.claims import Claims

MAX_KEYS: Final = 100
MAX_TOKENS: Final = 4096
"""That are remembered as good, until they expire; one more makes it start over."""

Keys: TypeAlias = Mapping[str | None, jwt.PyJWK]

_FAMILIES: Final = {"RSA": ("RS", "PS"), "EC": ("ES",), "OKP": ("EdDSA",)}


class TokenError(Exception):
    """A token is not good; the message says why, without what is in it."""


class UnknownKeyError(TokenError):
    """It names a key that is not among those that are known."""


class KeysError(ValueError):
    """They are no keys that could be used; the message says why."""


def read_keys(document: bytes) -> Keys:
    """Read a JWK Set (RFC 7517) by the names of its keys. Those for other purposes are left out. Raises KeysError."""
    try:
        listed = json.loads(document)["keys"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise KeysError("no JWK Set: expected a JSON object with keys") from None
    if not isinstance(listed, list) or len(listed) > MAX_KEYS:
        raise KeysError(f"no JWK Set: expected at most {MAX_KEYS} keys in a list")
    keys: dict[str | None, jwt.PyJWK] = {}
    for each in listed:
        if not isinstance(each, dict) or each.get("kty") not in _FAMILIES or each.get("use", "sig") != "sig":
            continue
        try:
            key = jwt.PyJWK({name: value for name, value in each.items() if name != "d"})
        except jwt.PyJWTError:
            continue
        keys[key.key_id] = key
    if not keys:
        raise KeysError("no key in it is one to verify signatures with")
    return keys


class Verifier:
    """Tells good tokens, and what they say."""

    def __init__(self, issuer: str, audience: str, algorithms: Sequence[str], leeway: float) -> None:
        """`leeway` is in seconds."""
        self._issuer = issuer
        self._audience = audience
        self._algorithms = tuple(algorithms)
        self._leeway = leeway
        self._keys: Keys | None = None
        self._good: dict[str, tuple[float, Claims]] = {}

    @property
    def has_keys(self) -> bool:
        """Whether it can tell anything yet."""
        return self._keys is not None

    def use(self, keys: Keys) -> None:
        """Believe these keys from now on, and no others."""
        self._keys = keys
        self._good.clear()

    def claims(self, token: str, now: float) -> Claims:
        """Return what a token says. `now` is in seconds since 1970. Raises TokenError."""
        found = self._good.get(token)
        if found is not None and now < found[0]:
            return found[1]
        claims = self._verified(token)
        if len(self._good) >= MAX_TOKENS:
            self._good.clear()
        self._good[token] = (float(claims["exp"]) + self._leeway, claims)
        return claims

    def _verified(self, token: str) -> dict[str, Any]:
        try:
            key = self._key(jwt.get_unverified_header(token).get("kid"))
            families = _FAMILIES[key.key_type or ""]
            allowed = [name for name in self._algorithms if name.startswith(families)]
            return dict(
                jwt.decode(
                    token,
                    key.key,
                    algorithms=allowed,
                    audience=self._audience,
                    issuer=self._issuer,
                    leeway=self._leeway,
                    options={"require": ["exp", "iss", "aud"]},
                )
            )
        except jwt.ExpiredSignatureError:
            raise TokenError("the token has expired") from None
        except jwt.InvalidAudienceError:
            raise TokenError("the token is for somebody else") from None
        except jwt.InvalidIssuerError:
            raise TokenError("the token is of another issuer") from None
        except jwt.MissingRequiredClaimError as error:
            raise TokenError(f"the token has no {error.claim}") from None
        except jwt.ImmatureSignatureError:
            raise TokenError("the token is not valid yet") from None
        except jwt.InvalidSignatureError:
            raise TokenError("the signature of the token is wrong") from None
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise TokenError("it is no token that is taken here") from None

    def _key(self, name: object) -> jwt.PyJWK:
        keys = self._keys or {}
        if name is None and len(keys) == 1:
            return next(iter(keys.values()))
        key = keys.get(name) if isinstance(name, str) else None
        if key is None:
            raise UnknownKeyError("the token is signed with a key that is not known")
        return key
