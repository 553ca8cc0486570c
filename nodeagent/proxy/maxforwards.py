"""TRACE and OPTIONS that go so many hops and no further (RFC 9110, 7.6.2). Pure."""

from __future__ import annotations

from nodeagent.proxy.errors import BadRequest
from nodeagent.proxy.messages import RequestHead, Response

MAX_DIGITS = 9
"""Of Max-Forwards: more hops than there are programs."""


class LastHop(Exception):
    """The request is to be answered here, by `response`."""

    def __init__(self, response: Response) -> None:
        super().__init__("Max-Forwards is 0")
        self.response = response


def forwards_left(head: RequestHead) -> bytes:
    """Return the Max-Forwards field for the next hop. Raises LastHop when there is to be none, and BadRequest.

    With other methods than these two the field means nothing, and is passed on as it is.
    """
    value = head.special[b"max-forwards"]
    if head.method in (b"TRACE", b"OPTIONS"):
        if not value.isdigit() or len(value) > MAX_DIGITS:
            raise BadRequest(f"Max-Forwards {value[:40].decode('latin-1')!r} is not a number of hops")
        if not int(value):
            raise LastHop(_own_answer(head))
        value = b"%d" % (int(value) - 1)
    return b"Max-Forwards: %b\r\n" % value


def _own_answer(head: RequestHead) -> Response:
    """Answer as the final recipient: TRACE with the request as it came (RFC 9110, 9.3.8), OPTIONS with nothing."""
    if head.method == b"OPTIONS":
        return Response(200, b"OK", b"", {}, b"", 0)
    special = b"".join(b"%b: %b\r\n" % field for field in head.special.items() if field[0] not in _CREDENTIALS)
    body = b"TRACE %b HTTP/1.%d\r\nHost: %b\r\n%b%b\r\n" % (
        head.path, head.version % 10, head.authority, head.fields, special,
    )  # fmt: skip
    return Response(200, b"OK", b"Content-Type: message/http\r\n", {}, body, len(body))


_CREDENTIALS = frozenset({b"proxy-authorization"})
