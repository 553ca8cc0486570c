"""List and watch on an API server of the tests: what is asked for, and what becomes of all that goes wrong."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from namer.httpapi import ApiError
from namer.k8s.namer import slices_query
from namer.k8s.objects import EndpointSlice, Metadata, Page
from namer.k8s.reflector import MAX_DELAY, SILENCE, Collection, GoneError, Reflector, retry_delay
from tests.namer.k8s.apiserver import ApiServer
from tests.namer.k8s.world import Cluster, cluster, put_slice


class Audience:
    """Remembers what it was told: names of slices, and problems."""

    def __init__(self) -> None:
        self.told: list[list[str]] = []
        self.problems: list[str] = []
        self.failing = False

    def known(self, objects: Mapping[str, EndpointSlice]) -> None:
        self.failing = False
        if not self.told or self.told[-1] != sorted(objects):
            self.told.append(sorted(objects))

    def failed(self, reason: str, retry_at: float) -> None:
        assert retry_at > trio.current_time()
        self.failing = True
        self.problems.append(reason)


@asynccontextmanager
async def followed(clock: MockClock, server: ApiServer) -> AsyncIterator[tuple[Cluster, Audience]]:
    """The slices of `users`, of which there is one at first, followed since a second."""
    async with cluster(clock, server) as world, trio.open_nursery() as nursery:
        put_slice(server, "10.0.0.1", name="a")
        audience = Audience()
        query = slices_query("shop", "users", "")
        nursery.start_soon(Reflector(world.api, query, audience, random.Random(7)).run)
        await trio.sleep(1)
        yield world, audience
        nursery.cancel_scope.cancel()


def asked(server: ApiServer) -> list[dict[str, str]]:
    """The queries of the requests so far; `watch` is not in those that listed."""
    return [{key: one for key, (one,) in parse_qs(urlsplit(line).query).items()} for line in server.asked]


async def test_it_lists_once_and_then_watches(autojump_clock: MockClock) -> None:
    server = ApiServer()
    async with followed(autojump_clock, server) as (_, audience):
        put_slice(server, name="b")
        await trio.sleep(0.1)
        server.delete("endpointslices", "shop", "a")
        put_slice(server, name="other", service="other")
        await trio.sleep(0.1)

        assert audience.told == [["a"], ["a", "b"], ["b"]]
        listed, watched = asked(server)
        selector = "kubernetes.io/service-name=users"
        assert listed == {"labelSelector": selector, "resourceVersion": "0"}
        assert 225 <= int(watched.pop("timeoutSeconds")) <= 300
        assert watched == {
            "labelSelector": selector,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": "2",
        }


async def test_a_watch_that_ends_goes_on_from_the_last_bookmark(autojump_clock: MockClock) -> None:
    server = ApiServer()
    async with followed(autojump_clock, server) as (_, audience):
        for _ in range(20):
            put_slice(server, name="x", service="other")
        await trio.sleep(400)
        put_slice(server, name="b")
        await trio.sleep(1)

        assert audience.told == [["a"], ["a", "b"]]
        assert audience.problems == []
        first, *rest = asked(server)
        assert "watch" not in first
        assert [each["resourceVersion"] for each in rest] == ["2", str(server.version - 1)]


@pytest.mark.parametrize("gone_as", ["status", "event"])
async def test_gone_is_no_failure_and_lists_anew(autojump_clock: MockClock, gone_as: Any) -> None:
    server = ApiServer(gone_as=gone_as)
    async with followed(autojump_clock, server) as (_, audience):
        put_slice(server, name="x", service="other")
        server.compact()
        server.cut()
        put_slice(server, name="b")
        await trio.sleep(2)

        assert audience.told == [["a"], ["a", "b"]]
        assert not audience.failing
        again = [each for each in asked(server) if "watch" not in each][1:]
        assert again == [{"labelSelector": "kubernetes.io/service-name=users"}]
        assert server.watches == 1


async def test_gone_again_and_again_is_asked_less_and_less_often(autojump_clock: MockClock) -> None:
    server = ApiServer()
    async with followed(autojump_clock, server) as (_, audience):
        server._forgotten = 10**9
        server.cut()
        before = len(server.asked)
        await trio.sleep(120)

        assert len(server.asked) - before < 2 * 120 / (MAX_DELAY / 2) + 20
        assert audience.told == [["a"]]


async def test_gone_after_each_bookmark_is_no_hot_loop(autojump_clock: MockClock) -> None:
    server = ApiServer()
    async with followed(autojump_clock, server):
        before = len(server.asked)
        for _ in range(200):
            server.say(b'{"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "999"}}}\n')
            server.say(b'{"type": "ERROR", "object": {"code": 410}}\n')
            await trio.sleep(0.12)

        assert len(server.asked) - before < 2 * 24 / (MAX_DELAY / 2) + 12


async def test_a_cut_goes_on_where_it_was(autojump_clock: MockClock) -> None:
    server = ApiServer()
    async with followed(autojump_clock, server) as (_, audience):
        server.cut()
        put_slice(server, name="b")
        await trio.sleep(2)

        assert audience.told == [["a"], ["a", "b"]]
        assert len(audience.problems) == 1
        assert not audience.failing
        assert [("watch" in each) for each in asked(server)] == [False, True, True]


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"<html>502 Bad Gateway</html>\n", id="a page"),
        pytest.param(b'{"type":"MODIFIED","object":{"metadata":{"na\n', id="half an event"),
        pytest.param(b'{"type":"PATCHED","object":{}}\n', id="an unknown event"),
        pytest.param(b'{"type":"ADDED","object":[]}\n', id="no object"),
        pytest.param(b"\xff\xfe\n", id="no text"),
        pytest.param(b'{"type":"ERROR","object":{"code":500,"message":"etcd: no leader"}}\n', id="an error"),
    ],
)
async def test_garbage_is_told_and_what_was_missed_is_listed(autojump_clock: MockClock, line: bytes) -> None:
    server = ApiServer()
    async with followed(autojump_clock, server) as (_, audience):
        server.say(line)
        put_slice(server, name="b")
        await trio.sleep(2)

        assert audience.told == [["a"], ["a", "b"]]
        assert len(audience.problems) == 1
        assert not audience.failing
        assert ["watch" in each for each in asked(server)] == [False, True, False, True]


async def test_a_silent_connection_is_left_for_another(autojump_clock: MockClock) -> None:
    server = ApiServer()
    async with followed(autojump_clock, server) as (_, audience):
        server.hang = True
        put_slice(server, name="b")
        await trio.sleep(SILENCE / 2)
        server.hang = False
        await trio.sleep(SILENCE / 2 + 1)

        assert audience.told == [["a"], ["a", "b"]]
        assert audience.problems == []


async def test_a_server_that_accepts_and_says_nothing_is_an_error_within_seconds(autojump_clock: MockClock) -> None:
    server = ApiServer()
    async with followed(autojump_clock, server) as (_, audience):
        server.hang = True
        server.cut()
        await trio.sleep(6)

        assert audience.failing
        assert "no answer within 5 s" in audience.problems[-1]
        assert audience.told == [["a"]]


async def test_a_restored_server_with_lower_versions_is_believed(autojump_clock: MockClock) -> None:
    server = ApiServer()
    async with followed(autojump_clock, server) as (_, audience):
        for _ in range(10):
            put_slice(server, "10.0.0.1", name="a")
        await trio.sleep(1)
        server.forget_everything()
        put_slice(server, name="c")
        await trio.sleep(70)  # a bookmark tells

        assert audience.told == [["a"], ["c"]]


async def test_a_token_that_was_replaced_is_read_again(autojump_clock: MockClock) -> None:
    server = ApiServer()
    async with followed(autojump_clock, server) as (_, audience):
        server.token = "another"
        server.cut()
        await trio.sleep(3)
        assert "401" in audience.problems[-1]
        assert "the token is not accepted" in audience.problems[-1]

        server.token = None
        await trio.sleep(6)
        assert not audience.failing


async def test_a_list_without_a_version_is_refused() -> None:
    collection = Collection(EndpointSlice)
    with pytest.raises(ApiError, match="here: a list without a resourceVersion"):
        collection.replace(Page(), "here")
    assert not collection.listed


def event(kind: str, name: str, version: int) -> bytes:
    return json.dumps({"type": kind, "object": {"metadata": {"name": name, "resourceVersion": str(version)}}}).encode()


@given(st.lists(st.tuples(st.sampled_from(["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]), st.sampled_from("abc"))))
def test_a_collection_is_what_the_events_leave(events: list[tuple[str, str]]) -> None:
    collection = Collection(EndpointSlice)
    collection.replace(Page(metadata=Metadata(resource_version="7")), "here")
    left: set[str] = set()
    for version, (kind, name) in enumerate(events, 8):
        assert collection.apply(event(kind, name, version), "here") == (kind != "BOOKMARK")
        left = left - {name} if kind == "DELETED" else left | {name} if kind != "BOOKMARK" else left

    assert set(collection.objects) == left
    assert collection.version == str(7 + len(events))


@given(st.binary(max_size=60))
def test_no_line_does_harm(line: bytes) -> None:
    collection = Collection(EndpointSlice)
    collection.replace(Page(metadata=Metadata(resource_version="7")), "here")
    with pytest.raises(ApiError, match=r"^here: "):
        collection.apply(line, "here")
    assert not collection.listed


def test_gone_as_an_event() -> None:
    collection = Collection(EndpointSlice)
    collection.replace(Page(metadata=Metadata(resource_version="7")), "here")
    with pytest.raises(GoneError):
        collection.apply(b'{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}', "here")


def test_delays_grow_to_a_ceiling_and_are_spread() -> None:
    rng = random.Random(7)
    delays = [[retry_delay(failures, rng) for _ in range(100)] for failures in (0, 3, 100)]

    assert [
        (min(each) >= low, max(each) <= high)
        for each, low, high in zip(delays, (0.05, 0.4, 2.5), (0.1, 0.8, 5.0), strict=True)
    ] == [(True, True)] * 3
    assert len(set(delays[2])) > 50
