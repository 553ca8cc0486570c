"""Tables of route tests: what is understood, and the exact lines for what is not."""

from __future__ import annotations

from pathlib import Path as FilePath
from textwrap import dedent

import pytest

from conf.errors import ConfigErrors
from conf.routes import Asked, Connect, Get, load_routes, parse_request, read_routes
from namer.path import Path

REQUEST = "expected a request such as GET http://users/x, a host such as users, or a name such as /svc/users"
ENDPOINT = "expected an address with a port, such as 127.0.0.1:8080"
USERS = Path.parse("/#/io.l5d.fs/users")


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        pytest.param("GET http://users/x?y=1", Get("GET", "users", "/x?y=1"), id="method and URL"),
        pytest.param("http://users:8080", Get("GET", "users:8080", "/"), id="URL"),
        pytest.param("http://users?y=1", Get("GET", "users", "/?y=1"), id="URL with nothing but a query"),
        pytest.param("users", Get("GET", "users", "/"), id="host"),
        pytest.param("POST users/x", Get("POST", "users", "/x"), id="method, host and path"),
        pytest.param("GET /x", Get("GET", "", "/x"), id="method and path"),
        pytest.param("https://users/x", Connect("users:443"), id="https is a tunnel"),
        pytest.param("CONNECT users:8443", Connect("users:8443"), id="tunnel"),
        pytest.param("https://[::1]:8443/", Connect("[::1]:8443"), id="tunnel to an address"),
        pytest.param("/svc/users", Path.parse("/svc/users"), id="name"),
    ],
)
def test_requests(text: str, asked: Asked) -> None:
    assert parse_request(text) == asked


@pytest.mark.parametrize("text", ["", "CONNECT users", "ftp://users/", "get users", "GET a b", "/svc//x"])
def test_what_is_no_request(text: str) -> None:
    with pytest.raises(ValueError, match=r"^$|expected|CONNECT wants HOST:PORT"):
        parse_request(text)


def routes(text: str) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        load_routes(dedent(text), "r.yaml")
    return [str(problem) for problem in caught.value.problems]


def test_all_that_may_be_expected() -> None:
    table = load_routes(
        dedent(
            """
            - request: GET http://users/x
              headers: {l5d-dtab: "/svc/users  =>\\n /svc/users-v2"}
              router: outgoing
              name: /svc/users
              outcome: bound
              bound: [/#/io.l5d.fs/users]
              endpoints: [127.0.0.1:8081, "[::1]:8082"]
            - request: users
              bound: {/#/io.l5d.fs/users: 0.9, /#/io.l5d.fs/web: 0.1}
            """
        ),
        "r.yaml",
    )

    one, two = table.routes
    assert (one.headers, one.router) == ({"l5d-dtab": "/svc/users => /svc/users-v2"}, "outgoing")
    assert (one.name, one.outcome, one.bound) == (Path.parse("/svc/users"), "bound", {USERS: None})
    assert one.endpoints == ("127.0.0.1:8081", "[::1]:8082")
    assert two.bound == {USERS: 0.9, Path.parse("/#/io.l5d.fs/web"): 0.1}


def test_a_problem_is_where_its_key_stands_or_else_its_request() -> None:
    table = load_routes("- {request: users, outcome: neg}\n- outcome: neg\n  request: /x\n", "r.yaml")

    assert str(table.problem(1, "outcome", "not so")) == "r.yaml:2:12: not so"
    assert str(table.problem(1, "endpoints", "not so")) == "r.yaml:3:12: not so"


def test_all_mistakes_are_told_at_once_with_their_places() -> None:
    assert routes(
        """\
        - request: GET
          nam: /svc/users
        - request: CONNECT users
          outcome: bonud
        - request: users
          endpoints: [localhost, 127.0.0.1:99999]
          bound: {users: 1}
        - request: users
        - request: users
          outcome: neg
          bound: [/x]
        - request: users
          headers: {"a b": c}
          bound: {/x: 1.5}
        """
    ) == [
        'r.yaml:2:3: routes[0].nam: unknown key; did you mean "name"?',
        f'r.yaml:3:12: routes[1].request: {REQUEST}, found the text "CONNECT users": CONNECT wants HOST:PORT',
        'r.yaml:4:12: routes[1].outcome: expected one of bound, neg, empty, fail, error, found the text "bonud"',
        f'r.yaml:6:15: routes[2].endpoints[0]: {ENDPOINT}, found the text "localhost"',
        f'r.yaml:6:26: routes[2].endpoints[1]: {ENDPOINT}, found the text "127.0.0.1:99999"',
        "r.yaml:7:11: routes[2].bound.users: expected a path, which begins with '/', found 'u'",
        "r.yaml:8:12: routes[3].request: expects nothing; say what is expected: name, outcome, bound or endpoints",
        "r.yaml:10:12: routes[4].outcome: what is neg goes nowhere; leave out bound and endpoints",
        'r.yaml:13:13: routes[5].headers["a b"]: expected the name of a header, such as Host, found the text "a b"',
        'r.yaml:14:15: routes[5].bound["/x"]: 1.5 is out of range; expected a number from 0 to 1',
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param("", "r.yaml:1:1: empty; expected a list of routes", id="empty"),
        pytest.param("[]", "r.yaml:1:1: routes: expected at least one item, found an empty list", id="no routes"),
        pytest.param("a: 1", "r.yaml:1:1: routes: expected a list, found a mapping", id="no list"),
    ],
)
def test_a_file_without_routes(text: str, line: str) -> None:
    assert routes(text) == [line]


def test_a_file_of_nothing_but_mistakes_ends_somewhere() -> None:
    assert "the rest of the file was not read" in routes("- x\n" * 1000)[-1]


def test_a_file(tmp_path: FilePath) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("- {request: users, name: /svc/users}")
    assert len(read_routes(str(path)).routes) == 1

    with pytest.raises(ConfigErrors, match="cannot be read"):
        read_routes(str(tmp_path / "none.yaml"))
