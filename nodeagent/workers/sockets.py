"""The listening sockets of all workers: opened once by the supervisor, which keeps them. An edge.

Each worker has one of its own on every port (SO_REUSEPORT), among which the kernel spreads connections by their
addresses. They stay open when a worker dies, so that who waits in its queue is accepted by its replacement. A socket
that was inherited from the service manager, or has a path, is shared instead: whoever is there first accepts.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from conf import AgentConfig
from conf.server import Listener
from nodeagent.listen import Listening, SocketFile, address, listen, listen_unix, take_inherited


@dataclass(frozen=True, slots=True)
class Port:
    """One listener of a router."""

    listening: Listening
    sockets: tuple[socket.socket, ...]
    """One for each worker, or one for all."""
    file: SocketFile | None = None
    """Of a Unix socket that was opened here."""

    def socket_of(self, worker: int) -> socket.socket:
        """Return where a worker accepts."""
        return self.sockets[worker % len(self.sockets)]


@dataclass(frozen=True, slots=True)
class Ports:
    """All of them, by router."""

    by_router: tuple[tuple[Port, ...], ...]

    def listening(self) -> tuple[Listening, ...]:
        """As people are told of them."""
        return tuple(port.listening for ports in self.by_router for port in ports)

    def numbers(self) -> list[list[int]]:
        """The ports of each router."""
        return [[port.listening.port for port in ports] for ports in self.by_router]

    def sockets_of(self, worker: int) -> list[socket.socket]:
        """Where a worker accepts."""
        return [port.socket_of(worker) for ports in self.by_router for port in ports]

    def close(self) -> None:
        """Close what this process has of them: the workers' own copies stay."""
        for ports in self.by_router:
            for port in ports:
                if port.file is not None:
                    port.file.remove()
                for sock in port.sockets:
                    sock.close()


def open_ports(config: AgentConfig, inherited: list[socket.socket]) -> Ports:
    """Open the listeners of all routers, or none; takes those it needs out of `inherited`. Raises ListenError."""
    with ExitStack() as opened:
        ports = Ports(
            tuple(
                tuple(
                    _open(f"router {router.label}", server, config.workers, inherited, opened)
                    for server in router.servers
                )
                for router in config.routers
            )
        )
        opened.pop_all()
    return ports


def _open(what: str, config: Listener, workers: int, inherited: list[socket.socket], opened: ExitStack) -> Port:
    found, file = take_inherited(inherited, *config.address), None
    if found is None and config.path is not None:
        found, file = listen_unix(what, config.path, mode=int(config.mode, 8), backlog=config.socket_options.backlog)
    sockets = tuple(
        opened.enter_context(each) for each in (_listen(what, config, workers) if found is None else (found,))
    )
    if file is not None:
        opened.callback(file.remove)
    return Port(Listening(what, *address(sockets[0])), sockets, file)


def _listen(what: str, config: Listener, workers: int) -> Iterator[socket.socket]:
    options, port = config.socket_options, config.port
    if port and not options.reuse_port:  # another agent on the port is more often a mistake: it would not be noticed
        listen(what, config.ip, port, reuse_addr=options.reuse_addr).close()
    for _ in range(workers):
        sock = listen(what, config.ip, port, reuse_addr=options.reuse_addr, reuse_port=True, backlog=options.backlog)
        _, port = address(sock)
        yield sock
