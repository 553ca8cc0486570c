"""The forms of an answer."""

from __future__ import annotations

import json

import pytest

from nodeagent.admin.answers import JsonAnswer, problem


def test_json_is_compact_unless_a_person_reads_it() -> None:
    assert JsonAnswer({"a": [1, None]}).body == b'{"a":[1,null]}'
    assert JsonAnswer({"a": 1}, pretty=True).body == b'{\n  "a": 1\n}'


@pytest.mark.parametrize("text", ["\xfc", "\udc80", "\x00", "\u2028"])
def test_any_text_survives_in_ascii(text: str) -> None:
    body = bytes(JsonAnswer({"label": text}).body)
    assert body.isascii()
    assert json.loads(body) == {"label": text}


@pytest.mark.parametrize(
    ("path", "content_type", "body"),
    [
        ("/explain.json", "application/json", b'{"error":"it is gone"}'),
        ("/metrics", "text/plain; charset=utf-8", b"it is gone\n"),
    ],
)
def test_a_problem_has_the_form_of_the_page(path: str, content_type: str, body: bytes) -> None:
    answer = problem(path, 410, "it is gone", {"x": "y"})
    assert (answer.status_code, answer.headers["content-type"], answer.body) == (410, content_type, body)
    assert answer.headers["x"] == "y"
