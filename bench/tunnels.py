"""Tunnels: the proxies as they are configured for them, and what 1 GiB or a small exchange in them costs.

The agent and Envoy are asked by CONNECT. HAProxy and nginx, as Debian has them, know no CONNECT: they pass on
everything that comes to their port. So they are spared one request a tunnel, and nothing per byte.
"""

from __future__ import annotations

import json
import select
import socket
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench import envoy
from bench.bulk import connect, download, read_head, transfer
from bench.load import HEADERS, percentile
from bench.peers import CONNECTIONS, GIB, SMALL_BODY, Peer, Site, named, nginx_arguments
from bench.processes import BenchError
from bench.results import Sample
from bench.stage import Stage, Started

TUNNELS = 32
STREAM_MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
REPLY_SECONDS = 5.0

_NGINX = """\
load_module {module};
daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log stderr error;
events {{ worker_connections {connections}; }}
stream {{
  upstream web {{
    server 127.0.0.1:{backends[0]};
    server 127.0.0.1:{backends[1]};
  }}
  server {{
    listen 127.0.0.1:{port};
    proxy_pass web;
  }}
}}
"""

_HAPROXY = """\
global
  nbthread 1
  maxconn {connections}
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend outgoing
  bind 127.0.0.1:{port}
  default_backend web
backend web
  balance roundrobin
  server one 127.0.0.1:{backends[0]}
  server two 127.0.0.1:{backends[1]}
"""


def nginx_files(site: Site) -> dict[str, str]:
    """nginx as a proxy of connections."""
    text = _NGINX.format(
        module=STREAM_MODULE,
        directory=site.directory,
        connections=CONNECTIONS,
        backends=site.backends,
        port=site.port,
    )
    return {"nginx.conf": text}


def haproxy_files(site: Site) -> dict[str, str]:
    """HAProxy as a proxy of connections."""
    return {"haproxy.cfg": _HAPROXY.format(connections=CONNECTIONS, backends=site.backends, port=site.port)}


def envoy_files(site: Site) -> dict[str, str]:
    """Envoy that ends the tunnels of CONNECT."""
    return {"envoy.json": json.dumps(envoy.tunnel_bootstrap(site.port, site.admin_port, site.backends))}


def _find_nginx() -> tuple[str, ...] | None:
    return named("nginx").find() if STREAM_MODULE.exists() else None


PEERS = (
    named("agent"),
    replace(named("envoy-full"), files=envoy_files),
    replace(named("haproxy"), files=haproxy_files),
    replace(
        named("nginx"),
        install="apt-get install nginx-light libnginx-mod-stream",
        find=_find_nginx,
        files=nginx_files,
        arguments=nginx_arguments,
    ),
)
CONNECT = ("agent", "envoy-full")

_CONNECT = b"CONNECT web:80 HTTP/1.1\r\nHost: web:80\r\n\r\n"


def opened(peer: Peer, port: int) -> socket.socket:
    """A tunnel through *peer*, on *port*, to one of the endpoints. Raises BenchError when it is refused."""
    sock = connect(port)
    if peer.name in CONNECT:
        sock.sendall(_CONNECT)
        head, _ = read_head(sock)
        if b" 200" not in head.partition(b"\r\n")[0]:
            sock.close()
            raise BenchError(f"{peer.name}: refused a tunnel: {head[:200]!r}")
    return sock


def measure_gib(stage: Stage, peer: Peer, seconds: int) -> Sample:  # noqa: ARG001
    """1 GiB from an endpoint through one tunnel. Raises BenchError when it does not come whole."""
    with stage.proxy(peer) as proxy, opened(peer, proxy.port) as sock:
        return transfer(proxy.process, lambda: download(sock, "/gib", GIB))


def direct_gib(stage: Stage, seconds: int) -> Sample:  # noqa: ARG001
    """The same without a tunnel."""
    with connect(stage.backends[0]) as sock:
        return transfer(None, lambda: download(sock, "/gib", GIB))


_HEAD = "".join(f"{name}: {value}\r\n" for name, value in {"Host": "web", **HEADERS}.items())
REQUEST = f"GET /small HTTP/1.1\r\n{_HEAD}\r\n".encode()


@dataclass(slots=True)
class Exchanges:
    """One small request after the other in each of some connections: this many, and what they took in seconds."""

    count: int = 0
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)

    def run(self, socks: list[socket.socket], seconds: float) -> None:
        """Keep all *socks* busy for so long. Raises BenchError when one ends or gets something else."""
        by_number = {sock.fileno(): sock for sock in socks}
        with select.epoll() as poll:
            started = now = time.perf_counter()
            sent = {}
            for number, sock in by_number.items():
                poll.register(number, select.EPOLLIN)
                sock.sendall(REQUEST)
                sent[number] = started
            while now < started + seconds:
                events = poll.poll(REPLY_SECONDS)
                if not events:
                    raise BenchError(f"no reply within {REPLY_SECONDS:g} s in any tunnel")
                for number, _ in events:
                    _receive(by_number[number])
                    now = time.perf_counter()
                    self.latencies.append(now - sent[number])
                    self.count += 1
                    by_number[number].send(REQUEST)
                    sent[number] = now
            self.seconds = now - started

    def sample(self) -> Sample:
        """What was seen."""
        ordered = sorted(self.latencies)
        return {
            "errors": 0.0,
            "rate": self.count / self.seconds,
            **{f"{name}_ms": percentile(ordered, p) * 1e3 for name, p in (("p50", 50), ("p99", 99), ("p999", 99.9))},
        }


def _receive(sock: socket.socket) -> None:
    # The endpoint writes its reply at once, and it is smaller than any buffer on its way.
    try:
        reply = sock.recv(65536)
    except OSError as error:
        raise BenchError(f"a tunnel broke: {error}") from error
    if not reply.endswith(b"s" * SMALL_BODY):
        raise BenchError(f"a tunnel brought something else than the reply: {reply[:200]!r}")


def measure_small(stage: Stage, peer: Peer, seconds: int) -> Sample:
    """Small requests one after the other in each of TUNNELS tunnels. Raises BenchError when one fails."""
    with stage.proxy(peer) as proxy:
        idle = proxy.process.resident_bytes()
        socks: list[socket.socket] = []
        try:
            socks += (opened(peer, proxy.port) for _ in range(TUNNELS))
            return {**_exchanged(proxy, socks, seconds), "idle_mb": idle / 1e6, "ready_s": proxy.ready_seconds}
        finally:
            for sock in socks:
                sock.close()


def _exchanged(proxy: Started, socks: list[socket.socket], seconds: int) -> Sample:
    exchanges, before = Exchanges(), proxy.process.cpu_seconds()
    exchanges.run(socks, seconds)
    used = proxy.process.cpu_seconds() - before
    loaded = proxy.process.resident_bytes()
    return {**exchanges.sample(), "cpu_us": used / exchanges.count * 1e6, "loaded_mb": loaded / 1e6}


def direct_small(stage: Stage, seconds: int) -> Sample:
    """The same with nothing between."""
    socks = [connect(stage.backends[0]) for _ in range(TUNNELS)]
    try:
        exchanges = Exchanges()
        exchanges.run(socks, seconds)
        return exchanges.sample()
    finally:
        for sock in socks:
            sock.close()
