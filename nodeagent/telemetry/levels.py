"""How much each part of the agent says in the log, changed while it runs, for a time."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

LEVELS: Final = ("debug", "info", "warning", "error", "critical")

LINKERD: Final = {"all": "debug", "trace": "debug", "fatal": "critical"}
"""Levels that linkerd 1.x knows besides, and what they are here."""

DEFAULT: Final = "default"
"""In the place of a level: what was before."""

ROOT: Final = "root"
MAX_SECONDS: Final = 24 * 3600.0

LOGGERS: Final = {
    ROOT: "all of it",
    "nodeagent": "the agent, without discovery",
    "nodeagent.policy": "requests that rules refuse, or would refuse",
    "nodeagent.accesslog": "access logs: lines that could not be written",
    "nodeagent.admin": "the admin port",
    "nodeagent.agent": "start, drain, configuration",
    "nodeagent.alarms": "second copies of requests",
    "nodeagent.bind": "names of requests: what they are bound to, and when anew",
    "nodeagent.ca": "the certificate authority, and its members",
    "nodeagent.certificates": "files of certificates and keys, and when they expire",
    "nodeagent.checks": "active health checks",
    "nodeagent.conversation": "connections of callers",
    "nodeagent.dial": "connections to endpoints: each that is made, or fails",
    "nodeagent.dispatch": "requests that the agent answers itself, and why",
    "nodeagent.exchange": "what is told of single requests",
    "nodeagent.export": "spans to collectors",
    "nodeagent.log": "the log itself",
    "nodeagent.memory": "the ceiling for memory",
    "nodeagent.naming": "the namers of the configuration",
    "nodeagent.retry": "attempts that failed, and whether another one is made",
    "nodeagent.server": "listeners",
    "nodeagent.span": "spans, where the log is where they go",
    "nodeagent.statsd": "measurements to StatsD servers",
    "nodeagent.supervisor": "worker processes",
    "nodeagent.tcp": "connections of tcp routers",
    "nodeagent.transports": "which endpoints are called by TLS, through agents, and in plain",
    "nodeagent.verdicts": "endpoints that are taken out, and come back",
    "nodeagent.worker": "one worker process",
    "namer": "all of discovery",
    "namer.dns": "the DNS",
    "namer.dns.srv": "SRV records",
    "namer.dns.systemfile": "/etc/hosts and resolv.conf",
    "namer.document": "tables and rules that come from elsewhere",
    "namer.fs": "endpoint files",
    "namer.hosts": "host names",
    "namer.report": "Consul, Kubernetes and other registries",
    "namer.watch": "sources of discovery: failures, staleness",
    "httpcore": "connections to registries",
    "httpx": "requests to registries",
    "hypercorn": "connections to the admin port",
}
"""What can be set, with what it tells. A logger has the level of the one above it unless it is set itself."""


class UnknownError(ValueError):
    """A level or a logger that there is none; the text says which there are."""


@dataclass(frozen=True, slots=True)
class Changed:
    """A logger whose level was changed."""

    level: str
    before: int
    """What it goes back to, in numbers of the standard library."""
    until: float


class Levels:
    """The changes that stand, of one process. Whoever owns it calls `sweep` about once a second."""

    def __init__(self) -> None:
        self._changed: dict[str, Changed] = {}

    def change(self, logger: str, level: str, seconds: float, now: float) -> None:
        """Set the level of a logger until so many seconds have passed; `default` ends that now.

        Raises UnknownError, and changes nothing then.
        """
        wanted = level_of(level)
        if logger not in LOGGERS:
            raise UnknownError(f"there is no logger {logger!r}{_near(logger)}; see /logging.json for all")
        if wanted == DEFAULT:
            self._restore(logger)
            return
        target = _logger(logger)
        known = self._changed.get(logger)
        self._changed[logger] = Changed(wanted, target.level if known is None else known.before, now + seconds)
        target.setLevel(wanted.upper())

    def sweep(self, now: float) -> list[str]:
        """Take back what has stood long enough; return the loggers."""
        over = [logger for logger, changed in self._changed.items() if changed.until <= now]
        for logger in over:
            self._restore(logger)
        return over

    def standing(self, now: float) -> list[tuple[str, str, float]]:
        """Return the changes: logger, level, and for how many seconds yet."""
        return [(logger, each.level, each.until - now) for logger, each in self._changed.items() if each.until > now]

    def listing(self, now: float) -> list[dict[str, Any]]:
        """All loggers with their levels, as linkerd 1.x lists them; of a change, for how many seconds it stands yet."""
        return [self._listed(logger, tells, now) for logger, tells in LOGGERS.items()]

    def _listed(self, logger: str, tells: str, now: float) -> dict[str, Any]:
        level = logging.getLevelName(_logger(logger).getEffectiveLevel())
        changed = self._changed.get(logger)
        left = None if changed is None else round(max(0.0, changed.until - now), 1)
        return {"logger": logger, "level": level, "secondsLeft": left, "tells": tells}

    def _restore(self, logger: str) -> None:
        changed = self._changed.pop(logger, None)
        if changed is not None:
            _logger(logger).setLevel(changed.before)


def level_of(text: str) -> str:
    """Return a level as it is called here, or `default`. Raises UnknownError."""
    level = LINKERD.get(text.lower(), text.lower())
    if level not in (*LEVELS, DEFAULT):
        raise UnknownError(f"unknown log level {text!r}: use one of {', '.join(LEVELS)}, {DEFAULT}")
    return level


def _logger(name: str) -> logging.Logger:
    return logging.getLogger(None if name == ROOT else name)


def _near(name: str) -> str:
    near = get_close_matches(name, LOGGERS, n=1)
    return f"; did you mean {near[0]}?" if near else ""
