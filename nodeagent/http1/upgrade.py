"""Switching a connection to another protocol: what may be asked, and what may be agreed (RFC 9110, 7.8). Pure.

Upgrade ends at each hop, so the agent asks its backend anew, for what the caller asked for and the agent can relay:
any protocol that needs nothing but bytes both ways. Only 101 switches; an answer of any other status is an ordinary
one, and what the caller sends next is its next request.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re

from nodeagent.http1.head import ResponseHead, connection_tokens
from nodeagent.proxy.errors import BadRequest, ResponseInvalid
from nodeagent.proxy.messages import RequestHead, field_of

_PROTOCOL = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}(?:/[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64})?\Z")
_OF_ONE_HOP = (b"h2c", b"http/", b"tls/")
"""Protocols that carry HTTP itself: behind them are requests, which no tunnel may hide (RFC 9113, 3.1; RFC 2817)."""

_WEBSOCKET = b"websocket"
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def settle_offer(head: RequestHead, *, whole: bool) -> None:
    """Leave in `head` of an Upgrade what the backend is to be asked for; `whole` tells that the body is here.

    A body that streams is not followed by anything else, so its request switches nothing. Raises BadRequest for a
    WebSocket handshake that is none (RFC 6455, 4.2.1).
    """
    offer = [protocol.strip(b" \t") for protocol in head.special[b"upgrade"].split(b",")]
    able = [protocol for protocol in offer if _PROTOCOL.match(protocol)]
    able = [protocol for protocol in able if not protocol.lower().startswith(_OF_ONE_HOP)]
    if head.version != 11 or not whole or b"upgrade" not in connection_tokens(head.special):
        able = []
    if any(protocol.lower() == _WEBSOCKET for protocol in able):
        _check_websocket(head)
    special = {name: value for name, value in head.special.items() if name != b"upgrade"}
    head.special = special | {b"upgrade": b", ".join(able)} if able else special


def _check_websocket(head: RequestHead) -> None:
    if head.method != b"GET":
        raise BadRequest("a WebSocket is asked for by GET")
    key = head.get(b"sec-websocket-key")
    if key is None or not _is_key(key):
        raise BadRequest("a WebSocket is asked for without a valid Sec-WebSocket-Key")
    if head.get(b"sec-websocket-version") is None:
        raise BadRequest("a WebSocket is asked for without a Sec-WebSocket-Version")


def _is_key(key: bytes) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except binascii.Error:
        return False


def check_switch(request: RequestHead, response: ResponseHead) -> None:
    """Raise ResponseInvalid unless `response`, a 101, agrees to what `request` asked for."""
    agreed = response.special.get(b"upgrade", b"").lower()
    offer = [protocol.strip().lower() for protocol in request.special[b"upgrade"].split(b",")]
    if agreed not in offer:
        raise ResponseInvalid("101 switches to a protocol that was not asked for")
    if b"upgrade" not in connection_tokens(response.special):
        raise ResponseInvalid("101 without Connection: Upgrade")
    if agreed == _WEBSOCKET and field_of(response.fields, b"sec-websocket-accept") != _accept_of(request):
        raise ResponseInvalid("101 with a Sec-WebSocket-Accept that does not belong to the request's key")


def _accept_of(request: RequestHead) -> bytes:
    """RFC 6455, 4.2.2."""
    key = request.get(b"sec-websocket-key") or b""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def switch_fields(protocol: bytes) -> bytes:
    """Return the field lines that ask for `protocol`, or agree to it."""
    return b"Connection: Upgrade\r\nUpgrade: %b\r\n" % protocol
