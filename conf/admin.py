"""The administrative interface."""

from __future__ import annotations

from typing import Annotated, ClassVar

from conf.fields import IpAddress, MillisFromZero, Port, Regex, about
from conf.section import Section, not_here, not_yet


class Security(Section, frozen=True):
    """Which admin pages are served; a refused one is 404. First the blacklist, then the whitelist, then the rest."""

    ui_enabled: Annotated[bool, about("The dashboard.")] = True
    control_enabled: Annotated[bool, about("What changes something: shutdown, log levels.")] = True
    diagnostics_enabled: Annotated[bool, about("All other pages.")] = True
    path_whitelist: Annotated[
        tuple[Regex, ...], about("Regular expressions of paths that are served whatever the switches say.")
    ] = ()
    path_blacklist: Annotated[tuple[Regex, ...], about("Regular expressions of paths that are never served.")] = ()


class Admin(Section, frozen=True):
    """The admin server: health, metrics, explanations, shutdown."""

    absent: ClassVar = {
        "tls": not_yet("TLS on the admin port"),
        "socketOptions": not_yet("socket options of the admin port"),
        "httpIdentifierPort": not_yet("a port that only identifies requests; /explain.json explains names"),
        "workerThreads": not_here("the admin server needs no threads of its own"),
    }

    ip: Annotated[IpAddress, about("Address to listen on.", why="whoever reaches it can stop the agent")] = "127.0.0.1"
    port: Annotated[Port, about("TCP port; 0 takes any free one.")] = 9990
    shutdown_grace_ms: Annotated[MillisFromZero, about("How long requests under way may take at shutdown.")] = 10_000
    security: Annotated[Security, about("Which pages are served.")] = Security()
