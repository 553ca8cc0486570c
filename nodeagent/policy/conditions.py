"""What a rule may ask of a call. Pure.

The answer is yes, no, or that it cannot be told: the path has no one meaning, the kernel no longer knows whose
connection it is, what a tunnel carries is hidden. What cannot be told is held against the caller (see rules.py).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from enum import IntEnum
from ipaddress import IPv4Network, IPv6Network
from typing import ClassVar

from conf.globs import Template
from nodeagent.policy.call import Call
from nodeagent.policy.claims import values_of


class Fits(IntEnum):
    """Whether a call is as asked. Of several conditions that must hold the least counts, of alternatives the most."""

    NO = 0
    MAYBE = 1
    YES = 2


class Condition(ABC):
    """One key of a rule."""

    by_request: ClassVar[bool] = False
    """Whether it may tell apart two requests of one caller to one name by one method."""

    @abstractmethod
    def fits(self, call: Call) -> Fits:
        """Judge a call."""

    @abstractmethod
    def wants(self) -> str:
        """What is asked, for people."""

    @abstractmethod
    def finds(self, call: Call) -> str:
        """What the call has of it, for people."""

    @abstractmethod
    def covers(self, other: Condition) -> bool:
        """Tell whether all that fits `other` fits this; False where that cannot be seen."""


class Identities(Condition):
    """By certificate."""

    def __init__(self, templates: Iterable[Template]) -> None:
        self._templates = tuple(templates)

    def fits(self, call: Call) -> Fits:
        if call.identity is None:
            return Fits.NO
        return _yes(_any_fits(self._templates, call.identity.split("/")))

    def wants(self) -> str:
        return f"identities {_listed(self._templates)}"

    def finds(self, call: Call) -> str:
        return "the caller has no identity" if call.identity is None else f"the caller is {call.identity}"

    def covers(self, other: Condition) -> bool:
        return isinstance(other, Identities) and _cover(self._templates, other._templates)


class Networks(Condition):
    """By address."""

    def __init__(self, networks: Iterable[IPv4Network | IPv6Network]) -> None:
        self._networks = tuple(networks)

    def fits(self, call: Call) -> Fits:
        address = call.address
        return _yes(address is not None and any(address in network for network in self._networks))

    def wants(self) -> str:
        return f"networks {_listed(self._networks)}"

    def finds(self, call: Call) -> str:
        return "the caller has no address" if call.address is None else f"the caller is at {call.address}"

    def covers(self, other: Condition) -> bool:
        return isinstance(other, Networks) and all(
            any(_holds(mine, theirs) for mine in self._networks) for theirs in other._networks
        )


class Users(Condition):
    """By the user of a local program."""

    def __init__(self, users: Iterable[tuple[int, str]]) -> None:
        """`users` have a number, and how they are written."""
        self._written = dict(users)

    def fits(self, call: Call) -> Fits:
        caller = call.caller
        if caller.uid is None:
            return Fits.MAYBE if caller.here else Fits.NO
        return _yes(caller.uid in self._written)

    def wants(self) -> str:
        return f"users {_listed(self._written.values())}"

    def finds(self, call: Call) -> str:
        caller = call.caller
        if caller.uid is None:
            return "whose program it is the kernel does not know" if caller.here else "the caller is not of this host"
        return f"the caller is uid {caller.uid}"

    def covers(self, other: Condition) -> bool:
        return isinstance(other, Users) and other._written.keys() <= self._written.keys()


class Cgroups(Condition):
    """By the cgroup of a local program."""

    def __init__(self, templates: Iterable[Template]) -> None:
        self._templates = tuple(templates)

    def fits(self, call: Call) -> Fits:
        caller = call.caller
        if caller.cgroup is None:
            return Fits.MAYBE if caller.is_local else Fits.NO
        return _yes(_any_fits(self._templates, caller.cgroup[1:].split("/") if caller.cgroup != "/" else ()))

    def wants(self) -> str:
        return f"cgroups {_listed(self._templates)}"

    def finds(self, call: Call) -> str:
        caller = call.caller
        if caller.cgroup is None:
            return "its cgroup is not known" if caller.is_local else "the caller is not of this host"
        return f"the caller is in {caller.cgroup}"

    def covers(self, other: Condition) -> bool:
        return isinstance(other, Cgroups) and _cover(self._templates, other._templates)


class HasClaims(Condition):
    """By what its token says."""

    by_request = True

    def __init__(self, wanted: Iterable[tuple[str, Iterable[str]]]) -> None:
        self._wanted = {name: frozenset(values) for name, values in wanted}

    def fits(self, call: Call) -> Fits:
        claims = call.claims
        if claims is None:
            return Fits.NO
        return _yes(all(values & values_of(claims, name) for name, values in self._wanted.items()))

    def wants(self) -> str:
        return f"claims {_listed(f'{name}: {_or(values)}' for name, values in self._wanted.items())}"

    def finds(self, call: Call) -> str:
        claims = call.claims
        if claims is None:
            return "there is no token"
        misses = [name for name, values in self._wanted.items() if not values & values_of(claims, name)]
        return f"the token has {_listed(f'{name}: {_or(values_of(claims, name)) or None}' for name in misses)}"

    def covers(self, other: Condition) -> bool:
        return isinstance(other, HasClaims) and all(
            name in other._wanted and other._wanted[name] <= values for name, values in self._wanted.items()
        )


class Services(Condition):
    """By logical name."""

    def __init__(self, templates: Iterable[Template]) -> None:
        self._templates = tuple(templates)

    def fits(self, call: Call) -> Fits:
        return Fits.MAYBE if call.led_on else _yes(_any_fits(self._templates, call.service))

    def wants(self) -> str:
        return f"services {_listed(self._templates)}"

    def finds(self, call: Call) -> str:
        if call.led_on:
            return f"the caller's own dentries may lead {call.name.show()} anywhere"
        return f"the name is {call.name.show()}"

    def covers(self, other: Condition) -> bool:
        return isinstance(other, Services) and _cover(self._templates, other._templates)


class Methods(Condition):
    """By method."""

    def __init__(self, methods: Iterable[str]) -> None:
        self._methods = frozenset(method.encode() for method in methods)

    def fits(self, call: Call) -> Fits:
        return Fits.YES if call.head.method in self._methods else Fits.MAYBE if call.is_tunnel else Fits.NO

    def wants(self) -> str:
        return f"methods {_listed(sorted(method.decode() for method in self._methods))}"

    def finds(self, call: Call) -> str:
        return "what a tunnel carries is hidden" if call.is_tunnel else f"the method is {call.head.method.decode()}"

    def covers(self, other: Condition) -> bool:
        return isinstance(other, Methods) and other._methods <= self._methods


class Paths(Condition):
    """By the path of the URL."""

    by_request = True

    def __init__(self, templates: Iterable[Template]) -> None:
        self._templates = tuple(templates)

    def fits(self, call: Call) -> Fits:
        segments = call.segments
        return Fits.MAYBE if segments is None else _yes(_any_fits(self._templates, segments))

    def wants(self) -> str:
        return f"paths {_listed(self._templates)}"

    def finds(self, call: Call) -> str:
        if call.is_tunnel:
            return "what a tunnel carries is hidden"
        path = call.head.path.partition(b"?")[0].decode("latin-1")
        return f"{path} has no one meaning" if call.segments is None else f"the path is {path}"

    def covers(self, other: Condition) -> bool:
        return isinstance(other, Paths) and _cover(self._templates, other._templates)


class Headers(Condition):
    """By fields of the head: all of them must be there, with that value if there is one."""

    by_request = True

    def __init__(self, wanted: Iterable[tuple[str, str | None]]) -> None:
        self._wanted = {name.lower(): value for name, value in wanted}

    def fits(self, call: Call) -> Fits:
        return min(self._field(call, name, value) for name, value in self._wanted.items())

    def _field(self, call: Call, name: str, wanted: str | None) -> Fits:
        values = call.values(name.encode())
        if values is None:
            return Fits.MAYBE
        if not values:
            return Fits.MAYBE if call.is_tunnel else Fits.NO
        if wanted is None:
            return Fits.YES
        if len(values) > 1:
            return Fits.MAYBE  # servers take the first, the last, or all of them
        return Fits.YES if values[0] == wanted.encode() else Fits.MAYBE if call.is_tunnel else Fits.NO

    def wants(self) -> str:
        return (
            f"headers {_listed(name if value is None else f'{name}: {value}' for name, value in self._wanted.items())}"
        )

    def finds(self, call: Call) -> str:
        misses = [name for name, value in self._wanted.items() if self._field(call, name, value) < Fits.YES]
        return "; ".join(_shown(name, call.values(name.encode())) for name in misses) or "they are there"

    def covers(self, other: Condition) -> bool:
        return isinstance(other, Headers) and all(
            name in other._wanted and value in (None, other._wanted[name]) for name, value in self._wanted.items()
        )


def _shown(name: str, values: list[bytes] | None) -> str:
    if values is None:
        return f"{name} is there with an underscore, which some servers take for it"
    if not values:
        return f"there is no {name}"
    return f"{name} is {', '.join(value.decode('latin-1') for value in values)}"


def _yes(fits: bool) -> Fits:
    return Fits.YES if fits else Fits.NO


def _any_fits(templates: tuple[Template, ...], labels: Sequence[str]) -> bool:
    return any(template.fits(labels) for template in templates)


def _cover(mine: tuple[Template, ...], theirs: tuple[Template, ...]) -> bool:
    return all(any(one.covers(other) for one in mine) for other in theirs)


def _holds(network: IPv4Network | IPv6Network, other: IPv4Network | IPv6Network) -> bool:
    if isinstance(network, IPv4Network):
        return isinstance(other, IPv4Network) and other.subnet_of(network)
    return isinstance(other, IPv6Network) and other.subnet_of(network)


def _or(values: Iterable[str]) -> str:
    return " or ".join(sorted(values))


def _listed(items: Iterable[object]) -> str:
    return ", ".join(map(str, items))
