"""What mutual TLS costs, per request and per handshake, beside Envoy in the same run: `python -m bench.tls`.

    server   wrk -> nginx (stream) == TLS ==> proxy -> backend
    client   wrk -> proxy == TLS ==> backend

Both sides verify each other. Certificates and what is agreed on are the same for all: ECDSA on P-256, X25519, TLS 1.3
with TLS_AES_128_GCM_SHA256, which is all that nginx offers on the other side. Sessions are not taken up again, so that
each connection is a whole handshake. Only the CPU time of the proxy is counted, not that of nginx around it.

All proxies run during the whole time and are loaded in turns, so that the two that are compared meet the same machine
within seconds. What is counted lies inside of a load: how many requests those were, nginx as the endpoints says.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final
from urllib.request import urlopen

import click
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bench import envoy
from bench.compare import alternate, present
from bench.load import WORKLOADS, Workload, run
from bench.peers import AGENT, BACKEND, SMALL_BODY, Peer, Site, agent_files, named, nginx_arguments, nginx_config
from bench.processes import BenchError, Process, free_ports
from bench.results import Sample, Samples, Spread, losses, markdown, spread
from bench.stage import Stage, check_reply, stage, started
from bench.tunnels import STREAM_MODULE
from tls.authority import issue, make_intermediate, make_key, make_root
from tls.identity import SpiffeId

DOMAIN: Final = "bench.example"
NAME: Final = "proxy.bench.example"
SUITE: Final = "TLS_AES_128_GCM_SHA256"
EDGE_SECONDS: Final = 1
"""How much of a load is not counted at its begin, which has the handshakes of all connections, and at its end."""

_FRONT = """\
stream {{
  server {{
    listen 127.0.0.1:{port};
    proxy_pass 127.0.0.1:{target};
    proxy_ssl on;
    proxy_ssl_protocols TLSv1.3;
    proxy_ssl_conf_command Ciphersuites {suite};
    proxy_ssl_session_reuse off;
    proxy_ssl_name {name};
    proxy_ssl_server_name on;
    proxy_ssl_verify on;
    proxy_ssl_verify_depth 3;
    proxy_ssl_trusted_certificate {certificates}/bundle.pem;
    proxy_ssl_certificate {certificates}/cert.pem;
    proxy_ssl_certificate_key {certificates}/key.pem;
  }}
}}
"""

_FRONT_IS_THERE = """\
  server {{
    listen 127.0.0.1:{plain};
    location = /ready {{ return 200; }}
  }}"""

_BACKEND = """\
  {keep}
  default_type text/plain;
  server {{
    listen 127.0.0.1:{plain};
    location = /small {{ return 200 "{small}"; }}
    location = /status {{ stub_status; }}
  }}
  server {{
    listen 127.0.0.1:{backends[0]}{ssl};
    listen 127.0.0.1:{backends[1]}{ssl};
    ssl_protocols TLSv1.3;
    ssl_conf_command Ciphersuites {suite};
    ssl_session_cache off;
    ssl_session_tickets off;
    ssl_certificate {certificates}/cert.pem;
    ssl_certificate_key {certificates}/key.pem;
    ssl_client_certificate {certificates}/bundle.pem;
    ssl_verify_depth 3;
    ssl_verify_client on;
    location = /small {{ return 200 "{small}"; }}
  }}"""


@dataclass(frozen=True, slots=True)
class Case:
    """One way of asking: whether the proxy takes TLS (`server`), speaks it (`client`), and who closes connections."""

    server: bool = False
    client: bool = False
    closes: str = ""


CASES: Final[Mapping[str, Case]] = {
    "request, plain": Case(),
    "request, TLS from callers": Case(server=True),
    "request, TLS to endpoints": Case(client=True),
    "connection, plain from callers": Case(closes="caller"),
    "connection, TLS from callers": Case(server=True, closes="caller"),
    "connection, plain to endpoints": Case(closes="endpoint"),
    "connection, TLS to endpoints": Case(client=True, closes="endpoint"),
}
"""What is measured of each proxy: a request on connections that are kept, and one on a connection of its own."""

DIFFERENCES: Final = {
    "a handshake, of callers": ("connection, TLS from callers", "connection, plain from callers"),
    "a handshake, with endpoints": ("connection, TLS to endpoints", "connection, plain to endpoints"),
}
"""What TLS adds to a connection with one request, by what is taken from what, in the same round."""


def write_certificates(folder: Path) -> None:
    """One certificate for all, with its key and whom to trust."""
    now, key = datetime.now(UTC), make_key()
    root = make_root(DOMAIN, now)
    by = make_intermediate(root, DOMAIN, now)
    leaf = issue(by, SpiffeId.host(DOMAIN, "proxy"), key.public_key(), now, dns=(NAME,))
    pem = [each.public_bytes(Encoding.PEM) for each in (leaf, by.certificate, root.certificate)]
    (folder / "cert.pem").write_bytes(pem[0] + pem[1])
    (folder / "bundle.pem").write_bytes(pem[2])
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def agent_text(case: Case, folder: Path, site: Site) -> dict[str, str]:
    """The agent with defaults, and TLS where the case has it."""
    files = agent_files(site)
    own = f"certPath: {folder}/cert.pem, keyPath: {folder}/key.pem"
    text = files["agent.yaml"]
    if case.server:
        keys = f"{{{own}, caCertPath: {folder}/bundle.pem, requireClientAuth: true}}"
        text = text.replace("ip: 127.0.0.1}]", f"ip: 127.0.0.1, tls: {keys}}}]")
    if case.client:
        text += (
            f"  client: {{tls: {{commonName: {NAME}, trustCertsBundle: {folder}/bundle.pem, clientAuth: {{{own}}}}}}}\n"
        )
    return files | {"agent.yaml": text}


def envoy_text(case: Case, folder: Path, site: Site) -> dict[str, str]:
    """Envoy with what the agent does by default, and TLS where the case has it."""
    document = envoy.full_bootstrap(site.port, site.admin_port, site.backends)
    envoy.secure(document, folder, NAME, listener=case.server, cluster=case.client)
    return {"envoy.json": json.dumps(document)}


def peers(case: Case, folder: Path) -> tuple[Peer, ...]:
    """Who is compared."""
    return (
        replace(AGENT, files=partial(agent_text, case, folder)),
        replace(named("envoy-full"), files=partial(envoy_text, case, folder)),
    )


def backend_text(case: Case, folder: Path, site: Site) -> dict[str, str]:
    """nginx as both endpoints, by TLS if the case has it; `site.port` is for finding out whether it is there."""
    http = _BACKEND.format(
        keep="keepalive_timeout 0;" if case.closes == "endpoint" else "",
        plain=site.port,
        backends=site.backends,
        ssl=" ssl" if case.client else "",
        suite=SUITE,
        certificates=folder,
        small="s" * SMALL_BODY,
    )
    return {"nginx.conf": nginx_config(site, http)}


def front_text(folder: Path, target: int, site: Site) -> dict[str, str]:
    """nginx that puts each connection into one by TLS, with a certificate."""
    stream = _FRONT.format(port=site.port, target=target, suite=SUITE, name=NAME, certificates=folder)
    http = _FRONT_IS_THERE.format(plain=site.admin_port)
    return {"nginx.conf": nginx_config(site, http, before=f"load_module {STREAM_MODULE};\n", after=stream)}


@contextmanager
def serving(here: Stage, case: Case, folder: Path) -> Iterator[tuple[tuple[int, int], int]]:
    """The endpoints of a case, while the block lasts, and the port where they tell how much they have done."""
    one, two, plain = free_ports(3)
    site = _site(here, "endpoints", plain, plain, (one, two))
    peer = replace(BACKEND, files=partial(backend_text, case, folder), ready=lambda at: (at.port, "/small"))
    with started(peer, site, core=here.load_core):
        yield (one, two), plain


@contextmanager
def asked_at(here: Stage, case: Case, folder: Path, target: int) -> Iterator[int]:
    """The port where plain load goes in, while the block lasts: that of the proxy, or one that wraps it in TLS."""
    if not case.server:
        yield target
        return
    port, plain = free_ports(2)
    front = replace(
        BACKEND,
        name="front",
        install="apt-get install nginx-light libnginx-mod-stream",
        find=lambda: BACKEND.find() if STREAM_MODULE.exists() else None,
        files=partial(front_text, folder, target),
        arguments=nginx_arguments,
        ready=lambda at: (at.admin_port, "/ready"),
    )
    with started(front, _site(here, "front", port, plain, ()), core=here.load_core):
        yield port


@dataclass(frozen=True, slots=True)
class Ready:
    """A proxy that runs: where load goes in, and the port of the status of its endpoints."""

    process: Process
    port: int
    status_port: int


@contextmanager
def ready(here: Stage, case: Case, folder: Path, peer: Peer) -> Iterator[Ready]:
    """A proxy with all that is around it, while the block lasts. Raises BenchError when no reply comes through."""
    with (
        serving(here, case, folder) as (backends, status_port),
        here.proxy(peer, backends) as proxy,
        asked_at(here, case, folder, proxy.port) as port,
    ):
        check_reply(port, _workload(case))
        yield Ready(proxy.process, port, status_port)


def measure(here: Stage, case: Case, at: Ready, seconds: int) -> Sample:
    """The CPU time of the proxy for a request, during `seconds` in the middle of a load. Raises BenchError."""
    load = partial(run, _workload(case), at.port, 2 * EDGE_SECONDS + seconds)
    with ThreadPoolExecutor(1) as background:
        running = background.submit(load, core=here.load_core, directory=here.directory)
        time.sleep(EDGE_SECONDS)
        used, served, began = at.process.cpu_seconds(), requests_so_far(at.status_port), time.perf_counter()
        time.sleep(seconds)
        used, served = at.process.cpu_seconds() - used, requests_so_far(at.status_port) - served - 1
        took = time.perf_counter() - began
        result = running.result()
    if not served:
        raise BenchError(f"no request reached an endpoint within {seconds} s")
    return {"cpu_us": used / served * 1e6, "rate": served / took, "errors": float(result.errors)}


def requests_so_far(port: int) -> int:
    """How many requests an nginx has got, the one for this among them. Raises BenchError."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/status", timeout=EDGE_SECONDS) as reply:
            text = reply.read().decode("latin-1")
    except OSError as error:
        raise BenchError(f"nginx does not tell how many requests it has got: {error}") from error
    found = re.search(r"^ *\d+ +\d+ +(\d+) *$", text, re.MULTILINE)
    if found is None:
        raise BenchError(f"nginx's status has no count of requests: {text!r}")
    return int(found[1])


def _workload(case: Case) -> Workload:
    return WORKLOADS["newconn" if case.closes == "caller" else "small"]


def table(results: Mapping[str, Samples]) -> str:
    """A line for each case, and for each difference of two: the CPU of all, and the agent's over Envoy's."""
    names = list(next(iter(results.values())))
    lines = [["CPU us", *names, *(f"agent over {name}" for name in names if name != AGENT.name)]]
    values = {
        case: {name: [each["cpu_us"] for each in rows] for name, rows in of.items()} for case, of in results.items()
    }
    for title, (more, less) in DIFFERENCES.items():
        if more in values and less in values:
            values[title] = {
                name: [one - other for one, other in zip(values[more][name], values[less][name], strict=True)]
                for name in names
            }
    for title, by_name in values.items():
        ratios = [
            [ours / theirs for ours, theirs in zip(by_name[AGENT.name], by_name[name], strict=True)]
            for name in names
            if name != AGENT.name and AGENT.name in by_name
        ]
        lines.append([title, *(_show(by_name[name], 1) for name in names), *(_show(each, 2) for each in ratios)])
    return markdown(lines)


def _show(values: list[float], digits: int) -> str:
    found: Spread | None = spread(values)
    return "-" if found is None else found.show(digits)


def _site(here: Stage, name: str, port: int, plain: int, backends: tuple[int, ...]) -> Site:
    directory = here.directory / f"{name}{port}"
    directory.mkdir()
    return Site(directory, port, plain, backends)


@click.command()
@click.option("--rounds", type=click.IntRange(1, 99), default=10, show_default=True)
@click.option("--seconds", type=click.IntRange(1, 600), default=2, show_default=True, help="Counted of each load.")
@click.option("--only", metavar="TEXT", default="", help="Only the cases that have this in their name.")
def main(rounds: int, seconds: int, only: str) -> None:
    """Compare what mutual TLS costs the agent and Envoy."""
    turns: dict[str, Callable[[], Sample]] = {}
    try:
        with stage() as here, ExitStack() as proxies:
            folder = here.directory / "certificates"
            folder.mkdir()
            write_certificates(folder)
            names = [peer.name for peer in present(peers(Case(), folder), _say)]
            cases = {name: case for name, case in CASES.items() if only in name}
            for name, case in cases.items():
                for peer in peers(case, folder):
                    if peer.name in names:
                        at = proxies.enter_context(ready(here, case, folder, peer))
                        turns[_turn(name, peer.name)] = partial(measure, here, case, at, seconds)
            samples = alternate(turns, rounds, _say)
    except BenchError as error:
        raise click.ClickException(str(error)) from error
    click.echo(table({case: {name: samples[_turn(case, name)] for name in names} for case in cases}))
    if lost := losses(samples):
        raise click.ClickException("not comparable: " + "; ".join(lost))


def _turn(case: str, peer: str) -> str:
    return f"{case}: {peer}"


def _say(text: str) -> None:
    click.echo(text, err=True)


if __name__ == "__main__":
    main()
