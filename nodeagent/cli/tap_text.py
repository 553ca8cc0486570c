"""A request on one line, for people. Pure.

17:03:12.345Z 200 GET http://users/a -> 127.0.0.1:8081  12.0 ms  the least load of those drawn: 3 against ...
17:03:12.401Z 502 GET http://down/ -> 127.0.0.1:8089  3.1 ms  2 attempts  connect: dial 127.0.0.1:8089: ...
"""

from __future__ import annotations

from typing import Any

import click

from nodeagent.telemetry.decision import summary

Json = dict[str, Any]


def line(record: Json) -> str:
    """A record as one line, coloured; whoever prints it to no terminal takes the colours out."""
    attempts = len(record["attempts"])
    parts = [
        f"{printable(record['time']).partition('T')[2]} {status(record)} {printable(request(record))}",
        f"{record['timings_ms']['total']:.1f} ms",
        f"{attempts} attempts" if attempts > 1 else "",
        click.style(printable(reason(record)), fg="red" if record["blame"] else None, dim=not record["blame"]),
    ]
    return "  ".join(filter(None, parts))


def request(record: Json) -> str:
    """What was asked for, and who answered it."""
    choice = f" -> {record['choice']}" if record["choice"] else ""
    return f"{record['method']} {record['url']}{choice}" if record["method"] else "(no request)"


def status(record: Json) -> str:
    """What the caller was told, in its colour; `---` when that did not begin."""
    code = record["status"]
    if code is None:
        return click.style("---", fg="red")
    return click.style(str(code), fg="red" if code >= 500 else "yellow" if code >= 400 else "green")


def reason(record: Json) -> str:
    """Whose fault it is and what was wrong, or why it went where it did."""
    if record["blame"]:
        what = record["message"] or (
            "its answer broke off" if not record["whole"] else f"it answered {record['status']}"
        )
        return f"{record['blame']}: {what}"
    return summary(record).removeprefix(f"{record['choice']}, ")


def printable(text: str) -> str:
    """A text that gives no orders to a terminal, whoever made it."""
    return text if text.isprintable() else "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
