"""What looks like a secret does not leave the host."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.cli.redact import redact, redact_document

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("dial http://bob:hunter2@10.0.0.7:80: refused", "dial http://REDACTED@10.0.0.7:80: refused"),
        ("http://users/a?card=4111&x=y was lost", "http://users/a?REDACTED was lost"),
        ("http://users/a", "http://users/a"),
        ("Authorization: Bearer hunter2-hunter2", "Authorization: REDACTED REDACTED"),
        ("consul said: token=hunter2 is unknown", "consul said: token=REDACTED is unknown"),
        ("X-Consul-Token: hunter2", "X-Consul-Token: REDACTED"),
        ('{"password": "hun ter2", "user": "bob"}', '{"password": REDACTED, "user": "bob"}'),
        ("db_password='hun ter2'", "db_password=REDACTED"),
        (f"the jwt {JWT} has expired", "the jwt REDACTED has expired"),
        ("/?api-key=hunter2&page=2", "/?REDACTED"),
        ("GET /a?hunter2&x=1 is no request", "GET /a?REDACTED is no request"),
        ("Host 'bob:hunter2@users:443'", "Host 'REDACTED@users:443'"),
        ("CONNECT bob:hunter2@[::1]:443", "CONNECT REDACTED@[::1]:443"),
        ("dial 127.0.0.1:8089: connection refused",) * 2,
        ("/svc/users => 3 * /a & 1 * /b | /$/inet/127.0.0.1/80 ; /x => /#/io.l5d.consul/dc1",) * 2,
        ("is that so? yes",) * 2,
        ("-----BEGIN EC PRIVATE KEY-----\nhunter2\n-----END EC PRIVATE KEY-----\nrest", "REDACTED\nrest"),
        ("-----BEGIN PRIVATE KEY-----\nhunter2", "REDACTED"),
        ("/svc/users => /#/io.l5d.fs/users", "/svc/users => /#/io.l5d.fs/users"),
        ('nodeagent_service_requests_total{service="/svc/users"} 1.0',) * 2,
    ],
)
def test_texts(text: str, left: str) -> None:
    assert redact(text) == left


@pytest.mark.parametrize(
    ("document", "left"),
    [
        ({"token": "hunter2"}, {"token": "REDACTED"}),
        ({"token": {"value": "hunter2", "origin": "a:1"}}, {"token": {"value": "REDACTED", "origin": "a:1"}}),
        ({"tokenFile": "/run/token"}, {"tokenFile": "/run/token"}),
        ({"clientSecret": "hunter2", "n": 1, "no": None}, {"clientSecret": "REDACTED", "n": 1, "no": None}),
        ([{"url": "http://a/b?pin=1"}], [{"url": "http://a/b?REDACTED"}]),
        ({"http://bob:hunter2@a/": 1}, {"http://REDACTED@a/": 1}),
        ({"retry_budget": 100, "name": "/svc/token-service"}, {"retry_budget": 100, "name": "/svc/token-service"}),
    ],
)
def test_documents(document: Any, left: Any) -> None:
    assert redact_document(document) == left


@given(st.text(max_size=200))
def test_any_text_can_be_redacted_and_twice_is_once(text: str) -> None:
    assert redact(redact(text)) == redact(text)
