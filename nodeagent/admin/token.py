"""The token that admin requests have to show, where one is set. An edge: it may stand in a file."""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import stat
from collections.abc import Callable
from functools import partial
from typing import Final

import structlog

from conf.admin import Admin

MAX_BYTES: Final = 4096
OTHERS: Final = stat.S_IRWXO | stat.S_IWGRP
"""Permissions that the file of a secret must not have."""

log = structlog.get_logger("nodeagent.admin")


class TokenError(Exception):
    """There is no usable token; the text says what to do."""


class TokenFile:
    """A token in a file, which may be replaced at any time."""

    def __init__(self, path: str) -> None:
        """Raises TokenError when there is none in it, or it is open to all users."""
        self._path = path
        self._known: tuple[int, ...] = ()
        self._token = self._read()

    def __call__(self) -> str:
        """Return the token as it is now; while the file cannot be read, as it was."""
        try:
            self._token = self._read()
        except TokenError as error:
            log.warning("the token of the admin port stays as it was", error=str(error))
        return self._token

    def _read(self) -> str:
        where = f"admin.tokenFile {self._path}"
        try:
            with open(self._path, "rb") as file:  # noqa: PTH123  (one descriptor for both questions)
                found = os.fstat(file.fileno())
                known = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_mode)
                if known == self._known:
                    return self._token
                text = file.read(MAX_BYTES + 1).decode("ascii").strip()
        except OSError as error:
            raise TokenError(f"{where}: {(error.strerror or str(error)).lower()}") from None
        except UnicodeDecodeError:
            raise TokenError(f"{where}: expected a token in ASCII") from None
        if found.st_mode & OTHERS:
            raise TokenError(
                f"{where}: its permissions are {stat.S_IMODE(found.st_mode):04o}; chmod it to 0600 or 0640"
            )
        if not text or len(text) > MAX_BYTES or not text.isprintable() or " " in text:
            raise TokenError(f"{where}: expected one token of at most {MAX_BYTES} characters, without spaces")
        self._known = known
        return text


def token_of(config: Admin) -> Callable[[], str] | None:
    """Return what says which token holds now, None where none is asked for. Raises TokenError."""
    if config.token_file is not None:
        return TokenFile(config.token_file)
    return partial(str, config.token) if config.token else None


def shows(authorization: str, token: str) -> bool:
    """Tell whether an Authorization field shows the token: as a Bearer (RFC 6750), or as a Basic password (RFC 7617).

    The second is what a browser can do, under any user name. The time it takes does not tell how much of it is right.
    """
    scheme, _, credentials = authorization.partition(" ")
    shown = credentials.strip()
    if scheme.lower() == "basic":
        try:
            shown = base64.b64decode(shown, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return False
    elif scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(shown.encode(), token.encode())
