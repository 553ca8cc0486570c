"""A request as a line: what stands in it, and that nothing breaks it."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.accesslog.lines import ascii_json, combined_line, datagram, journal_entry, json_line
from nodeagent.telemetry.exchange import Described, Exchange
from tests.nodeagent.accesslog.exchanges import FAILED, PLAIN, REFUSED, UNREAD

TO_EPOCH = 1_700_000_000.0 - 100.0

COMBINED = re.compile(
    r'(?P<host>\S+) - - \[(?P<time>[^]]+)\] "(?P<request>[^"]*)" (?P<status>\d{3}|-) (?P<sent>\d+|-) '
    r'"(?P<referer>[^"]*)" "(?P<agent>[^"]*)"\n'
)


def test_a_line_of_json_has_all_that_is_known() -> None:
    assert json.loads(json_line(PLAIN, TO_EPOCH)) == {
        "time": "2023-11-14T22:13:20.000Z",
        "id": "0011223344556677",
        "trace": "00000000000000000011223344556677",
        "router": "http",
        "server": "127.0.0.1:4140",
        "caller": "127.0.0.1:51234",
        "identity": None,
        "method": "GET",
        "url": "http://users/a?b=1",
        "name": "/svc/users",
        "policy": None,
        "client": "/#/io.l5d.fs/users",
        "endpoint": "10.0.0.8:80",
        "status": 200,
        "classification": "success",
        "blame": None,
        "error": None,
        "message": None,
        "attempts": [
            {"endpoint": "10.0.0.7:80", "status": None, "error": "dial 10.0.0.7:80: connection refused", "ms": 2.0},
            {"endpoint": "10.0.0.8:80", "status": 200, "error": None, "ms": 16.0},
        ],
        "timings_ms": {"bind": 1.0, "connect": 1.0, "wait": 15.0, "answer": 20.0, "total": 30.0},
        "bytes_received": 12,
        "bytes_sent": 3456,
        "whole": True,
        "user_agent": "curl/8.0",
        "referer": "http://portal/",
    }


TUNNEL = PLAIN._replace(method=b"CONNECT", authority=b"users:443", path=b"", described=Described(10, b"", b""))
BY_SOCKET = PLAIN._replace(peer="unix", sent=0, status=0, whole=False)
BY_IPV6 = PLAIN._replace(peer="[::1]:51234", described=Described(11, b'a "b" \\ \xff\x1b[31m', b""))


@pytest.mark.parametrize(
    ("exchange", "line"),
    [
        (PLAIN, '127.0.0.1 - - [T] "GET http://users/a?b=1 HTTP/1.1" 200 3456 "http://portal/" "curl/8.0"'),
        (TUNNEL, '127.0.0.1 - - [T] "CONNECT users:443 HTTP/1.0" 200 3456 "-" "-"'),
        (UNREAD, '127.0.0.1 - - [T] "-" 400 3456 "-" "-"'),
        (BY_SOCKET, 'unix - - [T] "GET http://users/a?b=1 HTTP/1.1" - - "http://portal/" "curl/8.0"'),
        (BY_IPV6, r'::1 - - [T] "GET http://users/a?b=1 HTTP/1.1" 200 3456 "-" "a \x22b\x22 \x5c \xff\x1b[31m"'),
    ],
    ids=["plain", "tunnel", "no request", "Unix socket", "IPv6, hostile"],
)
def test_a_line_in_the_combined_format(exchange: Exchange, line: str) -> None:
    expected = line.replace("[T]", "[14/Nov/2023:22:13:20 +0000]")
    assert combined_line(exchange, TO_EPOCH).decode() == expected + "\n"


def test_an_entry_of_the_journal_has_a_text_a_priority_and_fields() -> None:
    found = parse(journal_entry(combined_line)(REFUSED, TO_EPOCH))

    assert found["MESSAGE"] == combined_line(REFUSED, TO_EPOCH)[:-1]
    assert found["PRIORITY"] == b"4"
    assert found["NODEAGENT_BLAME"] == b"connect"
    assert found["NODEAGENT_STATUS"] == b"502"
    assert found["NODEAGENT_NAME"] == b"/svc/users"
    assert found["NODEAGENT_TOTAL_MS"] == b"30.0"
    assert json.loads(found["NODEAGENT_ATTEMPTS"])[0]["endpoint"] == "10.0.0.7:80"
    assert "NODEAGENT_CONNECT_MS" not in found
    assert parse(journal_entry(json_line)(PLAIN, TO_EPOCH))["PRIORITY"] == b"6"


# Whatever is in it.

hostile_bytes = st.binary(max_size=20) | st.sampled_from([b'"', b"\r\n", b"\x1b[2J", b"\xc2\x9b", b"\\x22", b"\x7f"])
hostile_text = st.text(st.characters(), max_size=20) | st.sampled_from(["\r\n", "\x1b[2J", "\x9b", "\u2028", "\ud800"])
hostile = st.builds(
    lambda method, authority, path, texts, described: PLAIN._replace(
        method=method,
        authority=authority,
        path=path,
        peer=texts[0],
        name=texts[1],
        message=texts[2],
        error=texts[3],
        attempts=(FAILED._replace(error=texts[4]),),
        described=Described(11, *described),
    ),
    hostile_bytes,
    hostile_bytes,
    hostile_bytes,
    st.lists(hostile_text, min_size=5, max_size=5),
    st.tuples(hostile_bytes, hostile_bytes),
)


def printable(line: bytes) -> bool:
    return line.endswith(b"\n") and all(0x20 <= byte < 0x7F for byte in line[:-1])


@given(hostile)
def test_a_line_of_json_is_one_line_and_reads_back(exchange: Exchange) -> None:
    line = json_line(exchange, TO_EPOCH)

    assert printable(line)
    found = json.loads(line)
    assert (found["name"], found["message"], found["caller"]) == (exchange.name, exchange.message, exchange.peer)
    assert found["attempts"][0]["error"] == exchange.attempts[0].error


@given(hostile)
def test_a_combined_line_is_one_line_and_reads_back(exchange: Exchange) -> None:
    exchange = exchange._replace(peer="127.0.0.1:1")
    line = combined_line(exchange, TO_EPOCH)

    assert printable(line)
    match = COMBINED.fullmatch(line.decode())
    assert match
    assert exchange.described
    assert unescaped(match["agent"]) in (exchange.described.user_agent, b"-")
    assert unescaped(match["referer"]) in (exchange.described.referer, b"-")


@given(st.dictionaries(st.from_regex("[A-Z_]{1,9}", fullmatch=True), st.binary(max_size=30)))
def test_an_entry_reads_back(fields: dict[str, bytes]) -> None:
    assert parse(datagram(fields)) == fields


@given(hostile)
def test_an_entry_of_hostile_values_reads_back(exchange: Exchange) -> None:
    found = parse(journal_entry(combined_line)(exchange, TO_EPOCH))
    assert exchange.name is not None
    assert found["NODEAGENT_NAME"] == exchange.name.encode(errors="backslashreplace")


@given(st.recursive(hostile_text, lambda each: st.lists(each) | st.dictionaries(hostile_text, each), max_leaves=5))
def test_json_is_ascii_whatever_is_in_it(value: object) -> None:
    encoded = ascii_json(value)
    assert json.loads(encoded) == value
    assert encoded.decode("ascii").isprintable()


def unescaped(text: str) -> bytes:
    return re.sub(rb"\\x([0-9a-f]{2})", lambda match: bytes([int(match[1], 16)]), text.encode())


def parse(datagram: bytes) -> dict[str, bytes]:
    """Read an entry as the journal does."""
    found: dict[str, bytes] = {}
    while datagram:
        line, _, rest = datagram.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            size = int.from_bytes(rest[:8], "little")
            value, rest = rest[8 : 8 + size], rest[9 + size :]
        found[name.decode()] = value
        datagram = rest
    return found
