"""Responses as callers get them."""

from __future__ import annotations

import pytest

from nodeagent.http1.downstream import render_response, whole_body
from nodeagent.proxy.messages import Response


def response(length: int | None, body: bytes = b"") -> Response:
    return Response(200, b"OK", b"X-A: 1\r\n", {}, body, length)


@pytest.mark.parametrize(
    ("length", "keep", "fields"),
    [
        (2, True, b"X-A: 1\r\nContent-Length: 2\r\n"),
        (0, False, b"X-A: 1\r\nContent-Length: 0\r\nConnection: close\r\n"),
        (None, True, b"X-A: 1\r\n"),
    ],
)
def test_a_head_says_how_long_the_body_is_and_whether_the_connection_stays(
    length: int | None, keep: bool, fields: bytes
) -> None:
    assert render_response(response(length), b"ok", keep) == b"HTTP/1.1 200 OK\r\n" + fields + b"\r\nok"


def test_an_answer_of_the_agents_own_is_whole() -> None:
    assert whole_body(response(2, b"ok")) == b"ok"
