"""Which requests somebody wants to see, in a line of text."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namer.addr import Endpoint
from nodeagent.policy.decision import Decision
from nodeagent.telemetry.decision import BLAME
from nodeagent.telemetry.exchange import Exchange, Transport
from nodeagent.telemetry.filter import Filter, FilterError
from tests.nodeagent.telemetry.exchanges import attempt, exchange

FAILED = exchange(
    0xAB,
    method=b"POST",
    authority=b"Users.example:8080",
    path=b"/api/v1/items?q=\xff",
    peer="[::1]:50000",
    attempts=(attempt(8081, status=503), attempt(8082, status=503)),
    status=503,
    error="destination_unavailable",
    ended_at=0.25,
    received=10,
)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", True),
        ("   ", True),
        ("service=/svc/users", True),
        ("service=/SVC/Users", True),
        ("service=/svc", False),
        ("service=/svc/*", True),
        ("service=*ers", True),
        ("service=*v*u*s", True),
        ("service=*v*x*s", False),
        ("service!=/svc/users", False),
        ("service!=/svc/other", True),
        ("service~user", True),
        ("service!~user", False),
        ("path~^/api", True),
        ("path~^api", False),
        ("path~items", True),
        ("url~v1*q=", True),
        ("path=/api/v1/items", True),
        ("url~/api*xff$", True),
        ("path~^/api$", False),
        ("path~^*$", True),
        ("path~", True),
        (r"url~\xff", True),
        ("host=users.example:8080", True),
        ("url~http://users.example:8080/api", True),
        ("method=post", True),
        ("method!=GET", True),
        ("router=outgoing server=127.0.0.1:4140", True),
        ("caller=::1", True),
        ("caller=[::1]:50000", True),
        ("caller=127.0.0.1", False),
        ("endpoint=127.0.0.1:8081", True),
        ("endpoint=127.0.0.1:8082", True),
        ("endpoint!=127.0.0.1:8082", False),
        ("endpoint~:808", True),
        ("endpoint=127.0.0.1:8083", False),
        ("client=/#/io.l5d.fs/users", True),
        ("blame=no*endpoint", True),
        ("blame=upstream", False),
        ("blame=", False),
        ("blame!=", True),
        ("error=destination_unavailable", True),
        ("error=connection_*", False),
        ("classification=failure", False),
        ("id=00000000000000ab", True),
        ("status>=500", True),
        ("status>503", False),
        ("status=503", True),
        ("status!=503", False),
        ("status<600 status>=503", True),
        ("status>=500 service=/svc/other", False),
        ("ms>100", True),
        ("ms<=249.5", False),
        ("attempts>1", True),
        ("attempts=2 received=10 sent<3", True),
        ("\tSTATUS>=500 \n", True),
    ],
)
def test_a_filter(text: str, wanted: bool) -> None:
    assert Filter(text)(FAILED) is wanted


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        pytest.param({"name": None}, "service=", id="refused before it had a name"),
        pytest.param({"attempts": ()}, "endpoint= client= attempts=0", id="never tried"),
        pytest.param({"trace": b""}, "id=", id="never a request"),
        pytest.param({"peer": "unix"}, "caller=unix identity=", id="over a Unix socket"),
        pytest.param({"identity": "spiffe://a/web"}, "identity=spiffe://a/*", id="known by its certificate"),
        pytest.param({"policy": Decision("deny", "no admin")}, "verdict=deny policy=no*admin", id="refused by a rule"),
        pytest.param({"policy": None}, "verdict= policy=", id="judged by no rules"),
        pytest.param(
            {"attempts": (attempt(endpoint=Endpoint("/run/a.sock", 0)),)}, "endpoint=unix:/run/*", id="to one"
        ),
        pytest.param({"attempts": ()}, "transport=", id="by no way"),
        pytest.param(
            {"attempts": (attempt(transport=Transport("plain", "10.0.0.7:80", why="no agent")),)},
            "transport=plain transport!=mtls",
            id="in plain",
        ),
        pytest.param({"status": 0}, "status=0", id="no answer"),
        pytest.param({}, "blame= error= classification=success", id="all is well"),
    ],
)
def test_what_a_request_lacks_is_empty(changes: dict[str, Any], text: str) -> None:
    assert Filter(text)(exchange(**changes))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("users", "'users' is no term: expected FIELD, an operator and a value, such as status>=500"),
        ("=x", "'=x' is no term"),
        (
            "servce=/svc/x",
            "there is no field 'servce'; did you mean service?; there are service, router, server, method, ",
        ),
        ("zzz=1", "there is no field 'zzz'; there are service"),
        ("status~5", "status is a number: compare it by = != > >= < <=, not by ~"),
        ("service>=x", "service is a text: compare it by = != ~ !~, not by >="),
        ("status=5xx", "status=5xx: expected a number after ="),
        ("ms>-1", "ms>-1: expected a number after >"),
        ("ms>1e9999", "expected a number"),
        ("status>=٥٠٠", "expected a number"),
        ("blame=upstrem", "blame=upstrem: expected one of caller, policy, naming, no*endpoint, shed, connect"),
        ("error=timeout", "error=timeout: expected one of http_request_error, "),
        ("classification!=bad", "expected one of success, failure"),
        ("id=0 " * 21, "21 terms: at most 20 are read"),
        ("path~" + "a" * 2000, "a filter of 2005 characters: at most 2000 are read"),
        ("status>=500\x00", "expected a number"),
    ],
)
def test_what_is_no_filter_is_told_in_a_line(text: str, says: str) -> None:
    with pytest.raises(FilterError) as raised:
        Filter(text)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_hostile_pattern_takes_no_time() -> None:
    slow = exchange(path=b"/" + b"a" * 1023)
    assert not Filter("path~" + "a*" * 500 + "b")(slow)


TEXT = st.text("aAb/:-", max_size=12)
PATTERN = st.text("aAb/:-*", max_size=8)


@given(TEXT, PATTERN)
def test_a_star_is_anything_as_a_regular_expression_says_it(text: str, pattern: str) -> None:
    request = exchange(name=text)
    expression = ".*".join(map(re.escape, pattern.split("*")))
    assert Filter(f"service={pattern}")(request) == bool(re.fullmatch(expression, text, re.IGNORECASE))
    assert Filter(f"service~{pattern}")(request) == bool(re.search(expression, text, re.IGNORECASE))
    assert Filter(f"service~^{pattern}")(request) == bool(re.match(expression, text, re.IGNORECASE))
    assert Filter(f"service!={pattern}")(request) != Filter(f"service={pattern}")(request)


@given(st.text(max_size=60))
def test_any_text_is_a_filter_or_an_error(text: str) -> None:
    try:
        wanted: Filter | None = Filter(text)
    except FilterError:
        wanted = None
    if wanted is not None:
        assert Filter(wanted.text)(exchange()) == wanted(exchange())


@given(st.lists(st.sampled_from(["status>=500", "method=GET", "service=/svc/users", "ms>5", "blame!="]), max_size=20))
def test_more_terms_never_want_more(terms: list[str]) -> None:
    requests: list[Exchange] = [exchange(), FAILED, exchange(status=500, name=None)]
    for number in range(len(terms)):
        fewer, more = Filter(" ".join(terms[:number])), Filter(" ".join(terms[: number + 1]))
        assert all(fewer(each) for each in requests if more(each))


def test_all_that_can_be_blamed_can_be_asked_for() -> None:
    for word in set(BLAME.values()):
        assert Filter(f"blame={word.replace(' ', '*')}")
