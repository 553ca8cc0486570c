"""What a row of the conformance tables is, and how its bytes are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

HOST = b"Host: web"
CHUNKED = b"Transfer-Encoding: chunked"


def message(line: bytes, *fields: bytes, body: bytes = b"") -> bytes:
    """Return a head of these lines, and what follows it."""
    return b"".join(part + b"\r\n" for part in (line, *fields, b"")) + body


def get(*fields: bytes, target: bytes = b"/") -> bytes:
    """Return a request without body."""
    return message(b"GET " + target + b" HTTP/1.1", *fields)


def post(*fields: bytes, body: bytes = b"hello") -> bytes:
    """Return a request with these bytes behind its head."""
    return message(b"POST / HTTP/1.1", HOST, *fields, body=body)


def chunks(coded: bytes) -> bytes:
    """Return a request with a body in the chunked coding."""
    return post(CHUNKED, body=coded)


def answer(*fields: bytes, status: bytes = b"200 OK", body: bytes = b"") -> bytes:
    """Return a response."""
    return message(b"HTTP/1.1 " + status, *fields, body=body)


@dataclass(frozen=True, slots=True)
class Row:
    """What a row of the page says: its name, the rule, the input."""

    id: str
    source: str
    input: str


@dataclass(frozen=True, slots=True)
class Refused(Row):
    """Requests that get one status of the agent's own, and that no backend sees."""

    status: int
    examples: Sequence[bytes]
    stays: bool = False
    """Whether the framing is sound, so that the connection goes on; else the agent reads no more of it."""

    @property
    def does(self) -> str:
        return f"{self.status}" if self.stays else f"{self.status}, and the connection closes"


@dataclass(frozen=True, slots=True)
class Arrives(Row):
    """Requests that pass, and what a backend gets: head without the agent's own fields, and body, to the byte."""

    does: str
    examples: Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class BadAnswer(Row):
    """Answers of a backend that its caller gets as 502; their connection is given up."""

    examples: Sequence[bytes]
    does = "502; the backend's connection is closed"


@dataclass(frozen=True, slots=True)
class Torn(Row):
    """Answers whose head is sound and whose body is not: the caller sees an abort and never a clean end.

    Where all of the body is there with the head, nothing was passed on yet, and the caller is told.
    """

    examples: Sequence[bytes]
    does = "502 while nothing was passed on, else the caller's connection is reset: never a clean end"


@dataclass(frozen=True, slots=True)
class OddAnswer(Row):
    """Answers that pass to the caller: method, answer -> what the caller gets, and whether the connection is kept."""

    does: str
    examples: Mapping[tuple[bytes, bytes], tuple[bytes, bool]]


@dataclass(frozen=True, slots=True)
class Held(Row):
    """What no table of bytes can say: the tests that hold it, as "file::function"."""

    does: str
    tests: Sequence[str]


AnyRow = Refused | Arrives | BadAnswer | Torn | OddAnswer | Held
