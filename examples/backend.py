"""A backend to try the examples with: `python3 backend.py NAME PORT`, Python's standard library only.

It says who it is, what it was asked for, and by which names the agent found it:

    $ python3 backend.py users 8081 &
    users listens on 127.0.0.1:8081
    $ curl 127.0.0.1:8081/profile
    users on 8081: GET /profile
"""

import argparse
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path


class Handler(BaseHTTPRequestHandler):
    """Answers every request with one line."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    name = "backend"
    port = 0
    status = 200
    delay = 0.0
    every = 1
    number = count(1)
    sick = Path()

    def answer(self) -> None:
        """Read the whole request, wait, answer."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if next(self.number) % self.every == 0:
            time.sleep(self.delay)
        body = f"{self.name} on {self.port}: {self.command} {self.path}{self.found_by()}\n".encode()
        self.send_response(503 if self.path == "/health" and self.sick.is_file() else self.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            with suppress(BrokenPipeError, ConnectionResetError):  # the agent may have stopped waiting
                self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer  # noqa: N815  (the names http.server looks for)

    def found_by(self) -> str:
        """The names that the agent used, when the request came through it."""
        service, client = self.headers.get("l5d-dst-service"), self.headers.get("l5d-dst-client")
        return f" ({service} => {client})" if service and client else ""

    def log_message(self, *_: object) -> None:
        """Say nothing: what happened stands in the answer."""


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name")
    parser.add_argument("port", type=int, help="0 takes any free one")
    parser.add_argument("--status", type=int, default=200, help="answer with this status")
    parser.add_argument("--delay", type=float, default=0.0, metavar="SECONDS", help="wait before each answer")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="wait before every N-th answer only")
    parser.add_argument("--sick", type=Path, default=Path(), metavar="FILE", help="while it exists /health gets 503")
    arguments = parser.parse_args()
    server = ThreadingHTTPServer(("127.0.0.1", arguments.port), Handler)
    Handler.name, Handler.port = arguments.name, server.server_port
    Handler.status, Handler.delay, Handler.every = arguments.status, arguments.delay, arguments.every
    Handler.sick = arguments.sick
    print(f"{Handler.name} listens on 127.0.0.1:{Handler.port}", flush=True)
    with suppress(KeyboardInterrupt):
        server.serve_forever()


if __name__ == "__main__":
    main()
