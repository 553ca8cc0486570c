"""A Consul in memory, under virtual time: blocking queries, its store, and everything that may go wrong.

It differs from the real one: an index is the number of changes so far, and `wait` has no jitter.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
import trio

from namer.consul.api import Access, Consul
from namer.httpapi import MAX_BODY, NoAnswerError, Query, Reply, Session, StatusError

URL = "http://localhost:8500"


def instance(
    address: str,
    *,
    port: int = 80,
    node: str = "10.9.9.9",
    status: str = "passing",
    tags: list[str] | None = None,
    meta: dict[str, str] | None = None,
    weights: tuple[int, int] = (1, 1),
) -> dict[str, Any]:
    """One entry of `/v1/health/service`, as Consul 1.8 writes it, without what nobody reads."""
    return {
        "Node": {"Node": "n1", "Address": node, "Datacenter": "dc1", "Meta": None},
        "Service": {
            "ID": f"{address}:{port}",
            "Service": "web",
            "Tags": tags,
            "Address": address,
            "Port": port,
            "Meta": meta,
            "Weights": {"Passing": weights[0], "Warning": weights[1]},
        },
        "Checks": [{"CheckID": "serfHealth", "Status": "passing"}, {"CheckID": "c", "Status": status}],
    }


@dataclass
class Question:
    """What was asked, and when."""

    at: float
    path: str
    query: dict[str, str]
    headers: dict[str, str]


@dataclass
class FakeConsul:
    """Answers sessions. `trouble`, if set, is called in place of an answer: it may raise, wait, or make one up."""

    services: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    values: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    index: int = 1
    trouble: Callable[[], Reply | None] | None = None
    asked: list[Question] = field(default_factory=list)
    held: int = 0
    most_held: int = 0
    sessions_open: int = 0

    def __post_init__(self) -> None:
        self._changed = trio.Event()

    def consul(self, **access: Any) -> Consul:
        """A client of this Consul."""
        return Consul(Access(**access), random.Random(3), self.sessions)

    def change(self) -> None:
        """Something has changed: whoever waits is answered."""
        self.index += 1
        self.wake()

    def wake(self) -> None:
        """Answer whoever waits, though nothing has changed."""
        changed, self._changed = self._changed, trio.Event()
        changed.set()

    def serve(self, name: str, *entries: dict[str, Any]) -> None:
        """The service has these instances."""
        self.trouble = None
        self.services[name] = list(entries)
        self.change()

    def put(self, key: str, value: str) -> None:
        """The store has this value."""
        self.index += 1
        self.values[key] = (self.index, value.encode())
        self.wake()

    def goes_wrong(self, trouble: Callable[[], Reply | None]) -> None:
        """From now on every question, and those that wait, get this."""
        self.trouble = trouble
        self.wake()

    @asynccontextmanager
    async def sessions(self, url: str, **tls: Any) -> AsyncIterator[Session]:
        self.sessions_open += 1
        try:
            yield FakeSession(self)
        finally:
            self.sessions_open -= 1

    async def answer(self, method: str, path: str, query: Query, content: bytes | None) -> Reply:
        if "index" in query and int(query["index"]) >= self.index and self.trouble is None:
            self.held += 1
            self.most_held = max(self.held, self.most_held)
            try:
                with trio.move_on_after(float(query["wait"].removesuffix("s"))):
                    await self._changed.wait()
            finally:
                self.held -= 1
        if self.trouble is not None:
            made_up = self.trouble()
            if made_up is None:
                await trio.sleep_forever()
            assert made_up is not None
            return made_up
        return self._said(method, path, query, content)

    def _said(self, method: str, path: str, query: Query, content: bytes | None) -> Reply:
        kind, _, rest = path.removeprefix("/v1/").partition("/")
        if kind == "agent":
            return reply({"Config": {"Datacenter": "dc1"}, "DebugConfig": {"DNSDomain": "consul."}})
        if kind == "health":
            found = self.services.get(rest.removeprefix("service/"), [])
            return reply(found, index=self.index)
        if method == "PUT":
            known = self.values.get(rest, (0, b""))[0]
            if query["cas"] != str(known):
                return reply(False)
            self.put(rest, (content or b"").decode())
            return reply(True)
        if "keys" in query:
            return reply([key for key in self.values if key.startswith(rest)], index=self.index)
        if rest not in self.values:
            return Reply(URL + path, 404, {"x-consul-index": str(self.index)}, b"")
        index, value = self.values[rest]
        return reply([{"Key": rest, "ModifyIndex": index, "Value": value}], index=self.index)


class FakeSession(Session):
    """Asks a FakeConsul."""

    def __init__(self, consul: FakeConsul) -> None:
        self._consul = consul

    async def call(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        timeout: float = 10.0,
        limit: int = MAX_BODY,
        answers: frozenset[int] = frozenset(),
    ) -> Reply:
        await trio.lowlevel.checkpoint()
        self._consul.asked.append(Question(trio.current_time(), path, dict(query or {}), dict(headers or {})))
        with trio.move_on_after(timeout):
            return await self._consul.answer(method, path, query or {}, content)
        raise NoAnswerError(f"{URL}{path}: no answer within {timeout:g} s")


def reply(value: object, *, index: int | str | None = None) -> Reply:
    """A successful answer in JSON."""
    return raw(msgspec.json.encode(value), index=index)


def raw(body: bytes, *, index: int | str | None = None) -> Reply:
    """A successful answer of these bytes."""
    return Reply(URL, 200, {} if index is None else {"x-consul-index": str(index)}, body)


def refuses() -> Reply | None:
    raise NoAnswerError(f"{URL}: cannot connect: connection refused")


def has_no_leader() -> Reply | None:
    raise StatusError(f"{URL}: 500 No cluster leader", 500)


def has_no_path() -> Reply | None:
    raise StatusError(f"{URL}: 500 No path to datacenter", 500)


def hides() -> Reply | None:
    """What a token sees of a service that it may not read."""
    return Reply(URL, 200, {"x-consul-index": "9", "x-consul-results-filtered-by-acls": "true"}, b"[]")


def hangs() -> Reply | None:
    return None
