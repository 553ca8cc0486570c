"""What is judged: who calls, by what name, and how. Pure."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from conf.globs import normal_segments
from namer.path import Path
from nodeagent.policy.claims import Claims
from nodeagent.proxy.caller import Caller
from nodeagent.proxy.identify import whole_service
from nodeagent.proxy.messages import RequestHead, lines_of

TUNNEL: Final = b"CONNECT"


class Call:
    """One request, as rules see it. What costs something is found out when a rule asks."""

    __slots__ = ("_has_segments", "_segments", "caller", "claims", "head", "host", "identity", "led_on", "name")

    def __init__(
        self,
        caller: Caller,
        host: str,
        identity: str | None,
        name: Path,
        head: RequestHead,
        *,
        led_on: bool = False,
        claims: Claims | None = None,
    ) -> None:
        """`host` is the IP address that calls, or something else for none; `identity` is what its certificate says.

        `claims` are what its token says, None without one. `led_on` tells that the caller's own dentries have a say in
        where the name leads.
        """
        self.caller = caller
        self.claims = claims
        self.host = host
        self.identity = identity
        self.name = name
        self.head = head
        self.led_on = led_on
        self._segments: tuple[str, ...] | None = None
        self._has_segments = False

    @property
    def address(self) -> IPv4Address | IPv6Address | None:
        """Where it comes from; IPv4 in whatever form it comes."""
        try:
            address = ip_address(self.host.partition("%")[0])
        except ValueError:
            return None
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        return mapped or address

    @property
    def is_tunnel(self) -> bool:
        """Whether what will be said is hidden: methods, paths and headers of requests within."""
        return self.head.method == TUNNEL

    @property
    def service(self) -> tuple[str, ...]:
        """The labels of the name, without the subset that is asked for."""
        labels = self.name.labels
        if any(";" in label for label in labels):
            return tuple(whole_service(_bytes(label)).decode("utf-8", "surrogateescape") for label in labels)
        return labels

    @property
    def segments(self) -> tuple[str, ...] | None:
        """The normal form of the path as it is sent on; None where it has none, and of tunnels."""
        if not self._has_segments:
            self._segments = normal_segments(self.head.path.partition(b"?")[0])
            self._has_segments = True
        return self._segments

    def values(self, name: bytes) -> list[bytes] | None:
        """The values of a field by its lower-case name; None where some servers see more than others do.

        To CGI and WSGI programs `X_Team` is `X-Team` (RFC 3875, 4.1.18).
        """
        special = self.head.get(name) if name == b"host" else self.head.special.get(name)
        if special is not None:  # the codec has joined what was repeated
            return [value.strip(b" \t") for value in special.split(b",")]
        found = []
        for line in lines_of(self.head.fields):
            key, _, value = line.partition(b":")
            if key.lower() == name:
                found.append(value.strip(b" \t"))
            elif key.lower().replace(b"_", b"-") == name.replace(b"_", b"-"):
                return None
        return found


def _bytes(label: str) -> bytes:
    return label.encode("utf-8", "surrogateescape")
