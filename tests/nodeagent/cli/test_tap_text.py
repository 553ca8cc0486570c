"""A request on one line."""

from __future__ import annotations

from typing import Any

import click
import pytest

from nodeagent.cli.tap_text import line, printable
from nodeagent.telemetry.decision import show_exchange
from tests.nodeagent.telemetry.exchanges import attempt, exchange


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        pytest.param(
            {},
            "22:13:20.000Z 200 GET http://users/a?b -> 127.0.0.1:8081  12.0 ms  chosen among 3 without comparing loads",
            id="all is well",
        ),
        pytest.param(
            {"attempts": (attempt(8081, status=503), attempt(8082, started=0.02, endpoints=1))},
            "22:13:20.000Z 200 GET http://users/a?b -> 127.0.0.1:8082  12.0 ms  2 attempts  its only endpoint",
            id="tried twice",
        ),
        pytest.param(
            {"attempts": (), "status": 502, "error": "destination_not_found", "message": "bind /svc/x: no\x1b[2J\n"},
            "22:13:20.000Z 502 GET http://users/a?b  12.0 ms  naming: bind /svc/x: no\\x1b[2J\\x0a",
            id="never tried, and a message that would clear the screen",
        ),
        pytest.param(
            {"status": 500, "attempts": (attempt(status=500),)},
            "22:13:20.000Z 500 GET http://users/a?b -> 127.0.0.1:8081  12.0 ms  upstream: it answered 500",
            id="the endpoint failed",
        ),
        pytest.param(
            {"whole": False},
            "22:13:20.000Z 200 GET http://users/a?b -> 127.0.0.1:8081  12.0 ms  caller: its answer broke off",
            id="the caller left",
        ),
        pytest.param(
            {"method": b"", "authority": b"", "path": b"", "attempts": (), "status": 0, "error": "http_request_error"},
            "22:13:20.000Z --- (no request)  12.0 ms  caller: it answered None",
            id="no request",
        ),
    ],
)
def test_a_line(changes: dict[str, Any], shown: str) -> None:
    record = show_exchange(exchange(**changes), 1_700_000_000.0)
    assert click.unstyle(line(record)) == shown


def test_what_is_printed_gives_no_orders() -> None:
    assert printable("a b") == "a b"
    assert printable("\x1b]0;x\x07é\u202e") == "\\x1b]0;x\\x07é\\x202e"
