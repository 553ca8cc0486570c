"""The listeners of all routers, and the admin port: opened together or not at all. An edge."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import structlog

from conf import AgentConfig
from conf.server import Listener, TcpServer
from namer.addr import Endpoint
from nodeagent import access, policies
from nodeagent.edges import make_edge
from nodeagent.listen import (
    ListenError,
    Listening,
    OwnPorts,
    SocketFile,
    address,
    listen,
    listen_unix,
    open_admin,
    take_inherited,
)
from nodeagent.listenertls import make_handshakes
from nodeagent.process import descriptors
from nodeagent.proxy.caller import Callers
from nodeagent.proxy.conversation import Conversation
from nodeagent.proxy.fairness import Accounts, connections_within
from nodeagent.proxy.server import ConnectionOptions, Server
from nodeagent.proxy.tcp import TcpConversation
from nodeagent.routers import RunningRouter
from nodeagent.telemetry.registry import Registry
from tls.contexts import Contexts
from tls.files import TlsConfigError

if TYPE_CHECKING:
    from nodeagent.proxy.cgroups import Cgroups

log = structlog.get_logger("nodeagent.agent")


class Listeners:
    """Where one agent listens, who calls there, and the files of its Unix sockets."""

    def __init__(
        self, config: AgentConfig, contexts: Contexts, stats: Registry, rng: random.Random, elsewhere: Listening | None
    ) -> None:
        """`elsewhere` is the admin port when another process has it."""
        self._config = config
        self._contexts = contexts
        self._stats = stats
        self._rng = rng
        self._elsewhere = elsewhere
        self._callers = Callers()
        self._cgroups: Cgroups | None = None
        self._connections = Accounts()
        """Of all listeners."""
        self._files: list[SocketFile] = []
        """Of the Unix sockets that were made here, but for the admin port's."""
        self._admin_file: SocketFile | None = None
        self._own = {router.label: OwnPorts() for router in config.routers}
        self._admin = OwnPorts()

    def is_own(self, label: str, endpoint: Endpoint) -> bool:
        """Tell whether an endpoint is a listener of that router."""
        return endpoint in self._own[label]

    def is_admin(self, endpoint: Endpoint) -> bool:
        """Tell whether an endpoint is the admin port."""
        return endpoint in self._admin

    def open(
        self, routers: Iterable[RunningRouter], inherited: Sequence[socket.socket]
    ) -> list[tuple[Listening, socket.socket]]:
        """Open every listener, or none, and give the routers their servers; the admin port, if it is here, comes last.

        `inherited` are listening sockets to use instead of binding the same address. Raises ListenError.
        """
        self._connections.bound = connections_within(descriptors())
        left = list(inherited)
        opened: list[tuple[Listening, socket.socket]] = []
        try:
            for running in routers:
                opened += self._open_router(running, left)
            if self._elsewhere is None:
                listening, sock, self._admin_file = open_admin(self._config.admin, left)
                opened.append((listening, sock))
        except BaseException:
            self.remove_files()
            for _, sock in opened:
                sock.close()
            raise
        for sock in left:
            log.warning("an inherited socket belongs to no listener", address=sock.getsockname())
        for label, own in self._own.items():  # other routers may be the next hop: out by one, in by the other
            own.add((each.host, each.port) for each, _ in opened if each.what == f"router {label}")
        admin = [each for each, _ in opened if each.what == "admin"] + ([self._elsewhere] if self._elsewhere else [])
        self._admin.add((each.host, each.port) for each in admin)
        return opened

    def remove_files(self) -> None:
        """Remove the files of Unix sockets, so that nobody comes who would wait; the admin port's stays."""
        while self._files:
            self._files.pop().remove()

    def close(self) -> None:
        """Let go of everything, the file of the admin port last: a drain can be watched there."""
        self._callers.close()
        self.remove_files()
        if self._admin_file is not None:
            self._admin_file.remove()

    def _open_router(
        self, running: RunningRouter, inherited: list[socket.socket]
    ) -> Iterator[tuple[Listening, socket.socket]]:
        what = f"router {running.label}"
        for config in running.config.servers:
            options = config.socket_options
            sock = take_inherited(inherited, *config.address) or self._bind(what, config)
            listening = Listening(what, *address(sock))
            name = config.name
            stats = self._stats.server(running.label, listening.host, listening.port)
            try:
                tls = make_handshakes(config, self._contexts, stats)
            except TlsConfigError as error:
                sock.close()
                raise ListenError(f"{listening} cannot speak TLS: {error}") from None
            running.servers.append(
                Server(
                    sock,
                    running.router if name is None else running.router.always(running.router.prefix + name),
                    policies.server_limits(running.config, config),
                    stats,
                    edge=make_edge(config, running.label, listening.address, self._rng),
                    options=ConnectionOptions(options.no_delay, options.keep_alive, config.proxy_protocol),
                    converse=TcpConversation if isinstance(config, TcpServer) else Conversation,
                    everyone=self._connections,
                    who=self._callers.of,
                    tls=tls,
                    entrance=access.entrance(config, stats),
                    cgroups=self._known_cgroups() if access.asks_for_cgroups(running.config, config) else None,
                )
            )
            yield listening, sock

    def _known_cgroups(self) -> Cgroups:
        """The cgroups of this host, the same for all listeners."""
        if self._cgroups is None:
            from nodeagent.proxy.cgroups import Cgroups, mounted

            if (mount := mounted()) is None:
                log.warning("rules may ask for cgroups, and no tree of cgroups v2 is mounted: those of TCP are unknown")
            self._cgroups = Cgroups(self._callers, mount)
        return self._cgroups

    def _bind(self, what: str, config: Listener) -> socket.socket:
        options = config.socket_options
        if config.path is not None:
            sock, file = listen_unix(what, config.path, mode=int(config.mode, 8), backlog=options.backlog)
            self._files.append(file)
            return sock
        reuse = {"reuse_addr": options.reuse_addr, "reuse_port": options.reuse_port}
        return listen(what, config.ip, config.port, **reuse, backlog=options.backlog)
