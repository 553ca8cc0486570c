"""The proxies that an experiment is run through, and how each is configured for it.

HAProxy and Envoy get what they have for the purpose, so that what is compared is what each can do. The agent has its
defaults, where it does not say otherwise.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bench import envoy
from bench.peers import AGENT, PEERS, Peer, Site, haproxy_frame
from bench.resilience.backends import CHECK

# --- the agent ---

DEFAULTS = ""

HEDGING = """\
  service:
    hedging: {percentile: 99.9}
"""

RETRIES = """\
  service:
    responseClassifier: {kind: io.l5d.http.retryableRead5XX}
"""

AS_PUBLISHED = """\
  service:
    responseClassifier: {kind: io.l5d.http.retryableRead5XX}
  client:
    loadBalancer: {kind: ewma}
    failureAccrual:
      kind: io.l5d.successRate
      successRate: 0.9
      requests: 20
      backoff: {kind: constant, ms: 10000}
"""


def agent_files(router: str) -> Callable[[Site], dict[str, str]]:
    """The agent with *router* as further keys of its router."""

    def files(site: Site) -> dict[str, str]:
        defaults = AGENT.files(site)
        return defaults | {"agent.yaml": defaults["agent.yaml"] + router}

    return files


def agent_from(directory: Path) -> tuple[str, ...]:
    """The first words of the command that runs the agent whose source is in *directory*."""
    # Safe path: else the working directory's agent would come first.
    return "/usr/bin/env", f"PYTHONPATH={directory.resolve()}", "PYTHONSAFEPATH=1", sys.executable, "-m", "nodeagent"


# --- HAProxy ---

ROUND_ROBIN = "balance roundrobin"
LEAST_CONNECTIONS = f"""\
balance leastconn
option httpchk
http-check send meth GET uri {CHECK} ver HTTP/1.1 hdr Host web
default-server check"""
HAPROXY_RETRIES = """
retries 3
option redispatch 1
retry-on conn-failure empty-response response-timeout 500 502 503 504"""


def haproxy_files(backend: str) -> Callable[[Site], dict[str, str]]:
    """HAProxy with one thread, shared connections to the endpoints, and the lines of *backend*."""

    def files(site: Site) -> dict[str, str]:
        servers = (f"server s{number} 127.0.0.1:{port}" for number, port in enumerate(site.backends))
        lines = "".join(f"  {line}\n" for line in (*backend.splitlines(), *servers))
        return {"haproxy.cfg": haproxy_frame(site) + lines}

    return files


# --- Envoy ---


def envoy_files(retry_on: str) -> Callable[[Site], dict[str, str]]:
    """Envoy with what is nearest to the agent: least request, outlier detection, retries under a budget."""

    def files(site: Site) -> dict[str, str]:
        bootstrap = envoy.full_bootstrap(site.port, site.admin_port, site.backends, retry_on=retry_on)
        return {"envoy.json": json.dumps(bootstrap)}

    return files


# --- which of them run in which experiment ---


@dataclass(frozen=True, slots=True)
class Variant:
    """A proxy in one of its configurations; *what* says which, for people."""

    peer: Peer
    what: str

    @property
    def name(self) -> str:
        """How it is chosen on the command line."""
        return self.peer.name

    @property
    def is_agent(self) -> bool:
        """Whether it is the agent, however configured."""
        return self.name.startswith(AGENT.name)


_BY_NAME = {peer.name: peer for peer in PEERS}


def _agent(name: str, what: str, router: str) -> Variant:
    return Variant(replace(AGENT, name=name, files=agent_files(router)), what)


def _haproxy(name: str, what: str, backend: str) -> Variant:
    return Variant(replace(_BY_NAME["haproxy"], name=name, files=haproxy_files(backend)), what)


def _envoy(what: str, retry_on: str = envoy.RETRY_ON) -> Variant:
    return Variant(replace(_BY_NAME["envoy-full"], name="envoy", files=envoy_files(retry_on)), what)


VARIANTS: Mapping[str, tuple[Variant, ...]] = {
    "first": (
        _agent("agent", "defaults", DEFAULTS),
        _agent("agent-hedging", "service.hedging at p99.9", HEDGING),
        _haproxy("haproxy-leastconn", "fewest connections, HTTP checks", LEAST_CONNECTIONS),
        _haproxy("haproxy-roundrobin", "round robin", ROUND_ROBIN),
        _envoy("least request, outlier detection"),
    ),
    "second": (
        _agent("agent", "defaults, retryableRead5XX", RETRIES),
        _agent("agent-published", "as published: ewma, successRate 0.9 over 20, retryableRead5XX", AS_PUBLISHED),
        _haproxy(
            "haproxy-leastconn", "fewest connections, HTTP checks, 3 retries", LEAST_CONNECTIONS + HAPROXY_RETRIES
        ),
        _haproxy("haproxy-roundrobin", "round robin", ROUND_ROBIN),
        _envoy("least request, outlier detection, 3 retries", "5xx"),
    ),
    "share": (
        _agent("agent", "defaults", DEFAULTS),
        _haproxy("haproxy-leastconn", "fewest connections, HTTP checks", LEAST_CONNECTIONS),
        _envoy("least request, outlier detection"),
    ),
}
NAMES = tuple(dict.fromkeys(variant.name for variants in VARIANTS.values() for variant in variants))
