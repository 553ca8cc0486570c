"""The HTTP of registries: Consul and Kubernetes are asked through this, so that no answer of theirs can do harm.

Every answer has a limit in bytes and in seconds. The proxy variables of the environment are not obeyed: they may well
point at this agent. Redirects are not followed, because they could lead the token elsewhere. Control traffic only; an
edge, over httpx.
"""

from __future__ import annotations

import os
import pathlib
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar

import httpx
import msgspec
import trio

MAX_BODY: Final = 32 * 1024 * 1024
"""Bytes of one answer; 10,000 instances in Consul's most talkative form are about 10 MB."""

MAX_LINE: Final = 8 * 1024 * 1024
"""Bytes of one event in a stream."""

MAX_TOKEN: Final = 64 * 1024

MAX_TEXT: Final = 300
"""Characters of what a registry says of a failure that are passed on."""

CONNECT_SECONDS: Final = 3.0

Query: TypeAlias = Mapping[str, str]

T = TypeVar("T")


class ApiError(Exception):
    """A registry could not be asked, or gave no usable answer; the message names it and says how."""


class NoAnswerError(ApiError):
    """It could not be reached, or did not answer in time."""


class StatusError(ApiError):
    """It answered with a status that is no success; `status` and the beginning of what it said."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, whole. Names of headers are in lower case."""

    origin: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self, kind: type[T]) -> T:
        """The body as a value of `kind`. Raises ApiError when it is none, such as a page of HTML."""
        try:
            return msgspec.json.decode(self.body, type=kind, strict=False)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ApiError(f"{self.origin}: not the JSON that was asked for: {error}") from None

    def elements(self, kind: type[T]) -> Iterator[T]:
        """The body as a list of `kind`, one after the other: others have their turn while a thread reads a large one.

        Raises as `json`.
        """
        return self._read(self.json(list[msgspec.Raw]), kind)

    def _read(self, written: Sequence[msgspec.Raw], kind: type[T]) -> Iterator[T]:
        decoder = msgspec.json.Decoder(kind, strict=False)
        try:
            for each in written:
                yield decoder.decode(each)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ApiError(f"{self.origin}: not the JSON that was asked for: {error}") from None


class Session:
    """One client of one registry, with its connections; made by `session`."""

    def __init__(self, client: httpx.AsyncClient, server_name: str | None = None) -> None:
        self._client = client
        self._extensions = {"sni_hostname": server_name} if server_name else {}

    async def call(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        timeout: float = 10.0,  # noqa: ASYNC109  (it bounds the whole exchange, whoever calls)
        limit: int = MAX_BODY,
        answers: frozenset[int] = frozenset(),
    ) -> Reply:
        """Ask once and return the whole answer.

        Raises StatusError for any status but 2xx and those in `answers`, NoAnswerError when there is none or it is not
        whole after `timeout` seconds, ApiError for everything else that goes wrong, among it an answer of more than
        `limit` bytes. Cancelling closes the connection.
        """
        origin, missing = self._origin(path), "answer"
        with trio.move_on_after(timeout):
            async with self._exchange(method, path, query, headers, content) as response:
                missing = "whole answer"
                body = await _bounded(response, limit, origin)
            if not response.is_success and response.status_code not in answers:
                raise StatusError(f"{origin}: {response.status_code} {_beginning(body)}".rstrip(), response.status_code)
            return Reply(origin, response.status_code, response.headers, body)
        raise NoAnswerError(f"{origin}: no {missing} within {timeout:g} s")

    @asynccontextmanager
    async def lines(
        self,
        path: str,
        query: Query | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = 10.0,  # noqa: ASYNC109
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """A stream of lines that the registry goes on sending; `timeout` is for its beginning.

        How long a line may be waited for is up to whoever reads. Raises as `call`, the iterator too; it ends when the
        registry ends the stream. Cancelling closes the connection.
        """
        origin = self._origin(path)
        with trio.move_on_after(timeout) as scope:
            async with self._exchange("GET", path, query, headers, None) as response:
                if not response.is_success:
                    body = await _bounded(response, 4096, origin)
                    message = f"{origin}: {response.status_code} {_beginning(body)}".rstrip()
                    raise StatusError(message, response.status_code)
                scope.deadline = float("inf")
                chunks = response.aiter_raw()
                lines = _lines(chunks, origin)
                try:
                    yield lines
                finally:
                    await lines.aclose()
                    await _unwind(chunks)
        if scope.cancelled_caught:
            raise NoAnswerError(f"{origin}: no answer within {timeout:g} s")

    def _origin(self, path: str) -> str:
        return f"{str(self._client.base_url).rstrip('/')}{path}"

    @asynccontextmanager
    async def _exchange(
        self, method: str, path: str, query: Query | None, headers: Mapping[str, str] | None, content: bytes | None
    ) -> AsyncIterator[httpx.Response]:
        try:
            request = self._client.build_request(
                method, path, params=query, headers=headers, content=content, extensions=self._extensions
            )
            response = await self._client.send(request, stream=True)
            try:
                yield response
            finally:
                await response.aclose()
        except (httpx.LocalProtocolError, UnicodeEncodeError):  # it shows the header, which may be a token
            raise ApiError(f"{self._origin(path)}: a token or a name with characters that cannot be sent") from None
        except httpx.TransportError as error:
            raise NoAnswerError(f"{self._origin(path)}: {brief(_reason(error))}") from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise ApiError(f"{self._origin(path)}: {brief(_words(error))}") from None


@asynccontextmanager
async def session(
    url: str,
    *,
    tls: ssl.SSLContext | None = None,
    server_name: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> AsyncIterator[Session]:
    """A client of the registry at `url` (`http://host:port`, `https://...`), closed at the end of the block.

    `tls` is for https, with the name that the certificate must be for where that is not the host's; `headers` go with
    every request.
    """
    async with httpx.AsyncClient(
        base_url=url,
        headers={"accept-encoding": "identity", "user-agent": "nodeagent", **(headers or {})},
        verify=tls or False,
        trust_env=False,
        follow_redirects=False,
        timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),
    ) as client:
        yield Session(client, server_name)


async def _bounded(response: httpx.Response, limit: int, origin: str) -> bytes:
    body = bytearray()
    chunks = response.aiter_raw()
    try:
        async for chunk in chunks:
            body += chunk
            if len(body) > limit:
                raise ApiError(f"{origin}: an answer of more than {limit} bytes")
    finally:
        await _unwind(chunks)
    return bytes(body)


async def _lines(chunks: AsyncIterator[bytes], origin: str) -> AsyncGenerator[bytes, None]:
    rest = bytearray()
    async for chunk in chunks:
        rest += chunk
        if b"\n" in chunk:
            *lines, last = rest.split(b"\n")
            for line in lines:
                yield bytes(line)
            rest = last
        if len(rest) > MAX_LINE:
            raise ApiError(f"{origin}: an event of more than {MAX_LINE} bytes")
    if rest:
        yield bytes(rest)


async def _unwind(chunks: AsyncIterator[bytes]) -> None:
    """Have the generators of httpx end, which are one inside the other; they stay open where a reader stops early."""
    with trio.CancelScope() as scope, suppress(httpx.HTTPError, httpx.StreamError):
        scope.cancel()
        async for _ in chunks:
            pass


def _reason(error: Exception) -> str:
    match error:
        case httpx.ConnectTimeout():
            return f"no connection within {CONNECT_SECONDS:g} s"
        case httpx.ConnectError():
            said = dict.fromkeys(_system_errors(error))
            return f"cannot connect: {', '.join(said) or _words(error)}"
        case _:
            return _words(error)


def _system_errors(error: BaseException | None) -> Iterator[str]:
    """What the system said of each address that was tried, which stands behind what libraries say."""
    match error:
        case None:
            return
        case BaseExceptionGroup():
            for each in error.exceptions:
                yield from _system_errors(each)
        case OSError(errno=int(number), strerror=str(said)) if not isinstance(error, ssl.SSLError):
            said = os.strerror(number) if number > 0 else said  # trio adds the address
            yield said[:1].lower() + said[1:]
        case _:
            yield from _system_errors(error.__cause__ or error.__context__)


def _words(error: BaseException) -> str:
    """What an error says, or else the one behind it, such as that of a handshake; at last its name."""
    behind = error.__cause__ or error.__context__
    return str(error) or (_words(behind) if behind else type(error).__name__)


def _beginning(body: bytes) -> str:
    return brief(body[:MAX_TEXT].decode("utf-8", "replace"))


def brief(text: str) -> str:
    """What a registry says, fit for one line of a message."""
    line = " ".join(text[:MAX_TEXT].split())
    return line if line.isprintable() else repr(line)


def read_token(file: str) -> str:
    """The token in a file. Blocks; raises ApiError when there is none that could be sent."""
    try:
        with pathlib.Path(file).open("rb") as opened:
            token = opened.read(MAX_TOKEN + 1).strip()
    except OSError as error:
        raise ApiError(f"{file}: the token cannot be read: {error.strerror or error}") from None
    if not token or len(token) > MAX_TOKEN or any(byte <= 32 or byte >= 127 for byte in token):
        raise ApiError(f"{file}: no token; expected one line of printable characters")
    return token.decode("ascii")
