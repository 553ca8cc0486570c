"""The agent's own answers: one status and one type each, readable by people, by linkerd's tools and by machines."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.proxy import errors
from nodeagent.proxy.errors import ProxyError, to_response
from nodeagent.proxy.messages import lines_of


def fields(error: ProxyError) -> dict[str, str]:
    pairs = (line.decode().partition(": ") for line in lines_of(to_response(error).fields))
    return {name.lower(): value for name, _, value in pairs}


@pytest.mark.parametrize(
    ("kind", "status", "type_", "retryable"),
    [
        (errors.BadRequest, 400, "http_request_error", False),
        (errors.Denied, 403, "http_request_denied", False),
        (errors.DestinationForbidden, 403, "destination_ip_prohibited", True),
        (errors.NoSuchName, 502, "destination_not_found", False),
        (errors.NoEndpoints, 503, "destination_unavailable", True),
        (errors.Overloaded, 503, "connection_limit_reached", True),
        (errors.ConnectFailed, 502, "connection_refused", True),
        (errors.ConnectTimeout, 504, "connection_timeout", True),
        (errors.TlsFailed, 502, "tls_protocol_error", True),
        (errors.TlsCertificateFailed, 502, "tls_certificate_error", True),
        (errors.ResponseIncomplete, 502, "http_response_incomplete", False),
        (errors.ResponseInvalid, 502, "http_protocol_error", False),
        (errors.BindTimeout, 504, "dns_timeout", True),
        (errors.DeadlineExceeded, 504, "http_response_timeout", False),
        (errors.LoopDetected, 502, "proxy_loop_detected", False),
        (errors.InternalError, 500, "proxy_internal_error", False),
    ],
)
def test_each_cause_is_told_apart(kind: type[ProxyError], status: int, type_: str, retryable: bool) -> None:
    error = kind("dial 10.0.0.7:80: what happened")
    response = to_response(error)
    shown = fields(error)

    assert (response.status, response.body) == (status, b"dial 10.0.0.7:80: what happened\n")
    assert shown["proxy-status"] == f'nodeagent; error={type_}; details="dial 10.0.0.7:80: what happened"'
    assert unquote(shown["l5d-err"]) == "dial 10.0.0.7:80: what happened"
    assert shown.get("l5d-retryable") == ("true" if retryable else None)
    assert ("retry-after" in shown) is (kind is errors.Overloaded)


@given(st.text(max_size=300))
def test_no_text_breaks_a_header_or_a_line(text: str) -> None:
    response = to_response(ProxyError(text))

    for line in lines_of(response.fields):
        assert b"\r" not in line
        assert b"\n" not in line
        assert all(0x20 <= byte < 0x7F for byte in line)


def test_a_long_text_is_cut_where_it_would_be_too_long_for_a_head() -> None:
    response = to_response(ProxyError("x" * 100_000), max_body=1000)

    assert len(response.fields) < 10_000
    assert isinstance(response.body, bytes)
    assert len(response.body) == 1000
