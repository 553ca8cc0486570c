"""Messages that are made to keep whoever reads them busy: responses to a query for A of web.example.

`HOSTILE` are refused. `WORST` are the same, just small enough not to be.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Final

A, CNAME, SOA, RP, HIP = 1, 5, 6, 17, 55
LABELS: Final = b"\x01a" * 126
LONG: Final = LABELS + b"\0"
QUESTION: Final = 12
END: Final = QUESTION + len("\3web\7example\0") + 4  # where the first record begins


def pointer(at: int) -> bytes:
    return struct.pack("!H", 0xC000 | at)


def record(owner: bytes, kind: int, data: bytes) -> bytes:
    return owner + struct.pack("!HHIH", kind, 1, 60, len(data)) + data


def message(query: bytes, records: Sequence[bytes]) -> bytes:
    return query[:2] + struct.pack("!HHHHH", 0x8180, 1, len(records), 0, 0) + query[QUESTION:] + b"".join(records)


def bombs(count: int, kind: int = CNAME, names: int = 1, rest: bytes = b"") -> Callable[[bytes], bytes]:
    """Records that each point at names of 126 labels, from owners that are parts of it."""
    first = record(LONG, A, b"\x0a\0\0\1")

    def made(query: bytes) -> bytes:
        data = pointer(END) * names + rest
        return message(query, [first, *(record(pointer(END + 2 * (n % 120)), kind, data) for n in range(count))])

    return made


def owners(count: int) -> Callable[[bytes], bytes]:
    """Names that dnspython has the same hash for: 9 times one letter and the next are always the same."""
    pairs = [bytes([0x70 - n, 0x21 + 9 * n]) for n in range(4)]
    names = [b"".join(each) for each in itertools.islice(itertools.product(pairs, repeat=6), count)]
    return lambda query: message(query, [record(b"\x0c" + name + b"\0", A, b"\x0a\0\0\1") for name in names])


def types(count: int) -> Callable[[bytes], bytes]:
    """Types that nobody knows."""
    return lambda query: message(query, [record(pointer(QUESTION), 20_000 + n, b"") for n in range(count)])


def lists(count: int) -> Callable[[bytes], bytes]:
    """One record with so many names of 126 labels in it."""
    return lambda query: message(query, [record(b"\0", HIP, b"\0" * 4 + LONG * count)])


HOSTILE: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "bombs": bombs(4000),
    "bombs of two names": bombs(1500, SOA, 2, bytes(20)),
    "owners with one hash": owners(2000),
    "unknown types": types(4000),
    "a list of names": lists(200),
}
WORST: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "some bombs": bombs(60),
    "some bombs of two names": bombs(35, SOA, 2, bytes(20)),
    "some bombs of another type": bombs(33, RP, 2),
    "some owners with one hash": owners(600),
    "some unknown types": types(45),
    "a shorter list of names": lists(40),
}
