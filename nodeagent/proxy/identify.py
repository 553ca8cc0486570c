"""Which logical name a request asks for. Pure.

Each identifier turns a request head into a `Path` below the router's `dstPrefix`, or says why it cannot. A list is
tried in order and the first that identifies wins; nobody identifying is a BadRequest. Semantics and names are
linkerd 1.x's, with one difference: a name taken from Host is lower-cased and loses a default port and a final dot, as
host names are compared (RFC 9110, 4.2.3).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from namer.grammar import NameSyntaxError
from namer.path import Path
from nodeagent.proxy.errors import BadRequest
from nodeagent.proxy.messages import RequestHead

MEMO = 4096
"""Host values whose path is remembered; a flood of names only makes the memo start over."""


class Unidentified(Exception):
    """This identifier cannot name the request; the text says why."""


Identifier = Callable[[RequestHead], Path]
"""Returns the name without dstPrefix, or raises Unidentified."""


def host_name(authority: bytes, default_port: bytes = b"80") -> str:
    """Return `authority` as a name: lower case, no default port, no final dot."""
    host, colon, port = authority.lower().rpartition(b":")
    if not colon or not port.isdigit():
        host, port = authority.lower(), b""
    host = host.removesuffix(b".")
    return (host if port in (b"", default_port) else host + b":" + port).decode("latin-1")


def whole_service(authority: bytes) -> bytes:
    """Return `authority` as its server knows it: without the subset that was asked for, as in `users;v=2:8080`."""
    host, _, terms = authority.partition(b";")
    _, colon, port = terms.partition(b":")
    return host + colon + port


def tunnel_names(authority: bytes, prefix: Path) -> tuple[Path, Path]:
    """Return the names that a CONNECT target may mean, in the order in which they are tried.

    `users:443` is the name /svc/users:443 if discovery knows one, else the service /svc/users if discovery knows that,
    and a host of the DNS only when neither is known, so that the port asked for is reached (see `is_just_host`).
    """
    host, _, port = host_name(authority, b"").rpartition(":")
    return prefix / f"{host}:{port}", prefix / host


def is_just_host(id: Path, name: Path) -> bool:  # noqa: A002
    """Tell whether a concrete id is just the host that `name` ends in, looked up in the DNS (or that address)."""
    if len(id) != 4 or id[0] != "$":
        return False
    return name[-1] in id.labels[2:] and id[1] in ("inet", "fixedinet", "io.buoyant.rinet")


def by_host() -> Identifier:
    """Name by the request's authority: `/users`, `/users:8080`."""
    memo: dict[bytes, Path] = {}

    def identify(head: RequestHead) -> Path:
        path = memo.get(head.authority)
        if path is None:
            if not head.authority:
                raise Unidentified("the request has no Host")
            if len(memo) >= MEMO:
                memo.clear()
            path = memo[head.authority] = Path((host_name(head.authority),))
        return path

    return identify


def by_header_token(header: str) -> Identifier:
    """Name by a header's whole value as one label, its case kept (io.l5d.header.token)."""
    if header.lower() in ("host", ":authority"):
        return by_host()
    name = header.lower().encode()

    def identify(head: RequestHead) -> Path:
        value = head.get(name)
        if not value:
            raise Unidentified(f"the request has no {header} header")
        return Path((value.decode("utf-8", "surrogateescape"),))

    return identify


def by_header(header: str) -> Identifier:
    """Name by a header whose value is itself a path (io.l5d.header)."""
    name = header.lower().encode()

    def identify(head: RequestHead) -> Path:
        value = head.get(name)
        if not value:
            raise Unidentified(f"the request has no {header} header")
        try:
            return Path.parse(value.decode("latin-1"))
        except NameSyntaxError as error:
            raise Unidentified(f"the {header} header is not a path: {error.message}") from None

    return identify


def by_path(segments: int, consume: bool) -> Identifier:
    """Name by the first `segments` segments of the URL's path; `consume` takes them off (io.l5d.path)."""

    def identify(head: RequestHead) -> Path:
        path, question, query = head.path.partition(b"?")
        parts = path.split(b"/", segments + 1)
        labels = parts[1 : segments + 1]
        if len(labels) < segments or not all(labels):
            raise Unidentified(f"the URL's path has fewer than {segments} segments")
        if consume:
            rest = parts[segments + 1] if len(parts) > segments + 1 else b""
            head.path = b"/" + rest + question + query
        return Path(tuple(label.decode("utf-8", "surrogateescape") for label in labels))

    return identify


def by_method_and_host(uri_in_name: bool) -> Identifier:
    """Name `/1.1/GET/host`, for HTTP/1.0 `/1.0/GET`, maybe with the URL's segments (io.l5d.methodAndHost)."""

    def identify(head: RequestHead) -> Path:
        method = head.method.decode()
        labels = ["1.0", method]
        if head.version != 10:
            if not head.authority:
                raise Unidentified("the request has no Host")
            labels = ["1.1", method, head.authority.decode("latin-1").lower()]
        if uri_in_name or head.version == 10:
            path = head.path.partition(b"?")[0]
            labels += [s.decode("utf-8", "surrogateescape") for s in path.split(b"/") if s]
        return Path(tuple(labels))

    return identify


def static(path: Path) -> Identifier:
    """Name everything `path` (io.l5d.static)."""
    return lambda head: path  # noqa: ARG005


def first_of(prefix: Path, identifiers: Sequence[Identifier]) -> Callable[[RequestHead], Path]:
    """Put `prefix` before the name of the first of `identifiers` that knows one. Raises BadRequest if none does."""
    full: dict[Path, Path] = {}

    def identify(head: RequestHead) -> Path:
        reasons = []
        for identifier in identifiers:
            try:
                name = identifier(head)
            except Unidentified as why:
                reasons.append(str(why))
                continue
            path = full.get(name)
            if path is None:
                if len(full) >= MEMO:
                    full.clear()
                path = full[name] = prefix + name
            return path
        raise BadRequest(f"identify: {'; '.join(reasons)}")

    return identify
