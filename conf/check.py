"""What no section can see alone: labels, ports and pages that two of them want, captures that one uses of another."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Final, TypeVar

from conf.access import Calls
from conf.admin import Admin
from conf.balancing import RingHash
from conf.client import ClientKeys, ClientPrefix, GlobalClient
from conf.consul import ConsulNamer
from conf.errors import KeyPath, quote, show_key_path
from conf.globs import name_template, overlap
from conf.interpreters import ConsulInterpreter
from conf.router import FOR_REQUESTS, AnyRouter, Router, TcpRouter
from conf.rulestores import ConfigMapRules, ConsulRules
from conf.section import Section
from conf.server import Listener, TcpServer
from conf.service import ServiceKeys
from conf.telemetry import CommonMetrics, InfluxDb, Prometheus
from conf.tls import ApiTlsKeys

S = TypeVar("S", bound=Section)


NO_REQUESTS: Final = "means nothing for protocol tcp, which passes connections on and reads no requests"


def conflicts(
    sections: Mapping[KeyPath, Section], doubtful: Collection[KeyPath], given: Collection[KeyPath]
) -> Iterator[tuple[KeyPath, str]]:
    """Yield (key path, message) for each conflict between the sections of a file, where the `given` keys stand.

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
    yield from _labels(all_of(Router, "label"))
    yield from _listeners(by_default | all_of(Admin, "ip", "port"), all_of(Listener, "ip", "port"))
    yield from _paths({**all_of(Admin, "path"), **all_of(Listener, "path")}, given)
    yield from _tcp(all_of(TcpRouter), sections, given)
    yield from calls_conflicts(all_of(Router, "dstPrefix"), sections)
    yield from _pages(all_of(Prometheus, "path"), all_of(InfluxDb))
    yield from _only_one(all_of(CommonMetrics))
    yield from _captures(all_of(ApiTlsKeys), sections)


def _labels(routers: dict[KeyPath, Router]) -> Iterator[tuple[KeyPath, str]]:
    first: dict[str, KeyPath] = {}
    for at, router in routers.items():
        assert isinstance(router, AnyRouter)
        other = first.setdefault(router.label, at)
        if other != at:
            taken = f"duplicate router label {quote(router.label)}, {show_key_path(other)} has it"
            yield (*at, "label"), f"{taken}; give each router its own"


def _listeners(admin: dict[KeyPath, Admin], servers: dict[KeyPath, Listener]) -> Iterator[tuple[KeyPath, str]]:
    """Two listeners on one address; one on all addresses takes the port on each. Port 0 is any free one."""
    first: dict[tuple[int, str], KeyPath] = {}
    listeners: dict[KeyPath, Admin | Listener] = {**admin, **servers}
    addresses = [(at, each.port, each.ip) for at, each in listeners.items() if each.path is None]
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


def _paths(servers: Mapping[KeyPath, Listener | Admin], given: Collection[KeyPath]) -> Iterator[tuple[KeyPath, str]]:
    """A listener has a Unix socket or a port, and no two have the same socket."""
    first: dict[str, KeyPath] = {}
    for at, server in servers.items():
        why = "is for a Unix socket; give its path as well"
        if server.path is not None:
            why = "cannot stand beside path; leave one of them out"
        yield from (((*at, key), why) for key in server.without_effect if (*at, key) in given)
        if server.path is None:
            continue
        other = first.setdefault(server.path, at)
        if other != at:
            yield (*at, "path"), f"{server.path} is taken by {show_key_path(other)}"


def _tcp(
    routers: dict[KeyPath, TcpRouter], sections: Mapping[KeyPath, Section], given: Collection[KeyPath]
) -> Iterator[tuple[KeyPath, str]]:
    """What has no place in a router that reads no requests, and a listener that would take the port of HTTP's."""
    for router in routers:
        below = [at for at in given if at[: len(router)] == router]
        for at in below:
            policy, key = at[len(router) : len(router) + 1], at[-1]
            if (
                policy
                and key in FOR_REQUESTS.get(policy[0], ())
                and isinstance(sections.get(at[:-1]), ClientKeys | ServiceKeys)
            ):
                yield at, NO_REQUESTS
            if isinstance(sections.get(at), RingHash):
                yield at, "ringHash goes by a header or a cookie, and a tcp router reads no requests"
            server = sections.get(at)
            if isinstance(server, TcpServer) and server.path is None and (*at, "port") not in given:
                yield (*at, "port"), "missing; expected the port that stands for the name"


def calls_conflicts(
    routers: Mapping[KeyPath, Router], sections: Mapping[KeyPath, Section]
) -> Iterator[tuple[KeyPath, str]]:
    """Rules for names that no request of their router has, and for requests where there are none."""
    for at, calls in sections.items():
        router = next((each for place, each in routers.items() if at[: len(place)] == place), None)
        if router is None or not isinstance(calls, Calls):
            continue
        below = name_template(f"{router.dst_prefix.show().rstrip('/')}/**")
        for number, service in enumerate(calls.services or ()):
            if not overlap(name_template(service), below):
                yield (
                    (*at, "services", number),
                    f"no name of this router is below {service}; dstPrefix is {router.dst_prefix.show()}",
                )
        if isinstance(router, TcpRouter):
            given = {"methods": calls.methods, "paths": calls.paths, "headers": calls.headers}
            yield from (((*at, key), NO_REQUESTS) for key, value in given.items() if value is not None)


def _pages(pages: dict[KeyPath, Prometheus], influx: dict[KeyPath, InfluxDb]) -> Iterator[tuple[KeyPath, str]]:
    first: dict[str, KeyPath] = {each.path: at for at, each in reversed(influx.items())}
    for at, page in pages.items():
        other = first.setdefault(page.path, at)
        if other != at:
            yield (*at, "path"), f"{page.path} is taken by {show_key_path(other)}"


def _only_one(common: dict[KeyPath, CommonMetrics]) -> Iterator[tuple[KeyPath, str]]:
    places = list(common)
    for at in places[1:]:
        yield at, f"there is one io.l5d.commonMetrics already, {show_key_path(places[0])}"


def _captures(names: dict[KeyPath, ApiTlsKeys], sections: Mapping[KeyPath, Section]) -> Iterator[tuple[KeyPath, str]]:
    """A name may be made of what the prefix beside it captures; a policy for all names captures nothing."""
    for at, tls in names.items():
        match sections.get(at[:-1]):
            case ClientPrefix(prefix=prefix):
                known = prefix.names
            case GlobalClient() | ConsulNamer() | ConsulInterpreter() | ConsulRules() | ConfigMapRules():
                known = frozenset()
            case _:  # not readable: reported already
                continue
        has = ", ".join(sorted(known)) or "none"
        for key, captures in tls.captures.items():
            for name in sorted(captures - known):
                yield (*at, key), f"no capture {{{name}}} in the prefix, which has: {has}"
