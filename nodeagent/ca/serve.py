"""An authority that serves: its own certificate, and the tasks that keep it up to date. An edge; a composition root.

serve -- server       one child a connection
      '- upkeep       signs lists anew, takes former roots out, forgets old tokens
"""

from __future__ import annotations

import random
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

import structlog
import trio

from namer.files import look
from nodeagent.ca.disk import CaError
from nodeagent.ca.membership import Membership
from nodeagent.ca.renewal import renewal_time
from nodeagent.ca.server import CaLimits, CaServer
from nodeagent.ca.service import CaService, Refused
from tls.authority import LEAF_LIFETIME
from tls.contexts import Contexts
from tls.files import TlsConfigError
from tls.params import OwnCertificate, ServerParams

log = structlog.get_logger("nodeagent.ca")

UPKEEP: Final = 600.0
"""Seconds between two looks at what is due."""

AGAIN: Final = timedelta(minutes=1)
"""Until the server's own certificate is tried to be renewed again."""


async def serve(
    folder: Path,
    sock: socket.socket,
    *,
    passphrase: bytes | None = None,
    lifetime: timedelta = LEAF_LIFETIME,
    limits: CaLimits | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the authority in a directory on a listening socket, which is taken over. Cancel to stop.

    Raises CaError when it cannot start; later troubles are logged, and answered with 503.
    """
    service = CaService(folder, passphrase, now, lifetime)
    own = _Own(service, folder, now)
    await trio.to_thread.run_sync(own.renew)
    server = CaServer(service, own.context, limits or CaLimits())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_upkeep, service, own, now)
        task_status.started()
        await server.run(trio.SocketListener(trio.socket.from_stdlib_socket(sock)))


class _Own:
    """The certificate of the server itself, always under what signs now: who joins may know that root only."""

    def __init__(self, service: CaService, folder: Path, now: Callable[[], datetime]) -> None:
        self._service = service
        self._state = folder / "ca.json"
        self._files = Membership(folder / "server")
        own = OwnCertificate(str(self._files.certificate), str(self._files.key))
        self._params = ServerParams(own, "optional", (str(self._files.bundle),), ("TLSv1.3",))
        self._contexts = Contexts(now)
        self._now = now
        self._seen = look(self._state)
        self._due = now()
        self._lock = trio.Lock()

    async def context(self) -> ssl.SSLContext:
        """What the next connection is made with. Renews the certificate first, if that is due."""
        async with self._lock:
            if look(self._state) != self._seen or self._now() >= self._due:
                try:
                    await trio.to_thread.run_sync(self.renew)
                except (CaError, TlsConfigError) as error:
                    log.error("the authority cannot renew its own certificate", error=str(error))
                    self._due = self._now() + AGAIN
        return self._contexts.side(self._params).context

    def renew(self) -> None:
        """Have a new certificate. Blocks; raises CaError."""
        self._seen = look(self._state)
        self._service.give_own(self._files)
        self._due = renewal_time(self._files.leaf(), random.Random())
        self._contexts.reload(self._params)

    def read_trust(self) -> None:
        """Believe those whom all believe now. Blocks; raises CaError, Refused."""
        self._files.write_trust(self._service.trust())
        self._contexts.reload(self._params)


async def _upkeep(service: CaService, own: _Own, now: Callable[[], datetime]) -> None:
    while True:
        try:
            await trio.to_thread.run_sync(own.read_trust)
            await trio.to_thread.run_sync(partial(service.store.tokens.sweep, now()))
        except (CaError, Refused, TlsConfigError) as error:
            log.error("the authority cannot keep itself up to date", error=str(error))
        await trio.sleep(UPKEEP)
