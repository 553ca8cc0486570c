"""Whom to ask, and for what: /etc/resolv.conf (resolv.conf(5)) and the keys that stand in its place. Pure.

Bounds are those of the manual page. Unlike the C library, which waits 5 s for a server, a server that the file gives no
`timeout` for has 2 s, so that a name nobody answers for fails well before a request that waits for it gives up.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

MAX_SERVERS: Final = 3
MAX_NDOTS: Final = 15
MAX_TIMEOUT: Final = 30.0
MAX_ATTEMPTS: Final = 5
MAX_SEARCH: Final = 32
MAX_NAME: Final = 253  # characters of a name as text (RFC 1035, section 2.3.4)

_NAME = re.compile(r"[0-9A-Za-z_-]{1,63}(?:\.[0-9A-Za-z_-]{1,63})*\.?")


def is_name(text: str) -> bool:
    """Whether it is made like a name of the DNS, with or without a dot at the end."""
    return len(text) <= MAX_NAME + text.endswith(".") and _NAME.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Server:
    """A DNS server: an IP literal, and its port."""

    address: str
    port: int = 53

    @staticmethod
    def parse(text: str) -> Server:
        """Read `10.0.0.2`, `10.0.0.2:8600`, `::1` or `[::1]:8600`. Raises ValueError."""
        host, port = text, "53"
        if text.startswith("["):
            host, bracket, port = text[1:].partition("]:")
            if not bracket:
                raise ValueError(f"no port behind the brackets: {text}")
        elif text.count(":") == 1:
            host, _, port = text.partition(":")
        if not (port.isascii() and port.isdigit() and 1 <= int(port[:6]) <= 65535):
            raise ValueError(f"no port from 1 to 65535: {text}")
        return Server(str(ipaddress.ip_address(host)), int(port))

    def __str__(self) -> str:
        if self.port == 53:
            return self.address
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


@dataclass(frozen=True, slots=True)
class Settings:
    """How names are asked for. `timeout` is in seconds, for one server once; `attempts` is rounds through the list."""

    servers: tuple[Server, ...] = (Server("127.0.0.1"),)
    search: tuple[str, ...] = ()
    ndots: int = 1
    timeout: float = 2.0
    attempts: int = 2
    rotate: bool = False


@dataclass(frozen=True, slots=True)
class Overrides:
    """What stands in place of what the file says; None leaves it."""

    servers: tuple[Server, ...] | None = None
    search: tuple[str, ...] | None = None
    ndots: int | None = None
    timeout: float | None = None
    attempts: int | None = None

    def over(self, settings: Settings) -> Settings:
        """The settings with these in their place."""
        return Settings(
            servers=settings.servers if self.servers is None else self.servers,
            search=settings.search if self.search is None else self.search,
            ndots=settings.ndots if self.ndots is None else self.ndots,
            timeout=settings.timeout if self.timeout is None else self.timeout,
            attempts=settings.attempts if self.attempts is None else self.attempts,
            rotate=settings.rotate,
        )


def parse_resolv_conf(text: str) -> Settings:
    """What the file says; a line that cannot be understood says nothing, as everywhere."""
    settings = Settings()
    servers: list[Server] = []
    for line in text.splitlines():
        match line.split():
            case ["nameserver", address, *_]:
                servers += _server(address)
            case ["search", *domains]:
                settings = replace(settings, search=_search(domains))
            case ["domain", domain, *_]:
                settings = replace(settings, search=_search([domain]))
            case ["options", *options]:
                for option in options:
                    settings = _with_option(settings, option)
    return replace(settings, servers=tuple(servers[:MAX_SERVERS])) if servers else settings


def _server(address: str) -> list[Server]:
    try:
        return [Server(str(ipaddress.ip_address(address)))]
    except ValueError:
        return []


def _search(domains: Iterable[str]) -> tuple[str, ...]:
    """Those that are made like one; the root, a dot alone, is "" here."""
    good = [domain for domain in domains if domain == "." or is_name(domain)]
    return tuple(domain.rstrip(".").lower() for domain in good[:MAX_SEARCH])


def _with_option(settings: Settings, option: str) -> Settings:
    name, _, value = option.partition(":")
    number = int(value[:9]) if value.isascii() and value.isdigit() else None
    match name, number:
        case "rotate", None:
            return replace(settings, rotate=True)
        case "ndots", int():
            return replace(settings, ndots=min(number, MAX_NDOTS))
        case "timeout", int():
            return replace(settings, timeout=min(max(float(number), 1.0), MAX_TIMEOUT))
        case "attempts", int():
            return replace(settings, attempts=min(max(number, 1), MAX_ATTEMPTS))
        case _:
            return settings


def candidates(host: str, settings: Settings) -> list[str]:
    """The full names that `host` may stand for, each with its dot at the end, in the order to ask for them.

    With `ndots` dots in it, it is asked for as it is before the domains of the search list, else after them.
    """
    if host.endswith("."):
        return [host]
    itself = f"{host}."
    searched = [f"{host}.{domain}." if domain else itself for domain in settings.search]
    ordered = [itself, *searched] if host.count(".") >= settings.ndots else [*searched, itself]
    return [name for name in dict.fromkeys(ordered) if is_name(name)]
