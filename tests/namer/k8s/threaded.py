"""The API server of the tests in a thread, for real processes that ask it; and pods: small servers with addresses."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import trio

from tests.namer.k8s.apiserver import ApiServer


class Threaded:
    """An API server whose loop is in another thread: `do` runs something there."""

    def __init__(self, server: ApiServer, token: trio.lowlevel.TrioToken) -> None:
        self.server = server
        self._token = token

    def do(self, change: Callable[[ApiServer], None]) -> None:
        """Have the server changed by `change`, and return when it is done."""
        trio.from_thread.run_sync(change, self.server, trio_token=self._token)


@contextmanager
def threaded(server: ApiServer) -> Iterator[Threaded]:
    """The server, running until the end of the block."""
    scope, ready, found = trio.CancelScope(), threading.Event(), list[trio.lowlevel.TrioToken]()

    async def main() -> None:
        server.listen()
        found.append(trio.lowlevel.current_trio_token())
        ready.set()
        with scope:
            await server.run()

    thread = threading.Thread(target=trio.run, args=(main,))
    thread.start()
    ready.wait()
    try:
        yield Threaded(server, found[0])
    finally:
        trio.from_thread.run_sync(scope.cancel, trio_token=found[0])
        thread.join()


@contextmanager
def pods(*hosts: str) -> Iterator[int]:
    """A server on each of these loopback addresses, all on one port, each answering with its address."""
    with ExitStack() as running:
        port = 0
        for host in hosts:
            port = running.enter_context(_pod(host, port))
        yield port


@contextmanager
def _pod(host: str, port: int) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(host)))
            self.end_headers()
            self.wfile.write(host.encode())

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with ThreadingHTTPServer((host, port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()
