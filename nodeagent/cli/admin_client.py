"""Asks a running agent's admin port, over TCP or a Unix socket. An edge module.

It speaks to that address itself, whatever proxy the environment names: the agent may be that proxy. Where the agent
asks for a token, that is taken from `--admin-token-file`, else from the environment: NODEAGENT_ADMIN_TOKEN.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse, IncompleteRead, LineTooLong
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

import click
import msgspec

T = TypeVar("T")

DEFAULT_ADMIN = "http://127.0.0.1:9990"

TIMEOUT = 30.0
"""Seconds for one answer; the agent gives up on discovery after 2."""

MAX_REPLY = 64 * 1024 * 1024
MAX_LINE = 16 * 1024 * 1024


TOKEN = "NODEAGENT_ADMIN_TOKEN"  # noqa: S105  (its name)
TOKEN_FILE = "NODEAGENT_ADMIN_TOKEN_FILE"  # noqa: S105

_META = "nodeagent.cli.admin_token_file"


def token_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the option `--admin-token-file`, which its AdminClient finds by itself."""

    def remember(context: click.Context, parameter: click.Parameter, value: str | None) -> None:  # noqa: ARG001
        context.meta[_META] = value

    return click.option(
        "--admin-token-file",
        metavar="FILE",
        envvar=TOKEN_FILE,
        expose_value=False,
        callback=remember,
        help=f"A file with the token of the admin port; else {TOKEN} of the environment holds.",
    )(command)


def admin_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command that asks a running agent its `--admin`, and with it `--admin-token-file`."""
    option = click.option(
        "--admin",
        metavar="URL",
        default=DEFAULT_ADMIN,
        show_default=True,
        help="The agent's admin port, or unix:/PATH.",
    )
    return option(token_option(command))


class NoAnswerError(click.ClickException):
    """The agent cannot be asked, or cannot say; the text says why and what to do."""


class UnknownError(click.UsageError):
    """The agent does not know what is asked for."""


class Problem(msgspec.Struct):
    """How an admin page says that it has no answer."""

    error: str


class AdminClient:
    """Reads JSON pages of the agent at `url`: `http://127.0.0.1:9990`, `unix:/run/nodeagent/admin.sock`."""

    def __init__(self, url: str, option: str = "--admin") -> None:
        """Raises UsageError when `url`, given with `option`, is not one of an admin port."""
        self._url = url.rstrip("/")
        self._option = option
        self._token = _token()
        self._path: str | None = None
        if url.startswith("unix:"):
            self._path = "/" + url.removeprefix("unix:").lstrip("/")
            return
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise click.UsageError(f"{option} {url}: {error}") from None
        if parts.scheme != "http" or not parts.hostname:
            raise click.UsageError(f"{option} {url}: expected a URL such as http://127.0.0.1:9990, or unix:/PATH")
        self._host = parts.hostname
        self._port = port or 80

    def get(self, path: str, query: Mapping[str, str]) -> bytes:
        """Return what a page says, in JSON.

        Raises UsageError when the agent does not know what is asked for, NoAnswerError when there is no answer.
        """
        with self._asking(path, query) as response:
            status, body = response.status, response.read(MAX_REPLY)
        if status == 200:
            return body
        raise self._refused(path, status, body)

    def events(self, path: str, query: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
        """Yield what a page sends as server-sent events (WHATWG HTML, 9.2): of each its kind, and its data.

        A comment has the kind "". Ends when the page does. Raises as `get`; NoAnswerError also when the agent goes away
        before the end.
        """
        with self._asking(path, query) as response:
            if response.status != 200:
                raise self._refused(path, response.status, response.read(MAX_REPLY))
            if not (response.getheader("Content-Type") or "").startswith("text/event-stream"):
                raise NoAnswerError(f"{self._url}{path} answered no events; is that an agent's admin port?")
            kind, data = "message", b""
            for line in _lines(response):
                field, colon, value = line.partition(b":")
                value = value.removeprefix(b" ")
                if field == b"data":
                    data = value  # our events have one line of it
                elif field == b"event":
                    kind = value.decode(errors="replace")
                elif not field and colon:
                    yield "", value
                elif not field:
                    if data:
                        yield kind, data
                    kind, data = "message", b""

    @contextmanager
    def _asking(self, path: str, query: Mapping[str, str]) -> Iterator[HTTPResponse]:
        """The answer to a question, while its connection is open. Raises NoAnswerError when that fails."""
        connection = self._connection()
        headers = {"Accept": "application/json"} | self._token
        begun = False
        try:
            connection.request("GET", f"{path}?{urlencode(query)}", headers=headers)
            response = connection.getresponse()
            begun = True
            yield response
        except (OSError, HTTPException) as error:
            if begun:
                why = "it closed the connection" if isinstance(error, IncompleteRead) else _reason(error)
                raise NoAnswerError(f"the agent at {self._url} is gone: {why}") from None
            raise NoAnswerError(
                f"no agent answers at {self._url} ({_reason(error)}): start one with 'nodeagent run CONFIG', "
                f"or say where it is with {self._option} URL"
            ) from None
        finally:
            connection.close()

    def _refused(self, path: str, status: int, body: bytes) -> click.ClickException:
        """What an answer that is no good says."""
        try:
            problem = msgspec.json.decode(body, type=Problem)
        except (msgspec.DecodeError, RecursionError):
            return NoAnswerError(f"{self._url}{path} answered {status}; is that an agent's admin port?")
        if status == 401:
            return NoAnswerError(f"{self._url} asks for a token: give it with --admin-token-file FILE, or in {TOKEN}")
        if status == 404:
            return UnknownError(problem.error)
        return click.UsageError(problem.error) if status == 400 else NoAnswerError(problem.error)

    def _connection(self) -> HTTPConnection:
        if self._path is not None:
            return UnixConnection(self._path)
        return HTTPConnection(self._host, self._port, timeout=TIMEOUT)


class UnixConnection(HTTPConnection):
    """HTTP on a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT)
        self._path = path

    def connect(self) -> None:
        """Connect to it."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _lines(response: HTTPResponse) -> Iterator[bytes]:
    """The lines of an answer, each as soon as it is whole. Raises HTTPException when it breaks off."""
    rest = b""
    while piece := response.read1(65536):
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines
        if len(rest) > MAX_LINE:
            raise LineTooLong("event")


def _token() -> dict[str, str]:
    """The field that shows the token, if there is one. Raises UsageError for a file that cannot be read."""
    context = click.get_current_context(silent=True)
    file = context.meta.get(_META) if context is not None else os.environ.get(TOKEN_FILE)
    token = os.environ.get(TOKEN)
    if file:
        try:
            token = Path(file).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise click.UsageError(f"--admin-token-file {file}: {_reason(error)}") from None
    if token and not token.isprintable():
        raise click.UsageError("the token of the admin port: expected printable text on one line")
    return {"Authorization": f"Bearer {token}"} if token else {}


_ANY = msgspec.json.Decoder()


def decode(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Read an answer as the document that it has to be. Raises NoAnswerError."""
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise NoAnswerError(f"that is not the answer of an agent's admin port: {error}") from None


def parsed(body: bytes) -> Any:
    """Read an answer of which any part may be shown. Raises NoAnswerError when it is no JSON."""
    return decode(body, _ANY)


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
