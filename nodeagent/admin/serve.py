"""Serves the admin application with hypercorn's trio worker. An edge.

hypercorn takes 50 ms to import, so it is imported when the serving starts, and by nobody who only explains a
name or checks a configuration. What it does not bound by itself is bounded here:

* It gives a request's head `keep_alive_timeout` to arrive, and nothing a limit on the time to take the
  answer: the kernel's TCP_USER_TIMEOUT (RFC 5482) ends a connection whose peer takes nothing any more, also
  while the agent drains.
* It makes its log by itself unless it is given one; what it says goes to the agent's own.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, cast

import trio
from starlette.types import ASGIApp

if TYPE_CHECKING:
    from hypercorn.typing import ASGIFramework

MAX_HEAD: Final = 64 * 1024  # bytes
IDLE: Final = 10  # seconds between two requests, and for a head to come
SILENCE: Final = 15  # seconds that a caller may send nothing while it is owed an answer; above what any page takes
STALLED: Final = 5_000  # milliseconds that a caller may take nothing of an answer
GRACE: Final = 2.0  # seconds for answers under way at shutdown
STREAMS: Final = 16  # of one HTTP/2 connection


async def serve(
    app: ASGIApp,
    sock: socket.socket,
    *,
    shutdown: Callable[[], Awaitable[None]],
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve `app` on a bound TCP socket, which is taken over, until `shutdown()` returns and answers are given.

    Starts with the URLs it serves. Cancelling cuts the answers under way.
    """
    from hypercorn.config import Config
    from hypercorn.trio import serve as serve_app

    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED)
    config = Config()
    config.bind = f"fd://{sock.detach()}"
    config.errorlog = logging.getLogger("hypercorn.error")
    config.include_server_header = False
    config.h11_max_incomplete_size = MAX_HEAD
    config.h2_max_concurrent_streams = STREAMS
    config.keep_alive_timeout = IDLE
    config.read_timeout = SILENCE
    config.graceful_timeout = GRACE
    framework = cast("ASGIFramework", app)  # the two libraries write the type of the same thing differently
    await serve_app(framework, config, shutdown_trigger=shutdown, task_status=task_status, mode="asgi")
