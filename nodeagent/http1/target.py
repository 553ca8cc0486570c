"""Where a request wants to go: targets that are not just a path, and the grammar of an authority. Pure."""

from __future__ import annotations

import re

from nodeagent.proxy.errors import BadRequest

# A name, an IPv4 address or a bracketed IPv6 address without zone, and maybe a port (RFC 9110, 4.2; RFC 3986, 3.2.2,
# less the delimiters that no host name has, so that nothing of a dtab's or a file's syntax can come in by a Host). A
# name may ask for a subset of a service: "users;v=2" (namer/subset.py).
_LABEL = rb"[0-9A-Za-z_-]{1,63}"
_NAME = rb"%b(?:\.%b)*\.?" % (_LABEL, _LABEL)
_TERM = rb";[0-9A-Za-z_.-]{1,63}(?:=[0-9A-Za-z_.-]{1,63})?"
_AUTHORITY = re.compile(rb"(?:%b(?:%b){0,8}|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{1,5}))?\Z" % (_NAME, _TERM))
MAX_AUTHORITY = 262
"""253 bytes of host name (RFC 1035), a dot, a colon, a port, rounded as it comes."""


def unusual_target(method: bytes, target: bytes, host: bytes) -> tuple[bytes, bytes]:
    """Return authority and path of a target that is not just a path (RFC 9112, 3.2.2 to 3.2.4). Raises BadRequest."""
    if method == b"CONNECT":
        if b":" not in target or not target.rpartition(b":")[2].isdigit():
            raise BadRequest("CONNECT wants HOST:PORT as its target")
        check_authority(target, "target")
        return target, b""
    if target == b"*":
        if method != b"OPTIONS":
            raise BadRequest('only OPTIONS may ask for "*"')
        return host, target
    scheme, mark, rest = target.partition(b"://")
    if mark and scheme.lower() == b"https":
        raise BadRequest("an https target goes through the agent by CONNECT")
    if not mark or scheme.lower() != b"http":
        raise BadRequest("the target must be a path, or an http URL")
    authority, path = _split_url(rest)
    check_authority(authority, "target")
    if method == b"OPTIONS" and authority == rest:
        path = b"*"  # asked of the server as a whole (RFC 9112, 3.2.4)
    return authority, path


def _split_url(rest: bytes) -> tuple[bytes, bytes]:
    slash, question = rest.find(b"/"), rest.find(b"?")
    if question >= 0 and (slash < 0 or question < slash):
        return rest[:question], b"/" + rest[question:]
    if slash < 0:
        return rest, b"/"
    return rest[:slash], rest[slash:]


def check_authority(authority: bytes, where: str) -> None:
    """Raise BadRequest when `authority` is not HOST or HOST:PORT."""
    match = _AUTHORITY.match(authority)
    if match is None or len(authority) > MAX_AUTHORITY:
        raise BadRequest(f"{where} {authority[:80].decode('latin-1')!r} is not a host name with an optional port")
    port = match[1]
    if port is not None and not 0 < int(port) < 65536:
        raise BadRequest(f"{where} {authority.decode('latin-1')!r}: the port is not in 1..65535")
