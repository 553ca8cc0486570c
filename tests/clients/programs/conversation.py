"""What the Python programs share: commands come by stdin, answers go to stdout.

A command is a line: what to do, a URL, and for uploads the size of the body. An answer is a line of status, Via,
Proxy-Status and length, with tabs between, and then the body. Events are their lines, and then "end".
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Protocol

Body = bytes | Iterator[bytes]


class Answer(NamedTuple):
    """What a client library made of a response."""

    status: int
    fields: Mapping[str, str]
    body: bytes


class Library(Protocol):
    """An HTTP client as a program would use it, redirects followed."""

    def get(self, url: str) -> Answer: ...

    def post(self, url: str, body: Body) -> Answer: ...

    def pair(self, url: str) -> list[Answer]:
        """Two GETs at the same time."""
        ...

    def events(self, url: str) -> Iterator[str]: ...


def in_threads(library: Library, url: str) -> list[Answer]:
    """Two GETs at the same time, for a library that blocks."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(library.get, [url, url]))


def converse(library: Library) -> None:
    """Do what stdin says until its end."""
    for line in sys.stdin:
        command, url, *size = line.split()
        try:
            match command:
                case "get":
                    _tell(library.get(url))
                case "post":
                    _tell(library.post(url, b"0123456789" * (int(size[0]) // 10)))
                case "stream":
                    _tell(library.post(url, (b"0123456789" * 1000 for _ in range(int(size[0]) // 10_000))))
                case "pair":
                    for answer in library.pair(url):
                        _tell(answer)
                case "events":
                    for event in library.events(url):
                        print(event, flush=True)
                    print("end", flush=True)
        except Exception as error:  # whatever this library raises
            _tell(Answer(0, {}, f"{type(error).__name__}: {error}".encode()))


def _tell(answer: Answer) -> None:
    fields = {name.lower(): value for name, value in answer.fields.items()}
    line = (str(answer.status), fields.get("via", ""), fields.get("proxy-status", ""), str(len(answer.body)))
    sys.stdout.buffer.write("\t".join(line).encode() + b"\n" + answer.body)
    sys.stdout.buffer.flush()
