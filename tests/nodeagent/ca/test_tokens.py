"""Join tokens."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.ca.tokens import KEPT, Token, TokenError, Tokens, fingerprint
from tests.tls.authorities import DOMAIN, NOW, Fleet
from tls.identity import SpiffeId
from tls.request import Permit

ROOT = Fleet.made().root.certificate
WEB = Permit(SpiffeId.host(DOMAIN, "web-1"), ("web-1.example",))
HOUR = timedelta(hours=1)


def made(tokens: Tokens) -> Token:
    """A token as the host gets it."""
    return Token.parse(str(tokens.create(WEB, ROOT, NOW + HOUR)))


def test_a_token_tells_the_root_and_the_authority_what_it_is_for(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "tokens")
    token = made(tokens)

    assert token.fingerprint == fingerprint(ROOT)
    assert tokens.permit(token.secret, NOW) == WEB


def test_the_secret_is_not_kept(tmp_path: Path) -> None:
    token = made(Tokens(tmp_path))

    for file in tmp_path.iterdir():
        assert token.secret not in file.name + file.read_text()


def test_a_token_is_used_once_also_after_a_restart(tmp_path: Path) -> None:
    token = made(Tokens(tmp_path))
    Tokens(tmp_path).use(token.secret)

    again = Tokens(tmp_path)
    with pytest.raises(TokenError, match="was used already"):
        again.use(token.secret)
    with pytest.raises(TokenError, match="was used already; if that was not you"):
        again.permit(token.secret, NOW)


def test_of_many_at_the_same_moment_one_may_use_a_token(tmp_path: Path) -> None:
    count = 16
    for _ in range(20):
        token, start = made(Tokens(tmp_path)), Barrier(count)

        def use(token: Token = token, start: Barrier = start) -> bool:
            tokens = Tokens(tmp_path)
            start.wait()
            try:
                tokens.use(token.secret)
            except TokenError:
                return False
            return True

        with ThreadPoolExecutor(count) as pool:
            assert sum(each.result() for each in [pool.submit(use) for _ in range(count)]) == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda secret: secret[:-1] + ("A" if secret[-1] != "A" else "B"), "is not known here"),
        (lambda secret: "../../etc/passwd", "is not known here"),
        (lambda secret: "", "is not known here"),
    ],
)
def test_another_secret(tmp_path: Path, change: Callable[[str], str], reason: str) -> None:
    tokens = Tokens(tmp_path)
    token = made(tokens)

    with pytest.raises(TokenError, match=reason):
        tokens.permit(change(token.secret), NOW)


def test_a_token_expires(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    token = made(tokens)

    tokens.permit(token.secret, NOW + HOUR - timedelta(seconds=1))
    with pytest.raises(TokenError, match="has expired on 2026-03-01 13:00:00 UTC; get another one"):
        tokens.permit(token.secret, NOW + HOUR)


def test_what_is_over_is_forgotten_in_time(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    used, _ = made(tokens), made(tokens)
    tokens.use(used.secret)

    tokens.sweep(NOW + KEPT)
    assert len(list(tmp_path.iterdir())) == 2
    tokens.sweep(NOW + KEPT + HOUR)
    assert list(tmp_path.iterdir()) == []
    Tokens(tmp_path / "none").sweep(NOW)


@given(
    st.text(max_size=300)
    | st.tuples(st.text(max_size=60), st.text(max_size=60)).map(lambda two: f"naj1.{two[0]}.{two[1]}")
)
def test_what_is_no_token(text: str) -> None:
    with pytest.raises(TokenError, match="join token"):
        Token.parse(text)


def test_a_token_that_was_cut() -> None:
    text = str(Token("A" * 43, b"r" * 32))
    assert str(Token.parse(f" {text}\n")) == text
    with pytest.raises(TokenError, match="is not whole"):
        Token.parse(text[:-3])
