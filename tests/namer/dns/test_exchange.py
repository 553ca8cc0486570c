"""Replies as real bytes on real sockets: good ones, and those that somebody else or a broken server sends."""

import struct
import threading
from collections.abc import Callable, Iterable
from typing import Any

import dns.message
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from namer.dns.answers import MAX_RECORDS, Kind, Reply, ServerFailed, Srv
from namer.dns.exchange import SHORT
from namer.dns.resolver import AskByWire
from namer.dns.settings import Server
from tests.namer.dns.hostile import HOSTILE, WORST
from tests.namer.dns.server import Replies, response, truncated, wire_server

WEB = "web.example. 60 IN A 10.0.0.1"
SOA = "example. 900 IN SOA ns.example. root.example. 1 2 3 4 600"
GOOD = Reply(("10.0.0.1",), 60)
MOST = 4090  # addresses that fit into a message of 64 KB


async def asked(udp: Replies, *, kind: Kind = "A", tcp: Replies = lambda query: ()) -> Reply | str:
    """What a server with these replies says of web.example, or what is wrong with it."""
    async with wire_server(udp, tcp) as server:
        with trio.fail_after(10):
            try:
                return await AskByWire()(server.where, "web.example.", kind)
            except ServerFailed as problem:
                return str(problem)
    raise AssertionError


@pytest.mark.parametrize(
    ("kind", "records", "reply"),
    [
        pytest.param("A", [WEB], GOOD, id="an address"),
        pytest.param(
            "A", ["web.example. 60 IN A 10.0.0.2", WEB], Reply(("10.0.0.1", "10.0.0.2"), 60), id="always in one order"
        ),
        pytest.param("AAAA", ["web.example. 60 IN AAAA ::1"], Reply(("::1",), 60), id="an IPv6 address"),
        pytest.param(
            "SRV",
            ["web.example. 60 IN SRV 10 1 80 B.example.", "web.example. 60 IN SRV 5 2 81 a.example."],
            Reply((Srv(5, 2, 81, "a.example."), Srv(10, 1, 80, "b.example.")), 60),
            id="services",
        ),
        pytest.param(
            "A",
            ["web.example. 5 IN CNAME a.example.", "a.example. 3600 IN CNAME b.", "b. 86400 IN A 10.0.0.1"],
            Reply(("10.0.0.1",), 5),
            id="a chain holds as long as its shortest link",
        ),
        pytest.param(
            "A",
            ["web.example. 86400 IN CNAME b.", "b. 7 IN A 10.0.0.1"],
            Reply(("10.0.0.1",), 7),
            id="whichever link that is",
        ),
        pytest.param("A", [WEB, "bank.example. 60 IN A 10.6.6.6"], GOOD, id="what was not asked for is not used"),
        pytest.param(
            "A",
            ["web.example. 60 IN CNAME a.example.", "b.example. 60 IN A 10.6.6.6"],
            Reply((), 5),
            id="nor what does not belong to the chain",
        ),
        pytest.param("A", ["web.example. 60 IN CNAME a.example.", WEB], GOOD, id="nor a CNAME of what has an address"),
        pytest.param("A", ["WEB.Example. 60 IN A 10.0.0.1"], GOOD, id="letters large and small are the same"),
        pytest.param("A", ["web.example. 0 IN A 10.0.0.1"], Reply(("10.0.0.1",), 0), id="a TTL of 0"),
        pytest.param(
            "A", ["web.example. 2147483647 IN A 10.0.0.1"], Reply(("10.0.0.1",), 2**31 - 1), id="the longest TTL"
        ),
    ],
)
async def test_what_an_answer_says(kind: Kind, records: list[str], reply: Reply) -> None:
    assert await asked(lambda query: [response(query, *records)], kind=kind) == reply


async def test_a_ttl_with_its_first_bit_set_is_0() -> None:
    def udp(query: bytes) -> Iterable[bytes]:
        reply = response(query, "web.example. 305419896 IN A 10.0.0.1")
        yield reply.replace(struct.pack("!I", 305419896), struct.pack("!I", 2**31))

    assert await asked(udp) == Reply(("10.0.0.1",), 0)


@pytest.mark.parametrize(
    ("code", "authority", "reply"),
    [
        pytest.param("NXDOMAIN", [SOA], Reply((), 600, exists=False), id="no such name: the zone's minimum"),
        pytest.param("NOERROR", [SOA], Reply((), 600), id="no such record"),
        pytest.param(
            "NXDOMAIN", [SOA.replace("900", "90")], Reply((), 90, exists=False), id="the TTL of that, if it is less"
        ),
        pytest.param("NXDOMAIN", [], Reply((), 5, exists=False), id="nobody says for how long"),
        pytest.param("NXDOMAIN", [f"other.{SOA}"], Reply((), 5, exists=False), id="nor does he who has another zone"),
    ],
)
async def test_what_no_says(code: str, authority: list[str], reply: Reply) -> None:
    assert await asked(lambda query: [response(query, code=code, authority=authority)]) == reply


def with_id(query: bytes, reply: bytes) -> bytes:
    return bytes([query[0] ^ 0xFF]) + reply[1:]


def other_question(query: bytes) -> bytes:
    return query.replace(b"\x03web", b"\x03wee")


def update(reply: bytes) -> bytes:
    return reply[:2] + bytes([reply[2] | 0x28]) + reply[3:]


POINTER_LOOP = b"\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00\xc0\x0c\x00\x01\x00\x01"


@pytest.mark.parametrize(
    "hostile",
    [
        pytest.param(lambda query: with_id(query, response(query, "web.example. 60 IN A 10.6.6.6")), id="wrong id"),
        pytest.param(
            lambda query: response(other_question(query), "wee.example. 60 IN A 10.6.6.6"), id="wrong question"
        ),
        pytest.param(lambda query: query, id="the query itself"),
        pytest.param(lambda query: b"", id="nothing at all"),
        pytest.param(lambda query: b"\x00" * 11, id="half a header"),
        pytest.param(lambda query: query[:2] + POINTER_LOOP, id="a name that points at itself"),
        pytest.param(lambda query: response(query, WEB)[:-3], id="a record cut short"),
        pytest.param(lambda query: response(query, WEB) + b"GET / HTTP/1.1", id="more than a message"),
        pytest.param(lambda query: with_id(query, truncated(query)), id="truncation of something else"),
        pytest.param(lambda query: update(response(query, WEB)), id="the response to an update"),
        pytest.param(lambda query: response(query, WEB).replace(b"\0\x04\x0a\0\0\1", b"\0\0"), id="half an address"),
        pytest.param(lambda query: query[:2] + b"\x81\x80\xff\xff" + b"\0" * 60_000, id="10,000 questions"),
    ],
)
async def test_what_is_not_the_reply_does_not_end_the_wait(hostile: Replies) -> None:
    assert await asked(lambda query: [hostile(query), response(query, WEB)]) == GOOD  # type: ignore[list-item]


async def test_what_comes_from_elsewhere_is_not_the_reply() -> None:
    with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as server:
        await server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        found: list[Reply] = []

        async def client() -> None:
            found.append(await AskByWire()(Server("127.0.0.1", port), "web.example.", "A"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(client)
            query, caller = await server.recvfrom(512)
            with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as stranger:
                await stranger.sendto(response(query, "web.example. 60 IN A 10.6.6.6"), caller)
            await server.sendto(response(query, WEB), caller)

    assert found == [GOOD]


async def test_ids_and_ports_cannot_be_guessed() -> None:
    seen = set()
    async with wire_server(lambda query: [response(query, WEB)]) as server:
        for _ in range(20):
            await AskByWire()(server.where, "web.example.", "A")
        seen = {query[:2] for _, query in server.asked}

    assert len(seen) > 15


@pytest.mark.parametrize(
    ("replies", "reason"),
    [
        pytest.param(lambda query: [response(query, code="SERVFAIL")], "says SERVFAIL", id="failing"),
        pytest.param(lambda query: [response(query, code="REFUSED")], "says REFUSED", id="refusing"),
        pytest.param(
            lambda query: [response(query, "web.example. 9 IN CNAME a.", "a. 9 IN CNAME web.example.")],
            "made no sense: ",
            id="a circle of CNAMEs",
        ),
        pytest.param(
            lambda query: [response(query, *(f"{n or 'web.example'}. 9 IN CNAME {n + 1}." for n in range(40)))],
            "made no sense: ",
            id="a chain without end",
        ),
        pytest.param(
            lambda query: [response(query, WEB, code="NXDOMAIN")], "made no sense: ", id="there is none, and here it is"
        ),
        pytest.param(
            lambda query: [b"%b\x80\x00%b" % (query[:2], query[4:])],
            "does not answer for others",
            id="a server that is nobody's resolver",
        ),
    ],
)
async def test_what_another_server_may_do_better(replies: Replies, reason: str) -> None:
    assert reason in str(await asked(replies))


@pytest.mark.parametrize(("links", "found"), [(15, GOOD), (16, "made no sense: The CNAME chain is too long.")])
async def test_a_chain_has_so_many_links_at_most(links: int, found: Reply | str) -> None:
    chain = [f"{number or 'web.example'}. 60 IN CNAME {number + 1}." for number in range(links)]

    assert await asked(lambda query: [response(query, *chain, f"{links}. 60 IN A 10.0.0.1")]) == found


async def test_a_port_where_nobody_listens_is_told_at_once() -> None:
    async with wire_server(lambda query: ()) as server:
        where = server.where
    with trio.fail_after(1), pytest.raises(ServerFailed, match="connection refused"):
        await AskByWire()(where, "web.example.", "A")


async def test_what_does_not_fit_comes_by_tcp() -> None:
    records = [f"web.example. 60 IN A 10.0.{n >> 8}.{n & 255}" for n in range(MOST)]
    reply = await asked(lambda query: [truncated(query)], tcp=lambda query: [response(query, *records)])

    assert isinstance(reply, Reply)
    assert (len(reply.records), reply.surplus) == (MAX_RECORDS, MOST - MAX_RECORDS)


@pytest.mark.parametrize(
    ("tcp", "reason"),
    [
        pytest.param(lambda query: [], "closed the connection", id="nothing"),
        pytest.param(lambda query: [query[:2] + POINTER_LOOP], "made no sense", id="nonsense"),
        pytest.param(lambda query: [b""], "made no sense", id="an empty message"),
        pytest.param(lambda query: [HOSTILE["bombs"](query)], "too much work", id="a bomb"),
        pytest.param(
            lambda query: [response(other_question(query), "wee.example. 60 IN A 10.6.6.6")],
            "made no sense",
            id="wrong question",
        ),
    ],
)
async def test_what_may_come_by_tcp_instead(tcp: Replies, reason: str) -> None:
    assert reason in str(await asked(lambda query: [truncated(query)], tcp=tcp))


@st.composite
def mangled(draw: st.DrawFn) -> Replies:
    """Responses, with some bytes that are others, gone or more, behind a good id and flags."""
    records = draw(st.sampled_from([[WEB], ["web.example. 5 IN CNAME b.", "b. 7 IN A 10.0.0.1"], []]))
    authority = [] if records else [SOA]
    edits = draw(st.lists(st.tuples(st.integers(4, 80), st.integers(0, 2), st.binary(max_size=2)), max_size=4))
    end = draw(st.binary(max_size=20))

    def replies(query: bytes) -> Iterable[bytes]:
        data = bytearray(response(query, *records, authority=authority))
        for at, gone, more in edits:
            data[at : at + gone] = more
        return [bytes(data) + end]

    return replies


@settings(deadline=None, max_examples=50)
@given(mangled(), st.booleans())
async def test_bytes_of_any_kind_are_a_reply_or_told(hostile: Replies, by_tcp: bool) -> None:
    if by_tcp:
        await asked(lambda query: [truncated(query)], tcp=hostile)
    else:
        await asked(lambda query: [*hostile(query), response(query, WEB)])


@pytest.mark.parametrize(
    ("message", "result"),
    [
        *(pytest.param(made, "made no sense: too much work to read", id=name) for name, made in HOSTILE.items()),
        *(pytest.param(made, Reply((), 5), id=name) for name, made in WORST.items()),
    ],
)
async def test_no_message_holds_up_the_agent(
    message: Callable[[bytes], bytes], result: Reply | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_whole = dns.message.from_wire
    readers: list[int] = []

    def from_wire(wire: bytes, **options: Any) -> dns.message.Message:
        if len(wire) > SHORT and not options.get("question_only"):  # the test reads questions
            readers.append(threading.get_ident())
        return read_whole(wire, **options)

    monkeypatch.setattr("dns.message.from_wire", from_wire)
    found = await asked(lambda query: [truncated(query)], tcp=lambda query: [message(query)])

    assert found == result
    assert threading.get_ident() not in readers
    assert len(readers) == isinstance(result, Reply)  # what is refused is not read at all
