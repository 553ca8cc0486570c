"""The HTTP of the API server for tests: requests taken apart, answers and watches sent."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias
from urllib.parse import parse_qsl, urlsplit

import h11
import trio

Body: TypeAlias = dict[str, Any]
Send: TypeAlias = Callable[[bytes], Awaitable[None]]


@dataclass(frozen=True)
class Asked:
    """A request, taken apart."""

    method: str
    resource: str
    namespace: str
    name: str
    query: dict[str, str]
    token: str
    body: bytes

    def selects(self, body: Body | None) -> bool:
        """Whether the object exists and both selectors choose it."""
        if body is None:
            return False
        labels = body["metadata"].get("labels", {})
        wanted = dict(term.split("=", 1) for term in self.query.get("labelSelector", "").split(",") if term)
        field_ = self.query.get("fieldSelector", "").removeprefix("metadata.name=")
        return wanted.items() <= labels.items() and field_ in ("", body["metadata"]["name"])


class Refusal(Exception):
    """A request that is answered with a Status."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.body: Body = {"kind": "Status", "apiVersion": "v1", "status": "Failure"}
        self.body |= {"code": code, "reason": reason, "message": message}
        self.code = code


class Server(Protocol):
    """Who answers."""

    hang: bool
    gone_as: Literal["status", "event"]
    asked: list[str]

    def answer(self, asked: Asked) -> tuple[int, Body]: ...

    async def watch(self, asked: Asked, send: Send) -> None: ...

    def is_gone(self, asked: Asked) -> bool: ...

    def gone(self, asked: Asked) -> Refusal: ...


class Connection:
    """One connection: requests one after the other."""

    def __init__(self, server: Server, stream: trio.abc.Stream) -> None:
        self._server = server
        self._stream = stream
        self._http = h11.Connection(h11.SERVER)

    async def run(self) -> None:
        """Answer until the client has enough."""
        while (asked := await self._read()) is not None:
            if self._server.hang:
                await trio.sleep_forever()
            await self._answer(asked)
            if self._http.states != {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE}:
                return
            self._http.start_next_cycle()

    async def _answer(self, asked: Asked) -> None:
        server = self._server
        try:
            status, body = server.answer(asked)
            if asked.query.get("watch") in ("true", "1"):
                if server.gone_as == "status" and server.is_gone(asked):
                    raise server.gone(asked)
                await self._send(h11.Response(status_code=200, headers=[("Transfer-Encoding", "chunked")]))
                await self._watch(asked)
                return
        except Refusal as refusal:
            status, body = refusal.code, refusal.body
        data = json.dumps(body).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(data)))]
        await self._send(h11.Response(status_code=status, headers=headers), h11.Data(data), h11.EndOfMessage())

    async def _watch(self, asked: Asked) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._leave_with_client, nursery.cancel_scope)
            await self._server.watch(asked, self._send_line)
            nursery.cancel_scope.cancel()
        await self._send(h11.EndOfMessage())

    async def _leave_with_client(self, scope: trio.CancelScope) -> None:
        with suppress(trio.BrokenResourceError):
            while await self._stream.receive_some(1):
                pass
        scope.cancel()

    async def _send(self, *events: h11.Event) -> None:
        await self._stream.send_all(b"".join(self._http.send(event) or b"" for event in events))

    async def _send_line(self, text: bytes) -> None:
        await self._send(h11.Data(text))

    async def _read(self) -> Asked | None:
        request, body = None, b""
        while True:
            match event := self._http.next_event():
                case h11.Request():
                    request = event
                case h11.Data():
                    body += bytes(event.data)
                case h11.EndOfMessage():
                    assert request is not None
                    return self._taken_apart(request, body)
                case h11.ConnectionClosed():
                    return None
                case _:
                    self._http.receive_data(bytes(await self._stream.receive_some(65536)))

    def _taken_apart(self, request: h11.Request, body: bytes) -> Asked:
        method, target = request.method.decode(), request.target.decode()
        self._server.asked.append(f"{method} {target}")
        url = urlsplit(target)
        found = re.fullmatch(r"/(?:api/v1|apis/[^/]+/v1)/namespaces/([^/]+)/([^/]+)(?:/([^/]+))?", url.path)
        namespace, resource, name = found.groups("") if found else ("", url.path, "")
        token = dict(request.headers).get(b"authorization", b"").decode().removeprefix("Bearer ")
        return Asked(method, resource, namespace, name, dict(parse_qsl(url.query)), token, body)


def line(type_: str, body: Body | None) -> bytes:
    return json.dumps({"type": type_, "object": body}).encode() + b"\n"
