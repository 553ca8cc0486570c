"""What no section can see alone: labels, ports and pages that two of them want, captures that one uses of another."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TypeVar

from conf.admin import Admin
from conf.client import ClientPrefix, GlobalClient
from conf.consul import ConsulNamer
from conf.errors import KeyPath, quote, show_key_path
from conf.interpreters import ConsulInterpreter
from conf.router import HttpRouter
from conf.section import Section
from conf.server import Server
from conf.telemetry import Prometheus
from conf.tls import ClientTlsKeys

S = TypeVar("S", bound=Section)


def conflicts(sections: Mapping[KeyPath, Section], doubtful: Collection[KeyPath]) -> Iterator[tuple[KeyPath, str]]:
    """Yield (key path, message) for each conflict between the sections of a file.

    The file may have other faults. Where a key is doubtful, its section holds a default that nobody meant: what
    would follow from it is not reported.
    """

    def all_of(wanted: type[S], *keys: str) -> dict[KeyPath, S]:
        return {
            at: section
            for at, section in sections.items()
            if isinstance(section, wanted) and not any((*at, key) in doubtful for key in keys)
        }

    by_default: dict[KeyPath, Admin] = {("admin",): Admin()}
    if ("admin",) in sections or ("admin",) in doubtful:
        by_default = {}
    yield from _labels(all_of(HttpRouter, "label"))
    yield from _listeners(by_default | all_of(Admin, "ip", "port"), all_of(Server, "ip", "port"))
    yield from _pages(all_of(Prometheus, "path"))
    yield from _captures(all_of(ClientTlsKeys), sections)


def _labels(routers: dict[KeyPath, HttpRouter]) -> Iterator[tuple[KeyPath, str]]:
    first: dict[str, KeyPath] = {}
    for at, router in routers.items():
        other = first.setdefault(router.label, at)
        if other != at:
            taken = f"duplicate router label {quote(router.label)}, {show_key_path(other)} has it"
            yield (*at, "label"), f"{taken}; give each router its own"


def _listeners(admin: dict[KeyPath, Admin], servers: dict[KeyPath, Server]) -> Iterator[tuple[KeyPath, str]]:
    """Two listeners on one address; one on all addresses takes the port on each. Port 0 is any free one."""
    first: dict[tuple[int, str], KeyPath] = {}
    addresses = [(at, each.port, each.ip) for at, each in admin.items()]
    addresses += [(at, each.port, each.ip) for at, each in servers.items()]
    for at, port, ip in addresses:
        if port == 0:
            continue
        all_addresses = "::" if ":" in ip else "0.0.0.0"  # noqa: S104  (nothing is bound here)
        same_family = (port, f"any {all_addresses}")
        other = first.get(same_family if ip == all_addresses else (port, ip)) or first.get((port, all_addresses))
        if other:
            shown = f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"
            yield (*at, "port"), f"{shown} is taken by {show_key_path(other)}"
        first.setdefault((port, ip), at)
        first.setdefault(same_family, at)


def _pages(pages: dict[KeyPath, Prometheus]) -> Iterator[tuple[KeyPath, str]]:
    first: dict[str, KeyPath] = {}
    for at, page in pages.items():
        other = first.setdefault(page.path, at)
        if other != at:
            yield (*at, "path"), f"{page.path} is taken by {show_key_path(other)}"


def _captures(
    names: dict[KeyPath, ClientTlsKeys], sections: Mapping[KeyPath, Section]
) -> Iterator[tuple[KeyPath, str]]:
    """A name may be made of what the prefix beside it captures; a policy for all names captures nothing."""
    for at, tls in names.items():
        match sections.get(at[:-1]):
            case ClientPrefix(prefix=prefix):
                known = prefix.names
            case GlobalClient() | ConsulNamer() | ConsulInterpreter():
                known = frozenset()
            case _:  # not readable: reported already
                continue
        for name in sorted(tls.captures - known):
            has = ", ".join(sorted(known)) or "none"
            yield (*at, "commonName"), f"no capture {{{name}}} in the prefix, which has: {has}"
