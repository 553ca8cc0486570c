"""Serves the admin application with hypercorn's trio worker. An edge.

hypercorn takes 50 ms to import, so it is imported when the serving starts, and by nobody who only explains a
name or checks a configuration. It speaks HTTP. Who gets in, how many, and for how long is decided by `door.py` and
`connections.py`, for on its own it lets in everybody, and waits for ever until an answer is taken. Its log goes to the
agent's own.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

import trio
from starlette.types import ASGIApp

from conf.admin import Admin
from nodeagent.admin.connections import Connections
from nodeagent.admin.door import MAX_HEAD, Door
from nodeagent.admin.peers import Peers

if TYPE_CHECKING:
    from hypercorn.typing import ASGIFramework

IDLE: Final = 10  # seconds between two requests
GRACE: Final = 2.0  # seconds for answers under way at shutdown
STREAMS: Final = 16  # of one HTTP/2 connection
BACKLOG: Final = 128
"""Connections that wait to be accepted: at that pace a quarter of a second, so that a probe is not late behind them."""


async def serve(
    app: ASGIApp,
    sock: socket.socket,
    settings: Admin,
    *,
    shutdown: Callable[[], Awaitable[None]],
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve `app` on a listening socket, which is taken over, until `shutdown()` returns and answers are given.

    On a Unix socket, those may ask whom the settings name. Cancelling cuts the answers under way.
    """
    from hypercorn.trio.worker_context import WorkerContext

    context = WorkerContext(None)
    connections = Connections(app, None if settings.path is None else Peers(settings.allow_uids))
    speak = _speaker(connections, context)

    async def converse(accepted: socket.socket, begun: bytes) -> None:
        async with connections.entered(accepted, begun) as connection:
            await speak(connection).run()

    sock.listen(BACKLOG)
    with sock:
        task_status.started()
        async with trio.open_nursery() as conversations:
            async with trio.open_nursery() as accepting:
                door = Door(sock, connections, lambda *who: conversations.start_soon(converse, *who))
                accepting.start_soon(door.run)
                await shutdown()
                accepting.cancel_scope.cancel()
            sock.close()
            await context.terminated.set()  # who idles is let go
            conversations.cancel_scope.deadline = trio.current_time() + GRACE


def _speaker(connections: Connections, context: Any) -> Callable[[Any], Any]:
    """Return what speaks HTTP on a connection."""
    from hypercorn.config import Config
    from hypercorn.trio.tcp_server import TCPServer
    from hypercorn.typing import ConnectionState
    from hypercorn.utils import wrap_app

    config = Config()
    config.errorlog = logging.getLogger("hypercorn.error")
    config.include_server_header = False
    config.h11_max_incomplete_size = MAX_HEAD
    config.h2_max_concurrent_streams = STREAMS
    config.keep_alive_timeout = IDLE
    framework = cast("ASGIFramework", connections.app)  # the libraries write the type of the same thing differently
    wrapped = wrap_app(framework, config.wsgi_max_body_size, "asgi")
    return partial(TCPServer, wrapped, config, context, ConnectionState({}))
