"""What the admin pages see of the agent: what they show, and the one thing they may do to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from conf import AgentConfig
from namer.path import Path
from namer.watch import Watches
from nodeagent.proxy.bind import Bindings
from nodeagent.telemetry.exchange import Exchanges
from nodeagent.telemetry.levels import Levels
from nodeagent.telemetry.recent import Recent
from nodeagent.telemetry.registry import Registry
from nodeagent.telemetry.stats import ServerStats

if TYPE_CHECKING:
    from nodeagent.proxy.permits import Permits


class ListenerView(Protocol):
    """One listener of a router."""

    @property
    def stats(self) -> ServerStats:
        """Its counters, and its address."""
        ...


class RouteView(Protocol):
    """How a router names requests and binds names."""

    @property
    def prefix(self) -> Path:
        """What stands before each name: dstPrefix."""
        ...

    @property
    def bindings(self) -> Bindings:
        """The bound names, the clients, the dtab."""
        ...

    @property
    def permits(self) -> Permits | None:
        """Who may call what; None for everybody everything."""
        ...


class RouterView(Protocol):
    """One running router."""

    @property
    def label(self) -> str:
        """Its name in the configuration."""
        ...

    @property
    def router(self) -> RouteView:
        """What requests go through."""
        ...

    @property
    def servers(self) -> Sequence[ListenerView]:
        """Its listeners."""
        ...


class NamingView(Protocol):
    """Discovery."""

    @property
    def watches(self) -> Watches:
        """All live sources."""
        ...


class IdentityView(Protocol):
    """What keeps the certificate of this host."""

    def to_json(self) -> dict[str, object]:
        """How it stands."""
        ...


class AgentView(Protocol):
    """The running agent."""

    @property
    def config(self) -> AgentConfig:
        """The configuration in force."""
        ...

    @property
    def naming(self) -> NamingView:
        """Discovery."""
        ...

    @property
    def stats(self) -> Registry:
        """What is counted."""
        ...

    @property
    def exchanges(self) -> Exchanges:
        """Where one hears of each request."""
        ...

    @property
    def recent(self) -> Recent | None:
        """The recent requests; None when none are kept."""
        ...

    @property
    def levels(self) -> Levels:
        """How much is logged, as it was changed."""
        ...

    @property
    def routers(self) -> Sequence[RouterView]:
        """The routers, in the order of the configuration."""
        ...

    def to_epoch(self) -> float:
        """What turns trio's clock into seconds since 1970, when added to it."""
        ...

    def readiness(self) -> str | None:
        """None when the agent is ready for traffic, else the reason why not."""
        ...

    def warnings(self) -> list[str]:
        """What an operator should see to before it makes the agent unready."""
        ...

    @property
    def identity(self) -> IdentityView | None:
        """What keeps the certificate of this host, None where the agent does not."""
        ...

    def shutdown(self) -> None:
        """Begin to drain; the agent ends when that is done."""
        ...
