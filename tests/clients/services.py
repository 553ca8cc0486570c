"""Services that clients call through the agent: plain and with TLS, with answers that show what came in."""

from __future__ import annotations

import hashlib
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PATIENCE = 15.0
"""Seconds that a service waits for what a client should do next."""

LARGE = bytes(range(250)) * 40_000
"""10 MB."""


class Service(ThreadingHTTPServer):
    """One service; `name` is the answer of its front page."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, name: str, context: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.name = name
        self.pair = threading.Barrier(2)
        self.next_event = threading.Event()
        """Set by whoever has seen the first event; without it there is no second."""
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, request: object, client_address: object) -> None:
        """Keep quiet: clients that refuse a certificate leave in the middle of a handshake."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Service

    def do_GET(self) -> None:
        match self.path:
            case "/":
                self._answer(self.server.name.encode())
            case "/large":
                self._answer(LARGE)
            case "/moved":
                self._answer(b"over there", 302, Location="http://accounts/")
            case "/pair":
                self.server.pair.wait(PATIENCE)
                self._answer(b"both were here")
            case "/events":
                self._events()
            case _:
                self._answer(b"no such page", 404)

    def do_POST(self) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            framing, body = "chunked", b"".join(self._chunks())
        else:
            framing, body = "length", self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(f"{framing} {len(body)} {hashlib.sha256(body).hexdigest()}".encode())

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass

    def _events(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"9\r\ndata: 1\n\n\r\n")
        if self.server.next_event.wait(PATIENCE):
            self.wfile.write(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")
        else:
            self.close_connection = True

    def _answer(self, body: bytes, status: int = 200, **fields: str) -> None:
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""
