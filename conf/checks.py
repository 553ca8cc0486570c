"""Active health checks: how the endpoints of a concrete name are asked whether they are well."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Final

from msgspec import Meta

from conf.fields import Count, Millis, Reader, about, one_of
from conf.section import Kinded

LONGEST_TIMEOUT_MS: Final = 2_000
"""The default of `timeoutMs` where the interval has room for it."""

_TARGET: Final = re.compile(r"/[!-\"$-\[\]-~]{0,1023}")  # visible ASCII without "#" and backslash
_AUTHORITY: Final = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_STATUSES: Final = re.compile(r"([2-5][0-9]{2})(?:-([2-5][0-9]{2}))?")

_FewTimes = Annotated[Count, Meta(le=100)]
_Port = Annotated[int, Meta(ge=1, le=65535)]


def _target(text: str) -> str:
    if not _TARGET.fullmatch(text):
        raise ValueError
    return text


def _authority(text: str) -> str:
    if not _AUTHORITY.fullmatch(text):
        raise ValueError
    return text


def _statuses(text: str) -> str:
    low, high = statuses(text)
    if low > high:
        raise ValueError(f"{low} is above {high}")
    return text


def statuses(text: str) -> tuple[int, int]:
    """`200-399` -> (200, 399), `204` -> (204, 204). Raises ValueError."""
    found = _STATUSES.fullmatch(text)
    if found is None:
        raise ValueError
    return int(found[1]), int(found[2] or found[1])


RequestTarget = Annotated[str, Meta(extra={"reader": Reader("a path, and maybe a query, such as /health", _target)})]
Authority = Annotated[str, Meta(extra={"reader": Reader("a host name, and maybe a port", _authority)})]
Statuses = Annotated[str, Meta(extra={"reader": Reader("a status or a range of them, such as 200-399", _statuses)})]


class HealthCheck(Kinded, frozen=True):
    """Active health checks: each endpoint is asked every now and then, on a connection of its own, whether it is well.

    One that fails them gets no request until it passes them again, unless no endpoint at all is well. An endpoint is
    well until its checks say otherwise. What its answers to requests say of it (`failureAccrual`) counts besides: both
    must agree to an endpoint.
    """


class _Asking(HealthCheck, frozen=True):
    """What all checks have in common."""

    interval_ms: Annotated[
        Millis,
        Meta(ge=100),
        about(
            "The time from one check of an endpoint to the next, give or take a tenth; the first is made within it.",
            why="each agent checks each endpoint",
            like="HAProxy: 2 s; nginx Plus: 5 s",
        ),
    ] = 5_000
    timeout_ms: Annotated[
        Millis | None,
        about(
            "The time for one check, with connecting.",
            why="a page that takes longer is no sign of health, and checks of one endpoint must not overlap",
            like="HAProxy: the interval",
            unset=f"{LONGEST_TIMEOUT_MS}, or `intervalMs` where that is less",
        ),
    ] = None
    rise: Annotated[
        _FewTimes,
        about("Checks passed in a row after which an endpoint is back.", why="one may be luck", like="HAProxy"),
    ] = 2
    fall: Annotated[
        _FewTimes,
        about(
            "Checks failed in a row after which an endpoint is out.",
            why="one lost packet is no outage",
            like="HAProxy",
        ),
    ] = 3
    port: Annotated[
        _Port | None,
        about(
            "The port to ask.",
            why="who serves there should be well there",
            like="HAProxy, Envoy",
            unset="that of the endpoint",
        ),
    ] = None

    @property
    def timeout(self) -> int:
        """The time for one check, in milliseconds."""
        return min(LONGEST_TIMEOUT_MS, self.interval_ms) if self.timeout_ms is None else self.timeout_ms

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if self.timeout > self.interval_ms:
            yield "timeoutMs", f"{self.timeout} is more than intervalMs, {self.interval_ms}"


class HttpCheck(_Asking, frozen=True, tag="http"):
    """Well is who answers a request with a good status, through the same TLS as requests where there is `tls`."""

    path: Annotated[RequestTarget, about("The path to ask for.", why="every server has it", like="HAProxy")] = "/"
    method: Annotated[
        Annotated[str, one_of("GET", "HEAD", "OPTIONS")],
        about("The method.", why="every server has it", like="Envoy; HAProxy: OPTIONS"),
    ] = "GET"
    host: Annotated[
        Authority | None,
        about(
            "The Host to ask for.",
            why="true for every endpoint",
            like="HAProxy, Envoy",
            unset="address and port that are asked",
        ),
    ] = None
    expect: Annotated[
        Statuses, about("The statuses that are good.", why="a redirect is an answer", like="HAProxy; Envoy: 200")
    ] = "200-399"


class TcpCheck(_Asking, frozen=True, tag="tcp"):
    """Well is who takes a connection; nothing is said on it."""


class NoCheck(HealthCheck, frozen=True, tag="none"):
    """No checks: turns off what an earlier prefix turned on."""


AnyHealthCheck = HttpCheck | TcpCheck | NoCheck
