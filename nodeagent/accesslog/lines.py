"""A request as one line: JSON, the combined format, or an entry of the journal. Pure.

Whatever callers, endpoints and names put into it, a line is one line of printable ASCII, so that it breaks neither a
reader nor a terminal (CWE-117).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, TypeAlias

import msgspec

from namer.path import Path
from nodeagent.telemetry.decision import (
    Json,
    answering,
    blame,
    classification,
    in_order,
    milliseconds,
    show_bytes,
    show_time,
    timings,
    trace_id,
    url,
)
from nodeagent.telemetry.exchange import Attempt, Described, Exchange
from nodeagent.telemetry.trace import request_id

Format: TypeAlias = Callable[[Exchange, float], bytes]
"""Makes what is written of a request; the second turns trio's clock into seconds since 1970, when added."""

INFO: Final = b"6"
"""The journal's priority of what went well (syslog.h)."""

WARNING: Final = b"4"
"""Of what did not."""

_encode = msgspec.json.Encoder().encode
_NOT_DESCRIBED: Final = Described(0, b"", b"")


def json_line(exchange: Exchange, to_epoch: float) -> bytes:
    """All that there is to say of a request, as an object of JSON (RFC 8259) with its line end."""
    return ascii_json(entry(exchange, to_epoch)) + b"\n"


def combined_line(exchange: Exchange, to_epoch: float) -> bytes:
    """The combined format of Apache and nginx, with its line end.

    `%h - - %t "%r" %>s %b "%{Referer}i" "%{User-agent}i"`, in words of Apache's mod_log_config.
    The request is told by its whole URL, as proxies do. What has no place between quotes is `\\xNN`, as nginx has it.
    """
    return _combined(exchange, to_epoch).encode() + b"\n"


def journal_entry(message: Format) -> Format:
    """Return what makes an entry of the journal: `message` is its text, and each value a field `NODEAGENT_...`.

    https://systemd.io/JOURNAL_NATIVE_PROTOCOL/
    """

    def make(exchange: Exchange, to_epoch: float) -> bytes:
        fields: dict[str, bytes] = {
            "MESSAGE": message(exchange, to_epoch)[:-1],
            "PRIORITY": WARNING if exchange.failed else INFO,
            "SYSLOG_IDENTIFIER": b"nodeagent-access",
        }
        for key, value in entry(exchange, to_epoch).items():
            if key == "timings_ms":
                fields |= {f"NODEAGENT_{name.upper()}_MS": _field(ms) for name, ms in value.items() if ms is not None}
            elif value is not None:
                fields[f"NODEAGENT_{key.upper()}"] = _field(value)
        return datagram(fields)

    return make


def datagram(fields: Mapping[str, bytes]) -> bytes:
    """Return an entry as the journal's socket takes it. A value with a line end in it goes with its length."""
    return b"".join(
        b"%b\n%b%b\n" % (name.encode(), len(value).to_bytes(8, "little"), value)
        if b"\n" in value
        else b"%b=%b\n" % (name.encode(), value)
        for name, value in fields.items()
    )


def entry(exchange: Exchange, to_epoch: float) -> Json:
    """Return the values of a line. Names and meaning are those of the decision record, without its reasons."""
    began = exchange.received_at
    attempts = in_order(exchange)
    last = answering(exchange, attempts)
    described = exchange.described or _NOT_DESCRIBED
    return {
        "time": show_time(began + to_epoch),
        "id": request_id(exchange.trace).decode() or None,
        "trace": trace_id(exchange),
        "router": exchange.router,
        "server": exchange.server,
        "caller": exchange.peer,
        "identity": exchange.identity,
        "method": show_bytes(exchange.method),
        "url": url(exchange),
        "name": exchange.name,
        "policy": None if exchange.policy is None else exchange.policy.show(),
        "client": None if last is None else _show(last.client),
        "endpoint": None if last is None else last.endpoint.show(),
        "status": exchange.status or None,
        "classification": classification(exchange),
        "blame": blame(exchange),
        "error": exchange.error,
        "message": exchange.message,
        "attempts": [_attempt(attempt) for attempt in attempts],
        "timings_ms": timings(exchange),
        "bytes_received": exchange.received,
        "bytes_sent": exchange.sent,
        "whole": exchange.whole,
        "user_agent": show_bytes(described.user_agent) or None,
        "referer": show_bytes(described.referer) or None,
    }


def ascii_json(value: Any) -> bytes:
    """Encode a value as JSON in printable ASCII: a terminal takes some other characters for commands."""
    try:
        line = _encode(value)
    except UnicodeEncodeError:  # half a surrogate pair: the names of files may have one
        line = b"\xff"
    if line.isascii() and b"\x7f" not in line:
        return line
    return json.dumps(value, separators=(",", ":")).replace("\x7f", "\\u007f").encode()


@lru_cache(256)
def _show(name: Path) -> str:
    return name.show()


def _attempt(attempt: Attempt) -> Json:
    return {
        "endpoint": attempt.endpoint.show(),
        "status": attempt.status or None,
        "error": attempt.error,
        "ms": milliseconds(attempt.ended - attempt.started),
    }


def _combined(exchange: Exchange, to_epoch: float) -> str:
    described = exchange.described or _NOT_DESCRIBED
    host = exchange.peer.rpartition(":")[0].strip("[]") or exchange.peer or "-"
    request = "-"
    if exchange.method:
        version = "HTTP/1.0" if described.version == 10 else "HTTP/1.1"
        request = f"{show_bytes(exchange.method)} {url(exchange)} {version}"
    time = _stamp(int(exchange.received_at + to_epoch))
    texts = (request, show_bytes(described.referer) or "-", show_bytes(described.user_agent) or "-")
    asked, referer, user_agent = (text.replace('"', "\\x22") for text in texts)
    status = f"{exchange.status:03d}" if exchange.status else "-"
    host = show_bytes(host.encode(errors="backslashreplace")).replace(" ", "\\x20")
    return f'{host} - - [{time}] "{asked}" {status} {exchange.sent or "-"} "{referer}" "{user_agent}"'


@lru_cache(2)
def _stamp(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000")


def _field(value: object) -> bytes:
    """Return a value as a field of the journal, which stores any bytes and shows none that a terminal would obey."""
    return value.encode(errors="backslashreplace") if isinstance(value, str) else ascii_json(value)
