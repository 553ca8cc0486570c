"""The dashboard: the page at `/` and the files that it is made of.

It reads the other pages of the admin port, as any client may, and changes nothing. Its files are few and packaged with
the agent; what a browser has of them it keeps as long as they are the same.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import re
from pathlib import Path
from typing import Final, NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

STATIC: Final = Path(__file__).parent / "static"

MEDIA_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
"""What the page may do (CSP3): nothing but with this origin, and no text becomes markup or a script."""


_COMMENT: Final = re.compile(rb"//.*|/\*.*\*/|")


class StaticFile(NamedTuple):
    """A file as it is served."""

    body: bytes
    packed: bytes
    """The same by gzip."""
    media_type: str
    etag: str


def routes() -> list[Route]:
    """Return the dashboard's routes, the same wherever it is served."""
    return [Route("/", page), Route("/static/{name}", static)]


async def page(request: Request) -> Response:
    """Answer with the page itself."""
    return _answer(request, "index.html")


async def static(request: Request) -> Response:
    """Answer with one of its files. Raises HTTPException 404 for what is none."""
    return _answer(request, request.path_params["name"])


@functools.cache
def files() -> dict[str, StaticFile]:
    """Return all files by their names, read when the first is asked for. Raises OSError."""
    found = {}
    for path in sorted(STATIC.iterdir()):
        if path.suffix in MEDIA_TYPES:
            body = path.read_bytes()
            if path.suffix == ".js":
                body = lean(body)
            etag = f'W/"{hashlib.sha256(body).hexdigest()[:16]}"'  # weak: the same for both encodings
            found[path.name] = StaticFile(body, gzip.compress(body, mtime=0), MEDIA_TYPES[path.suffix], etag)
    return found


def lean(script: bytes) -> bytes:
    """Return a script without its indentation, and without lines that are comments: these are for who reads the source.

    It must have no text of several lines; its lines stay whole.
    """
    return b"\n".join(line for line in map(bytes.strip, script.split(b"\n")) if not _COMMENT.fullmatch(line))


def _answer(request: Request, name: str) -> Response:
    file = files().get(name)
    if file is None:
        raise HTTPException(404)
    # Asked for anew each time (RFC 9111, 5.2.2.4), so that page and scripts are of one version after an upgrade.
    headers = {
        "cache-control": "no-cache",
        "content-security-policy": POLICY,
        "etag": file.etag,
        "vary": "accept-encoding",
    }
    if file.etag in (each.strip() for each in request.headers.get("if-none-match", "").split(",")):
        return Response(None, 304, headers)
    headers["content-type"] = file.media_type
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return Response(file.body, headers=headers)
    return Response(file.packed, headers=headers | {"content-encoding": "gzip"})
