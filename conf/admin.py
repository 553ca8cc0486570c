"""The administrative interface."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from conf.fields import FileMode, IpAddress, MillisFromZero, Port, Regex, Secret, SocketPath, Text, about
from conf.section import Section, not_here, not_yet

Uid = Annotated[int, Meta(ge=0, le=2**32 - 2)]
"""A user id."""


class Security(Section, frozen=True):
    """Which admin pages are served; a refused one is 404. First the blacklist, then the whitelist, then the rest."""

    ui_enabled: Annotated[bool, about("The dashboard.")] = True
    control_enabled: Annotated[bool, about("What changes something: shutdown, log levels.")] = True
    diagnostics_enabled: Annotated[bool, about("All other pages.")] = True
    path_whitelist: Annotated[
        tuple[Regex, ...], about("Regular expressions of paths that are served whatever the switches say.")
    ] = ()
    path_blacklist: Annotated[tuple[Regex, ...], about("Regular expressions of paths that are never served.")] = ()


class Admin(Section, frozen=True, kw_only=True):
    """The admin server: health, metrics, explanations, shutdown."""

    absent: ClassVar = {
        "tls": not_yet("TLS on the admin port"),
        "socketOptions": not_yet("socket options of the admin port"),
        "httpIdentifierPort": not_yet("a port that only identifies requests; /explain.json explains names"),
        "workerThreads": not_here("the admin server needs no threads of its own"),
    }

    ip: Annotated[IpAddress, about("Address to listen on.", why="whoever reaches it can stop the agent")] = "127.0.0.1"
    port: Annotated[Port, about("TCP port; 0 takes any free one.")] = 9990
    path: Annotated[
        SocketPath | None,
        about(
            "A Unix socket to listen on, in place of `ip` and `port`. Root may ask there, the user that the agent runs "
            "as, and those of `allowUids`.",
            like="HAProxy's `stats socket`",
            unset="a TCP port",
        ),
    ] = None
    mode: Annotated[
        FileMode,
        about("Permissions of the Unix socket, in octal and in quotes.", like="HAProxy's `mode`"),
    ] = "0660"
    allow_uids: Annotated[
        tuple[Uid, ...],
        about(
            "More user ids that may ask on the Unix socket. The kernel says who asks, so none can pretend; `mode` has "
            "to let them connect as well.",
            why="whoever may ask can stop the agent",
            like="systemd's and Docker's checks of peer credentials",
        ),
    ] = ()
    token: Annotated[
        Secret | None,
        about(
            "What a caller has to show: `Authorization: Bearer TOKEN`, or as the password of a browser.",
            why="on loopback every user of the host could stop the agent otherwise; on one's own host that is no news",
            like="none",
            unset="none is asked for",
        ),
    ] = None
    token_file: Annotated[
        Text | None,
        about(
            "A file with that token, which goes before `token`. It must not be open to all users; when it changes, the "
            "new token holds.",
            why="secrets do not belong into a configuration",
            like="none",
            unset="none",
        ),
    ] = None
    public_paths: Annotated[
        tuple[Regex, ...],
        about(
            "Regular expressions of paths that need no token. Add `/metrics` for a scraper that has none.",
            why="probes tell nothing but that the agent is well",
            like="none",
        ),
    ] = ("/live", "/ready", "/admin/ping")
    shutdown_grace_ms: Annotated[MillisFromZero, about("How long requests under way may take at shutdown.")] = 10_000
    security: Annotated[Security, about("Which pages are served.")] = Security()

    @property
    def without_effect(self) -> tuple[str, ...]:
        """The keys that say nothing, as it listens elsewhere."""
        return ("mode", "allowUids") if self.path is None else ("ip", "port")
