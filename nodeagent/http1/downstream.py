"""Writes responses to callers. Pure."""

from __future__ import annotations

from nodeagent.proxy.messages import Response


def render_response(response: Response, body: bytes, keep: bool) -> bytes:
    """Write the head of a response, and what is there of its body. `keep` leaves the connection open."""
    fields = response.fields
    if response.length is not None:
        fields += b"Content-Length: %d\r\n" % response.length
    if not keep:
        fields += b"Connection: close\r\n"
    return b"HTTP/1.1 %d %b\r\n%b\r\n%b" % (response.status, response.reason, fields, body)


def whole_body(response: Response) -> bytes:
    """Return the body of an answer of the agent's own, which is whole."""
    if not isinstance(response.body, bytes):
        raise AssertionError("the agent's own answers are whole")
    return response.body


def whole_chunked(response: Response, body: bytes, version: int) -> bytes:
    """Return `body`, which came in chunks, as one chunk; for an HTTP/1.0 caller, who knows none, as it is."""
    if version == 11:
        response.fields += b"Transfer-Encoding: chunked\r\n"
        return b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    response.length = len(body)
    return body
