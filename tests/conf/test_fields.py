"""How texts are read."""

from __future__ import annotations

import pytest

from conf.fields import READERS, show_pattern
from conf.schema import Key, Text, keys_of
from conf.server import Server
from namer.pattern import PathPattern
from tests.conf.texts import problems, router_problems


def read(key: Key, text: str) -> object:
    assert isinstance(key.shape, Text)
    assert key.shape.reader is not None
    return key.shape.reader.read(text)


@pytest.mark.parametrize(
    ("text", "address"),
    [("127.0.0.1", "127.0.0.1"), ("localhost", "127.0.0.1"), ("::1", "::1"), ("2001:DB8:0:0::1", "2001:db8::1")],
)
def test_an_address_is_kept_in_its_shortest_form(text: str, address: str) -> None:
    assert read(keys_of(Server)["ip"], text) == address


def refused(key: str, value: str) -> str:
    (problem,) = problems(f"routers: [{{protocol: http, servers: [{{}}]}}]\n{key}: {value}")
    return problem.partition(": ")[2]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        pytest.param(
            "admin",
            "{ip: example.org}",
            'admin.ip: expected an IP address such as 127.0.0.1 or ::1, found the text "example.org"',
            id="host name",
        ),
        pytest.param(
            "admin",
            "{ip: 1.2.3}",
            'admin.ip: expected an IP address such as 127.0.0.1 or ::1, found the text "1.2.3"',
            id="half an address",
        ),
        pytest.param(
            "admin",
            "{security: {pathBlacklist: ['(']}}",
            'admin.security.pathBlacklist[0]: expected a regular expression, found the text "(": '
            "missing ), unterminated subpattern at position 0",
            id="bad regex",
        ),
        pytest.param(
            "telemetry",
            "[{kind: prometheus, path: metrics}]",
            'telemetry[0].path: expected the path of a page, such as /metrics, found the text "metrics"',
            id="page",
        ),
        pytest.param(
            "telemetry",
            "[{kind: prometheus, prefix: 1x}]",
            'telemetry[0].prefix: expected letters, digits, _ and :, no digit first, found the text "1x"',
            id="prefix",
        ),
        pytest.param(
            "namers",
            "[{kind: rewrite, pattern: a, name: /b}]",
            "namers[0].pattern: expected a path, which begins with '/'",
            id="pattern",
        ),
    ],
)
def test_a_text_that_is_not_what_it_should_be(key: str, value: str, message: str) -> None:
    assert refused(key, value) == message


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        pytest.param(
            'label: "a\\tb"', 'l5d:4:10: routers[0].label: expected printable text, found the text "a\\tb"', id="label"
        ),
        pytest.param(
            "label: ''", "l5d:4:10: routers[0].label: expected printable text, found an empty text", id="no label"
        ),
        pytest.param(
            f"label: {'x' * 101}", "l5d:4:10: routers[0].label: expected at most 100 characters, found 101", id="long"
        ),
        pytest.param(
            "identifier: {kind: header, header: 'a b'}",
            'l5d:4:38: routers[0].identifier.header: expected the name of a header, such as Host, found the text "a b"',
            id="header",
        ),
        pytest.param(
            "dstPrefix: svc",
            "l5d:4:14: routers[0].dstPrefix: expected a path, which begins with '/', found 's'",
            id="path",
        ),
    ],
)
def test_a_text_of_a_router_that_is_not_what_it_should_be(keys: str, message: str) -> None:
    assert router_problems(keys) == [message]


@pytest.mark.parametrize("written", ["/", "/svc", "/#/*/{service}", r"/a/\x2f"])
def test_a_pattern_is_shown_as_written(written: str) -> None:
    assert show_pattern(PathPattern.parse(written)) == written


def test_values_of_the_namer_say_what_they_are() -> None:
    assert [reader.takes for reader in READERS.values()] == [
        "a path such as /svc",
        "a delegation table (dtab)",
        "the beginning of a path, with * and {captures}",
    ]
