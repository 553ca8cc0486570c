"""Tables of route tests: which request is expected to go where. The file of `nodeagent check CONFIG --routes FILE`.

    - request: GET http://users/x
      headers: {l5d-dtab: /svc/users => /svc/users-v2}
      router: outgoing
      name: /svc/users
      outcome: bound
      bound: {/#/io.l5d.fs/users-v2: 1}
      endpoints: [127.0.0.1:8081]

It is read as the configuration is: a mistake is told with its line and column, all mistakes at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated, Final, TypeAlias

from msgspec import Meta

from conf.decode import Decoder
from conf.errors import ConfigErrors, KeyPath, Position, Problem, Problems, TooManyProblemsError
from conf.fields import OR_KEYS, HeaderName, Label, Ratio, Reader, about, one_of
from conf.load import read_text
from conf.section import Section
from conf.source import Document, Scalar, parse
from conf.source import Mapping as MappingNode
from namer.addr import Endpoint
from namer.path import Path

_REQUEST: Final = re.compile(r"(?:(?P<method>[A-Z]{1,32}) +)?(?P<target>\S{1,8192})")
_TARGET: Final = re.compile(r"(?:(?P<scheme>https?)://)?(?P<authority>[^/?#@\s]{0,300}[^/?#@\s:])(?P<path>[/?]\S*)?")


@dataclass(frozen=True, slots=True)
class Get:
    """A request to an HTTP proxy; `authority` is empty when only its Host header names a host."""

    method: str
    authority: str
    path: str


@dataclass(frozen=True, slots=True)
class Connect:
    """A tunnel to `authority`, which has a port."""

    authority: str


Asked: TypeAlias = Path | Get | Connect
"""What a route test asks for; a path is a logical name as it is."""


def parse_request(text: str) -> Asked:
    """Read a request: `GET http://users/x`, `GET /x`, `CONNECT users:443`; a URL or a host; a name.

    Raises ValueError.
    """
    found = _REQUEST.fullmatch(text.strip())
    if found is None:
        raise ValueError
    method, target = found["method"], found["target"]
    if target.startswith("/"):
        return Get(method, "", target) if method else Path.parse(target)
    parts = _TARGET.fullmatch(target)
    if parts is None:
        raise ValueError
    authority, path = parts["authority"], parts["path"] or "/"
    if method == "CONNECT" or parts["scheme"] == "https":
        return Connect(_with_port(authority, method))
    return Get(method or "GET", authority, path if path.startswith("/") else f"/{path}")


def _request(text: str) -> str:
    parse_request(text)
    return text.strip()


def _with_port(authority: str, method: str | None) -> str:
    if re.search(r":[0-9]{1,5}$", authority):
        return authority
    if method == "CONNECT":
        raise ValueError("CONNECT wants HOST:PORT")
    return f"{authority}:443"


def _read_endpoint(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise ValueError
    try:
        return Endpoint(str(ip_address(host.removeprefix("[").removesuffix("]"))), int(port)).show()
    except ValueError:
        raise ValueError from None  # what is expected is said better by the reader


def _reader(takes: str, read: Callable[[str], object]) -> Meta:
    return Meta(extra={"reader": Reader(takes, read)})


def _one_line(text: str) -> str:
    return " ".join(text.split())


RequestText = Annotated[
    str, _reader("a request such as GET http://users/x, a host such as users, or a name such as /svc/users", _request)
]
HeaderValue = Annotated[str, _reader("text", _one_line)]
Outcome = Annotated[str, one_of("bound", "neg", "empty", "fail", "error")]
Shares = Annotated[Mapping[Path, Ratio | None], OR_KEYS]
EndpointText = Annotated[str, _reader("an address with a port, such as 127.0.0.1:8080", _read_endpoint)]


class Route(Section, frozen=True, kw_only=True):
    """A request, and what is expected of it. Only what is given is compared."""

    request: Annotated[RequestText, about("What is asked for.")]
    headers: Annotated[Mapping[HeaderName, HeaderValue], about("Headers of the request.")] = {}
    router: Annotated[Label | None, about("The router that it goes to.", unset="the first")] = None
    name: Annotated[Path | None, about("The logical name it gets.")] = None
    outcome: Annotated[Outcome | None, about("What the name comes to.")] = None
    bound: Annotated[Shares | None, about("The concrete names, with their shares if these matter.")] = None
    endpoints: Annotated[tuple[EndpointText, ...] | None, about("All their endpoints, in any order.")] = None

    @property
    def asked(self) -> Asked:
        """What the request asks for."""
        return parse_request(self.request)

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if all(each is None for each in (self.name, self.outcome, self.bound, self.endpoints)):
            yield "request", "expects nothing; say what is expected: name, outcome, bound or endpoints"
        if self.outcome not in (None, "bound") and (self.bound or self.endpoints):
            yield "outcome", f"what is {self.outcome} goes nowhere; leave out bound and endpoints"


class RoutesFile(Section, frozen=True):
    """The file as a mapping, which it is to the decoder."""

    routes: Annotated[tuple[Route, ...], Meta(min_length=1), about("The table.")]


@dataclass(frozen=True, slots=True)
class RouteTable:
    """The routes of a file and where they stand in it."""

    origin: str
    routes: tuple[Route, ...]
    positions: Mapping[KeyPath, Position]

    def problem(self, index: int, key: str, message: str) -> Problem:
        """Something that is wrong with a key of a route, or if it has no such key with its request."""
        at = self.positions.get(("routes", index, key)) or self.positions["routes", index, "request"]
        return Problem(self.origin, at.line, at.column, "", message)


def load_routes(text: str, origin: str) -> RouteTable:
    """Read a table; *origin* names the text in messages. Raises ConfigErrors with all that is wrong."""
    if not text.strip():
        raise ConfigErrors([Problem(origin, 1, 1, "", "empty; expected a list of routes")])
    listed = parse(text, origin)
    top = Position(1, 1)
    root = MappingNode(top, [(Scalar(top, "routes", "", 0, 0), listed.root)])
    problems = Problems(origin)
    decoder = Decoder(Document(origin, listed.text, root), problems, RoutesFile)
    read = None
    with suppress(TooManyProblemsError):
        read = decoder.read()
    problems.raise_if_any()
    assert isinstance(read, RoutesFile)
    return RouteTable(origin, read.routes, decoder.positions)


def read_routes(path: str) -> RouteTable:
    """Read the table in a file, `-` is the standard input. Raises ConfigErrors, also when it cannot be read."""
    return load_routes(*read_text(path))
