"""The TLS of listeners and between agents, from configuration: faults of its files, and how long certificates last."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from conf import AgentConfig
from conf.client import parts_of
from conf.errors import KeyPath, show_key_path
from conf.server import Listener
from nodeagent.policies import client_tls, server_tls
from nodeagent.proxy.handshakes import Handshakes
from nodeagent.telemetry.stats import ServerStats
from tls.contexts import Contexts, Params, Side, Validity
from tls.files import TlsConfigError
from tls.params import ServerParams

WARN_PART: Final = 5
"""A warning comes when one part of so many of a lifetime is left: whoever renews should have by then."""

WARN_MOST: Final = timedelta(days=14)


def tls_faults(config: AgentConfig, contexts: Contexts) -> Iterator[str]:
    """Say what is wrong with the files of listeners, and of calls to other agents, one line each.

    Those that the agent gets itself when it joins an authority may be missing. Blocks on the disk.
    """
    origins = config.origins
    for at, params in _needed(config):
        try:
            contexts.side(params)
        except TlsConfigError as error:
            if will_be_got(config, params.files):
                continue
            line = origins.lines.get(at)
            place = origins.origin if line is None else f"{origins.origin}:{line}"
            yield f"{place}: {show_key_path(at)}: {error}"


def _needed(config: AgentConfig) -> Iterator[tuple[KeyPath, Params]]:
    """The TLS without which no agent starts. (Of files towards other endpoints it only warns: endpointtls.py.)"""
    for number, router in enumerate(config.routers):
        for index, server in enumerate(router.servers):
            params = server_tls(server)
            if params is not None:
                yield ("routers", number, "servers", index, "tls"), params
        for place, keys in parts_of(router.client):
            tls = client_tls(keys.tls)
            if tls is not None and tls.agents is not None:
                yield ("routers", number, "client", *place, "tls"), tls.context


def will_be_got(config: AgentConfig, files: Collection[str]) -> bool:
    """Tell whether some of the files come only when this host joins its authority, at the start of the agent."""
    if config.identity is None:
        return False
    folder = Path(config.identity.dir)
    return not os.path.lexists(folder / "cert.pem") and any(Path(file).parent == folder for file in files)


def make_handshakes(server: Listener, contexts: Contexts, stats: ServerStats) -> Handshakes | None:
    """Return the TLS of a listener, None when it is plain. Raises TlsConfigError."""
    params = server_tls(server)
    if server.tls is None or params is None:
        return None
    contexts.side(params)

    def side() -> Side:
        return contexts.side(params)

    within, most = server.tls.handshake_timeout_ms / 1000, server.tls.max_handshakes
    return Handshakes(side, within=within, most=most, stats=stats)


def own_certificates(contexts: Contexts) -> dict[str, Validity]:
    """All certificates that the agent shows now, by their files."""
    return {each.file: each for side in contexts.made().values() for each in side.own}


def served_certificates(contexts: Contexts) -> dict[str, Validity]:
    """Those of listeners."""
    sides = contexts.made().items()
    return {each.file: each for params, side in sides if isinstance(params, ServerParams) for each in side.own}


def expired(certificates: dict[str, Validity], now: datetime) -> str | None:
    """Say which certificate has expired, if one has. Pure."""
    for file, validity in certificates.items():
        if validity.expires <= now:
            return f"the certificate in {file} has expired on {validity.expires:%Y-%m-%d %H:%M:%S} UTC"
    return None


def near_end(validity: Validity, now: datetime) -> bool:
    """Tell whether a certificate should have been renewed by now. Pure."""
    return validity.expires - now <= min((validity.expires - validity.begins) / WARN_PART, WARN_MOST)


def ends_soon(certificates: dict[str, Validity], now: datetime) -> list[str]:
    """Say which certificates near their end. Pure."""
    return [
        f"the certificate in {file} expires on {each.expires:%Y-%m-%d %H:%M:%S} UTC, and was not replaced"
        for file, each in certificates.items()
        if each.expires > now and near_end(each, now)
    ]


class ExpiryWarnings:
    """Which certificates near their end, each of them told once. Pure."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[datetime, bool]] = {}

    def due(self, certificates: dict[str, Validity], now: datetime) -> list[Validity]:
        """Return those of which it is time to warn: once when the end is near, and once when they have expired."""
        due = []
        for file, validity in certificates.items():
            told = (validity.expires, validity.expires <= now)
            if near_end(validity, now) and self._told.get(file) != told:
                self._told[file] = told
                due.append(validity)
        return due
