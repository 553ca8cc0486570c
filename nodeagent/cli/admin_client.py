"""Asks a running agent's admin port. An edge module.

It speaks to that address itself, whatever proxy the environment names: the agent may be that proxy.
"""

from __future__ import annotations

from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from typing import TypeVar
from urllib.parse import urlencode, urlsplit

import click
import msgspec

T = TypeVar("T")

TIMEOUT = 30.0
"""Seconds for one answer; the agent gives up on discovery after 2."""

MAX_REPLY = 64 * 1024 * 1024


class NoAnswerError(click.ClickException):
    """The agent cannot be asked, or cannot say; the text says why and what to do."""


class Problem(msgspec.Struct):
    """How an admin page says that it has no answer."""

    error: str


class AdminClient:
    """Reads JSON pages of the agent at `url`."""

    def __init__(self, url: str, option: str = "--admin") -> None:
        """Raises UsageError when `url`, given with `option`, is not one of an admin port."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise click.UsageError(f"{option} {url}: {error}") from None
        if parts.scheme != "http" or not parts.hostname:
            raise click.UsageError(f"{option} {url}: expected a URL such as http://127.0.0.1:9990")
        self._url = url.rstrip("/")
        self._option = option
        self._host = parts.hostname
        self._port = port or 80

    def get(self, path: str, query: Mapping[str, str]) -> bytes:
        """Return what a page says, in JSON.

        Raises UsageError when the agent does not know what is asked for, NoAnswerError when there is no answer.
        """
        connection = HTTPConnection(self._host, self._port, timeout=TIMEOUT)
        try:
            connection.request("GET", f"{path}?{urlencode(query)}", headers={"Accept": "application/json"})
            response = connection.getresponse()
            status, body = response.status, response.read(MAX_REPLY)
        except (OSError, HTTPException) as error:
            raise NoAnswerError(
                f"no agent answers at {self._url} ({_reason(error)}): start one with 'nodeagent run CONFIG', "
                f"or say where it is with {self._option} URL"
            ) from None
        finally:
            connection.close()
        if status == 200:
            return body
        try:
            problem = msgspec.json.decode(body, type=Problem)
        except (msgspec.DecodeError, RecursionError):
            raise NoAnswerError(f"{self._url}{path} answered {status}; is that an agent's admin port?") from None
        raise click.UsageError(problem.error) if status in (400, 404) else NoAnswerError(problem.error)


def decode(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Read an answer as the document that it has to be. Raises NoAnswerError."""
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise NoAnswerError(f"that is not the answer of an agent's admin port: {error}") from None


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
