"""`nodeagent env`: the variables that make a program on this host send its calls through the agent."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from ipaddress import ip_address
from shlex import quote
from typing import TYPE_CHECKING

import click

from nodeagent.cli.config import read_config

if TYPE_CHECKING:
    from conf import AgentConfig

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 4140
NOT_PROXIED = "localhost,127.0.0.1,::1"
"""Java needs no such list from here: its own default for http.nonProxyHosts is this host."""

JAVA = "JAVA_TOOL_OPTIONS"
"""Not JDK_JAVA_OPTIONS, which only the launcher `java` of Java 9 and newer reads: JVMs that are older or embedded are
meant too. Either one makes the JVM say on stderr that it has picked it up."""

_JAVA_PROXY = re.compile(r"(?<!\S)-Dhttps?\.proxy(?:Host|Port)=\S*\s*")


@click.command()
@click.option(
    "--shell", type=click.Choice(["sh", "fish", "json"]), default="sh", show_default=True, help="How to write them."
)
@click.option("--config", metavar="CONFIG", help="Take the address from this configuration's first listener.")
def command(shell: str, config: str | None) -> int:
    """Print the proxy variables for a program on this host.

    \b
    sh, bash, zsh:  eval "$(nodeagent env)"
    fish:           nodeagent env --shell fish | source

    Java reads none of them, so there is JAVA_TOOL_OPTIONS; what it says already is kept. docs/clients.md tells which
    programs obey by themselves.
    """
    host, port = (DEFAULT_HOST, DEFAULT_PORT) if config is None else first_listener(read_config(config), config)
    click.echo(render(variables(host, port, os.environ.get(JAVA, "")), shell))
    return 0


def first_listener(config: AgentConfig, origin: str) -> tuple[str, int]:
    """Where the first listener for any name is. Raises ClickException when there is none, or its port is not fixed."""
    servers = (server for router in config.routers for server in router.servers)
    server = next((each for each in servers if each.name is None and each.path is None), None)
    if server is None:
        raise click.ClickException(f"{origin}: no listener on a TCP port is for any name")
    if server.port == 0:
        raise click.ClickException(f"{origin}: the first listener takes any free port; give it a port to find it by")
    return server.ip, server.port


def variables(host: str, port: int, java_options: str = "") -> dict[str, str]:
    """The variables by name, for an agent that listens on `host`; an unspecified address is reached by loopback.

    `java_options` is what JAVA_TOOL_OPTIONS says already. It stays, except for proxies that it names.
    """
    address = ip_address(host)
    if address.is_unspecified:
        address = ip_address("127.0.0.1" if address.version == 4 else "::1")
    url = f"http://{address}:{port}" if address.version == 4 else f"http://[{address}]:{port}"
    lower = {"http_proxy": url, "https_proxy": url, "no_proxy": NOT_PROXIED}
    own = [f"-D{scheme}.proxyHost={address} -D{scheme}.proxyPort={port}" for scheme in ("http", "https")]
    others = _JAVA_PROXY.sub("", java_options).strip()
    upper = {name.upper(): value for name, value in lower.items()}
    return {**lower, **upper, JAVA: " ".join([others, *own]).strip()}


def render(values: Mapping[str, str], shell: str) -> str:
    """The variables in the language of `shell`."""
    match shell:
        case "json":
            return json.dumps(values, indent=2)
        case "fish":
            return "\n".join(f"set -gx {name} {quote(value)};" for name, value in values.items())
        case _:
            return "\n".join(f"export {name}={quote(value)}" for name, value in values.items())
