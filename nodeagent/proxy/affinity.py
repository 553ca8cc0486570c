"""Which requests belong together: the key of a request, from a header or a cookie of its own. Pure.

A cookie's value is read as RFC 6265, 4.2.1 writes it: cookie octets, maybe within quotes. Anything else is as if there
were no cookie, and so is an empty value; the first cookie of the name counts. What a value means is up to who set it:
here it is a key and nothing more, so one that nobody set is as good as any.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from nodeagent.proxy.messages import RequestHead

KeyOf: TypeAlias = Callable[[RequestHead], bytes | None]
"""Returns the key of a request, None when it has none."""

MAX_COOKIE: Final = 4096
"""Bytes of a value; what user agents keep of a cookie at least (RFC 6265, 6.1)."""

_VALUE: Final = rb'=("?)([\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]{1,%d})\1[ \t]*(?:;|$)' % MAX_COOKIE


@dataclass(frozen=True, slots=True)
class ByHeader:
    """By the value of the header with this lower-case name; of several lines by all of them."""

    name: bytes

    @property
    def key_of(self) -> KeyOf:
        """What finds the key."""
        name = self.name
        return lambda head: head.get(name) or None


@dataclass(frozen=True, slots=True)
class ByCookie:
    """By the value of the cookie of this name. With `sets`, a caller that has none is given one."""

    name: bytes
    sets: bool = False

    @property
    def key_of(self) -> KeyOf:
        """What finds the key."""
        search = re.compile(rb"(?:^|;[ \t]*)" + re.escape(self.name) + _VALUE).search

        def key_of(head: RequestHead) -> bytes | None:
            cookies = head.get(b"cookie")
            found = search(cookies) if cookies else None
            return found[2] if found else None

        return key_of

    def set_by(self, fields: bytes) -> bool:
        """Tell whether a response with these fields sets the cookie itself."""
        return re.search(rb"(?im)^set-cookie:[ \t]*(?-i:%b)[ \t]*=" % re.escape(self.name), fields) is not None

    def line(self, value: bytes) -> bytes:
        """Return the field that sets the cookie until the browser closes."""
        return b"Set-Cookie: %b=%b; Path=/; HttpOnly\r\n" % (self.name, value)


Affinity: TypeAlias = ByHeader | ByCookie


def new_value() -> bytes:
    """Return a value for a cookie that nobody else has."""
    return secrets.token_urlsafe(12).encode()
