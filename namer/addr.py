"""Where a bound name is served: endpoints, or the reason why there are none.

Four states, as in finagle (`com.twitter.finagle.Addr`): not known yet, known not to exist, could not be found
out, and known, which may be an empty set.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

MAX_SOCKET_PATH: Final = 107
"""Bytes: what has room in an address of the kernel, with the NUL behind it (unix(7))."""


def show_address(host: str, port: int) -> str:
    """An address as people write it."""
    if is_socket_path(host):
        return f"unix:{host}"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_socket_path(host: str) -> bool:
    """Whether what stands for a host is the path of a Unix socket."""
    return host.startswith("/")


def check_socket_path(text: str) -> str:
    """Return `text`, the path of a Unix socket. Raises ValueError when it cannot be one."""
    if not is_socket_path(text) or text.endswith("/") or "\0" in text:
        raise ValueError("expected the absolute path of a Unix socket, such as /run/app.sock")
    if len(text.encode("utf-8", "surrogateescape")) > MAX_SOCKET_PATH:
        raise ValueError(f"the path of a Unix socket has at most {MAX_SOCKET_PATH} bytes")
    return text


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address of a service. `host` is an IP literal, IPv6 without brackets; `weight` is above 0.

    A Unix socket has its path, which begins with `/`, in the place of the host, and port 0.

    `priority` 0 is the best; a worse one is for when all of the better ones fail (RFC 2782). `meta` is what the
    source says of it besides: tags, zone, node. `agent` is where the agent of its host listens for other agents, None
    when none is known to be there.
    """

    host: str
    port: int
    weight: float = 1.0
    meta: tuple[tuple[str, str], ...] = ()
    priority: int = 0
    agent: tuple[str, int] | None = None

    def show(self) -> str:
        """`127.0.0.1:80`, `[::1]:80`, `unix:/run/app.sock`."""
        return show_address(self.host, self.port)

    @property
    def is_unix(self) -> bool:
        """Whether it is a Unix socket, which has no port."""
        return is_socket_path(self.host)

    def __str__(self) -> str:
        return self.show()


@dataclass(frozen=True, slots=True)
class Refused:
    """An endpoint that must not be connected to, and why; `loop` when that would be the agent itself.

    `agentless` when only an agent on its host may be, and none is known.
    """

    endpoint: Endpoint
    why: str
    loop: bool = False
    agentless: bool = False


@dataclass(frozen=True, slots=True)
class AddrPending:
    """Not known yet; somebody is finding out."""


@dataclass(frozen=True, slots=True)
class AddrNeg:
    """Known not to exist."""


@dataclass(frozen=True, slots=True)
class AddrFailed:
    """Could not be found out, and nothing was known before."""

    reason: str


@dataclass(frozen=True, slots=True)
class AddrBound:
    """Known. The set may be empty: the name exists and nobody serves it, or all who do are `refused`."""

    endpoints: tuple[Endpoint, ...]
    refused: tuple[Refused, ...] = ()


Addr: TypeAlias = AddrPending | AddrNeg | AddrFailed | AddrBound
