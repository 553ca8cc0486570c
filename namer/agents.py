"""Which endpoints have an agent on their host, and what that host is called. Pure.

Who knows tells it with the endpoint, and whoever connects goes through the agent if it is configured to
(`client.tls.agents`):

    registries and files     the metadata `agent=PORT`, or a tag of that form: the agent on the same host
    transformers             those that put the agent in the endpoint's place, or note it (namer/transform)

A registry says no more than a port: an address could be anybody's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from namer.addr import Endpoint
from namer.subset import TAG

AGENT: Final = "agent"
"""The key in `Endpoint.meta` of the port of the agent."""

NODE: Final = "node"
"""The key in `Endpoint.meta` of the name of the host: Consul's node, Kubernetes's node."""

NO_AGENT: Final = "no agent is known on its host"

MAX_PORT: Final = 65535


def agent_port(meta: Iterable[tuple[str, str]]) -> int | None:
    """The port of the agent that metadata tells of; a pair goes before a tag, and what is no port says nothing."""
    said = [value for key, value in meta if key == AGENT]
    said += [value.removeprefix(f"{AGENT}=") for key, value in meta if key == TAG and value.startswith(f"{AGENT}=")]
    return next((port for port in map(read_port, said) if port is not None), None)


def read_port(text: str) -> int | None:
    """A port in decimal digits, None when it is none."""
    if text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= MAX_PORT:
        return int(text)
    return None


def node_of(endpoint: Endpoint) -> str | None:
    """The name of the host of an endpoint, None if discovery does not tell."""
    return next((value for key, value in endpoint.meta if key == NODE), None)
