"""The certificate of this host."""

from __future__ import annotations

import pytest

import conf
from conf.identity import Identity
from tests.conf.texts import MINIMAL, problems


def test_all_keys() -> None:
    text = MINIMAL + "identity: {dir: identity, ca: 'ca.example:4150', joinTokenPath: token}"

    assert conf.load(text, "l5d").identity == Identity(dir="identity", ca="ca.example:4150", join_token_path="token")


def test_unset_nobody_keeps_one() -> None:
    assert conf.load(MINIMAL, "l5d").identity is None


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ("{ca: 'ca.example:4150'}", "identity.dir: missing"),
        ("{dir: i, ca: ca.example}", "identity.ca: expected HOST:PORT, such as ca.example:4150"),
        ("{dir: i, ca: 'ca.example:0'}", "identity.ca: expected HOST:PORT, such as ca.example:4150"),
        ("{dir: i, ca: 'https://ca.example:4150'}", "identity.ca: expected HOST:PORT, such as ca.example:4150"),
        ("{dir: i, joinTokenPath: t}", "identity.joinTokenPath: needs ca, the address of the authority to join"),
        ("{dir: i, token: t}", "identity.token: unknown key"),
    ],
)
def test_what_is_wrong(keys: str, problem: str) -> None:
    (line,) = problems(MINIMAL + f"identity: {keys}")

    assert problem in line
