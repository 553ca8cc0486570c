"""DNS servers that people run, with one small zone: BIND, dnsmasq and unbound."""

from __future__ import annotations

import pathlib
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import pytest
import trio

from namer.dns.answers import ServerFailed
from namer.dns.resolver import AskByWire
from namer.dns.settings import Server

PACKAGES: Final = {"named": "bind9", "dnsmasq": "dnsmasq-base", "unbound": "unbound", "nsupdate": "bind9-dnsutils"}
RECORDS: Final = (
    "web.example. 2 A 10.0.0.1",
    "both.example. 60 A 10.0.0.2",
    "both.example. 60 AAAA fd00::2",
    "six.example. 60 AAAA fd00::3",
    "empty.example. 60 TXT nothing",
    "_http._tcp.users.example. 60 SRV 10 3 8080 web.example.",
    "_http._tcp.users.example. 60 SRV 10 1 8081 both.example.",
    "_http._tcp.users.example. 60 SRV 20 0 8082 six.example.",
    *(
        f"_many._tcp.example. 60 SRV 1 1 {port} a-rather-long-name-of-a-host-{port}.example."
        for port in range(8001, 8061)
    ),
)

BIND = """\
options {{ directory "{directory}"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; recursion no;
  pid-file none; session-keyfile none; lock-file none; managed-keys-directory "{directory}"; notify no; }};
controls {{ }};
zone "example" {{ type primary; file "zone"; allow-update {{ 127.0.0.1; }}; }};
"""
UNBOUND = """\
server:
  interface: 127.0.0.1@{port}
  do-daemonize: no
  chroot: ""
  username: ""
  directory: "{directory}"
  pidfile: ""
  use-syslog: no
  module-config: "iterator"
  local-zone: "example." static
{data}
"""


def needs(*programs: str) -> pytest.MarkDecorator:
    """Skip where one of the programs is missing."""
    missing = [PACKAGES[program] for program in programs if not shutil.which(program)]
    return pytest.mark.skipif(bool(missing), reason=f"needs {' '.join(programs)}: apt-get install {' '.join(missing)}")


def named(directory: pathlib.Path, port: int, records: Sequence[str]) -> list[str]:
    """BIND's configuration and command."""
    soa = "example. 60 SOA ns.example. root.example. 1 60 60 60 3"
    zone = [soa, "example. 60 NS ns.example.", "ns.example. 60 A 127.0.0.1", *records]
    (directory / "zone").write_text("\n".join(zone) + "\n")
    (directory / "conf").write_text(BIND.format(directory=directory, port=port))
    return ["named", "-g", "-n", "1", "-c", str(directory / "conf")]


def dnsmasq(directory: pathlib.Path, port: int, records: Sequence[str]) -> list[str]:
    """dnsmasq has no configuration file here."""
    options = [_dnsmasq_option(*record.split(" ", 3)) for record in records]
    common = f"--conf-file=/dev/null --keep-in-foreground --no-resolv --no-hosts --port={port} --local=/example/"
    place = "--listen-address=127.0.0.1 --bind-interfaces --pid-file= --user=root --local-ttl=60"
    return ["dnsmasq", *common.split(), *place.split(), *options]


def _dnsmasq_option(name: str, ttl: str, kind: str, data: str) -> str:
    name = name.rstrip(".")
    match kind:
        case "A" | "AAAA":
            return f"--host-record={name},{data},{ttl}"
        case "TXT":
            return f"--txt-record={name},{data}"
        case _:
            priority, weight, port, target = data.split()
            return f"--srv-host={name},{target.rstrip('.')},{port},{priority},{weight}"


def unbound(directory: pathlib.Path, port: int, records: Sequence[str]) -> list[str]:
    """unbound's configuration and command."""
    data = "\n".join(f"  local-data: '{record}'" for record in records)
    (directory / "conf").write_text(UNBOUND.format(directory=directory, port=port, data=data))
    return ["unbound", "-d", "-c", str(directory / "conf")]


Command = Callable[[pathlib.Path, int, Sequence[str]], list[str]]
COMMANDS: Final[dict[str, Command]] = {"named": named, "dnsmasq": dnsmasq, "unbound": unbound}


@dataclass
class RealServer:
    """A server that runs, or was killed and may run again at the same place."""

    where: Server
    command: list[str]
    process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Return when it answers."""
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with trio.fail_after(10):
            while not await self._answers():
                await trio.sleep(0.02)

    def kill(self) -> None:
        """As `kill -9` does."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    async def _answers(self) -> bool:
        with trio.move_on_after(0.2):
            try:
                return bool((await AskByWire()(self.where, "web.example.", "A")).records)
            except ServerFailed:
                return False
        return False


@asynccontextmanager
async def real_server(
    kind: str, directory: pathlib.Path, records: Sequence[str] = RECORDS
) -> AsyncIterator[RealServer]:
    """It runs until the block ends."""
    port = free_port()
    server = RealServer(Server("127.0.0.1", port), COMMANDS[kind](directory, port, records))
    try:
        await server.start()
        yield server
    finally:
        server.kill()


def free_port() -> int:
    """A port that is free for both protocols."""
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        port: int = tcp.getsockname()[1]
        udp.bind(("127.0.0.1", port))
        return port


def update(server: RealServer, *commands: str) -> None:
    """Change the zone of a running BIND."""
    text = "\n".join([f"server 127.0.0.1 {server.where.port}", "zone example", *commands, "send", ""])
    subprocess.run(["nsupdate"], input=text, text=True, check=True, timeout=10)
