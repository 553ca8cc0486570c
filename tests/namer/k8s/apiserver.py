"""A Kubernetes API server for tests: objects in memory, served over HTTP/1.1 on a loopback socket.

True to "Kubernetes API Concepts" and the API reference in what the agent uses:

    list      GET of a collection, with labelSelector (`a=b,c=d`), fieldSelector (`metadata.name=x`), and the
              resourceVersion "0" or ""
    watch     the same with watch=true: chunked lines of ADDED, MODIFIED, DELETED, BOOKMARK, ERROR; an object that
              leaves the selection is DELETED; timeoutSeconds; 410 for a version that is no longer in the log
    write     GET, POST and PATCH (merge) of an object, with 404, 409 for one that exists and for a stale version
    access    bearer token (401), what an account may not (403), TLS

Where it deviates: only the kinds that are put into it exist, and none is validated; every namespace exists; a list has
no pages (`limit`, `continue`); versions are counted from 1 and each change has the next one; a bookmark carries the
newest version and comes every `bookmark_seconds` exactly; no HTTP/2, no other content type than JSON, no discovery.

Misbehaviour on demand: `gone_as` (410 as a status or as an event), `cut` (every connection is closed), `refuse` (every
request is answered with this status), `hang` (no request is answered, no watch has anything more to say), `say` (a raw
line in every watch).
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

import h11
import trio

from tests.namer.k8s.wire import Asked, Body, Connection, Refusal, Send, line

GROUPS = {"endpointslices": ("discovery.k8s.io/v1", "EndpointSlice"), "services": ("v1", "Service"),
          "configmaps": ("v1", "ConfigMap"), "pods": ("v1", "Pod")}  # fmt: skip


@dataclass(frozen=True)
class Change:
    """An entry of the log; `before` and `after` are the object, None where it did not exist."""

    version: int
    resource: str
    namespace: str
    before: Body | None
    after: Body | None


@dataclass
class ApiServer:
    """One API server. Change its objects by `put` and `delete`; `asked` is what it was asked, as lines."""

    token: str | None = None
    tls: ssl.SSLContext | None = None
    bookmark_seconds: float = 60.0
    gone_as: Literal["status", "event"] = "event"
    refuse: int | None = None
    hang: bool = False
    forbidden: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    port: int = 0

    def __post_init__(self) -> None:
        self.version = 1
        self._objects: dict[tuple[str, str, str], Body] = {}
        self._log: list[Change] = []
        self._forgotten = 0  # changes up to this version are no longer in the log
        self._changed = trio.Event()
        self._said: list[bytes] = []
        self._connections: set[trio.CancelScope] = set()
        self._listener: socket.socket | None = None
        self.watches = 0  # open ones

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://localhost:{self.port}"

    # What a controller or an operator does

    def put(self, resource: str, namespace: str, name: str, labels: dict[str, str] | None = None, **body: Any) -> None:
        """Create or replace an object."""
        api_version, kind = GROUPS[resource]
        self._store(resource, namespace, name, {"kind": kind, "apiVersion": api_version, **body,
                    "metadata": {"name": name, "namespace": namespace, "labels": labels or {}}})  # fmt: skip

    def delete(self, resource: str, namespace: str, name: str) -> None:
        self._store(resource, namespace, name, None)

    def compact(self) -> None:
        """Forget the log: whoever wants to watch from an older version is told 410."""
        self._forgotten, self._log = self.version, []

    def forget_everything(self) -> None:
        """Begin again with an empty store, as one that was restored from nothing."""
        self._objects, self._log, self.version, self._forgotten = {}, [], 1, 0
        self.cut()

    def cut(self) -> None:
        """Close all connections."""
        for scope in self._connections:
            scope.cancel()

    def say(self, line: bytes) -> None:
        """Send this line to all watches."""
        self._said.append(line)
        self._wake()

    def _store(self, resource: str, namespace: str, name: str, after: Body | None) -> None:
        key = (resource, namespace, name)
        before = self._objects.pop(key, None)
        self.version += 1
        if after is not None:
            after["metadata"]["resourceVersion"] = str(self.version)
            self._objects[key] = after
        elif before is not None:
            before = before | {"metadata": before["metadata"] | {"resourceVersion": str(self.version)}}
        self._log.append(Change(self.version, resource, namespace, before, after))
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    # What the API server does

    def listen(self) -> None:
        """Take a port, the same as before if it had one: whoever connects waits for `run`."""
        listener = socket.create_server(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        self._listener = listener

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve, until cancelled; nobody listens then."""
        if self._listener is None:
            self.listen()
        assert self._listener is not None
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(self._listener))
        self._listener = None
        async with trio.open_nursery() as nursery:
            await nursery.start(trio.serve_listeners, self._serve, [listener])
            task_status.started()

    async def _serve(self, stream: trio.SocketStream) -> None:
        connected: trio.abc.Stream = stream
        if self.tls is not None:
            connected = trio.SSLStream(stream, self.tls, server_side=True, https_compatible=True)
        with trio.CancelScope() as scope, suppress(trio.BrokenResourceError, h11.RemoteProtocolError):
            self._connections.add(scope)
            try:
                await Connection(self, connected).run()
            finally:
                self._connections.discard(scope)
                await trio.aclose_forcefully(stream)

    def answer(self, asked: Asked) -> tuple[int, Body]:
        """The answer to all but a watch. Raises Refusal."""
        if self.refuse:
            raise Refusal(self.refuse, "InternalError", "out of order")
        if self.token is not None and asked.token != self.token:
            raise Refusal(401, "Unauthorized", "Unauthorized")
        if asked.resource in self.forbidden:
            raise Refusal(403, "Forbidden", f'{asked.resource} is forbidden: User "agent" cannot {asked.method} it')
        if asked.resource not in GROUPS:
            raise Refusal(404, "NotFound", "the server could not find the requested resource")
        if asked.method == "GET" and not asked.name:
            return 200, self._list(asked)
        if asked.method == "GET":
            return 200, self._one(asked)
        return self._write(asked)

    def _list(self, asked: Asked) -> Body:
        if "watch" not in asked.query and asked.query.get("resourceVersion", "") not in ("", "0"):
            raise Refusal(400, "BadRequest", "lists of a certain version are not known here")
        found = [
            body
            for (resource, namespace, _), body in self._objects.items()
            if (resource, namespace) == (asked.resource, asked.namespace) and asked.selects(body)
        ]
        api_version, kind = GROUPS[asked.resource]
        metadata = {"resourceVersion": str(self.version)}
        return {"kind": f"{kind}List", "apiVersion": api_version, "metadata": metadata, "items": found}

    def _one(self, asked: Asked) -> Body:
        found = self._objects.get((asked.resource, asked.namespace, asked.name))
        if found is None:
            raise Refusal(404, "NotFound", f'{asked.resource} "{asked.name}" not found')
        return found

    def _write(self, asked: Asked) -> tuple[int, Body]:
        sent = json.loads(asked.body)
        if asked.method == "POST":
            name = sent["metadata"]["name"]
            if (asked.resource, asked.namespace, name) in self._objects:
                raise Refusal(409, "AlreadyExists", f'{asked.resource} "{name}" already exists')
            self.put(asked.resource, asked.namespace, name, **{k: v for k, v in sent.items() if k != "metadata"})
            return 201, self._objects[asked.resource, asked.namespace, name]
        found = self._one(asked)
        expected = sent.get("metadata", {}).get("resourceVersion")
        if expected not in (None, found["metadata"]["resourceVersion"]):
            raise Refusal(409, "Conflict", "the object has been modified; please apply your changes")
        merged = json.loads(json.dumps(found))
        merged["data"] = {k: v for k, v in ((merged.get("data") or {}) | sent["data"]).items() if v is not None}
        self._store(asked.resource, asked.namespace, asked.name, merged)
        return 200, merged

    async def watch(self, asked: Asked, send: Send) -> None:
        """Send the lines of a watch, until its time is over."""
        version, said = int(asked.query["resourceVersion"]), len(self._said)
        if self.is_gone(asked):
            await send(line("ERROR", self.gone(asked).body))
            return
        self.watches += 1
        try:
            with trio.move_on_after(float(asked.query.get("timeoutSeconds", "1800"))):
                await self._follow(asked, version, said, send)
        finally:
            self.watches -= 1

    async def _follow(self, asked: Asked, version: int, said: int, send: Send) -> None:
        bookmark_at = trio.current_time() + self.bookmark_seconds
        while True:
            changed = self._changed
            for each in [*self._said[said:], *self._told(asked, version)]:
                await send(each)
            version, said = max(version, self.version), len(self._said)
            with trio.move_on_at(bookmark_at) as waiting:
                await changed.wait()
            if self.hang:
                await trio.sleep_forever()
            if waiting.cancelled_caught:
                bookmark_at += self.bookmark_seconds
                if asked.query.get("allowWatchBookmarks") == "true":
                    await send(self._bookmark(asked))

    def _told(self, asked: Asked, version: int) -> Iterator[bytes]:
        """The events since a version, as the selection of this watch has them."""
        for change in self._log:
            if change.version > version and (change.resource, change.namespace) == (asked.resource, asked.namespace):
                match asked.selects(change.before), asked.selects(change.after):
                    case False, True:
                        yield line("ADDED", change.after)
                    case True, True:
                        yield line("MODIFIED", change.after)
                    case True, False:
                        yield line("DELETED", change.after or change.before)

    def _bookmark(self, asked: Asked) -> bytes:
        api_version, kind = GROUPS[asked.resource]
        metadata = {"resourceVersion": str(self.version), "creationTimestamp": None}
        return line("BOOKMARK", {"kind": kind, "apiVersion": api_version, "metadata": metadata})

    def is_gone(self, asked: Asked) -> bool:
        """Whether a watch asks for more than the log still has."""
        return int(asked.query["resourceVersion"]) < self._forgotten

    def gone(self, asked: Asked) -> Refusal:
        """How that is said."""
        return Refusal(410, "Expired", f"too old resource version: {asked.query['resourceVersion']} ({self.version})")
