"""Who gets in: the tables of the gate."""

from __future__ import annotations

import pytest

from nodeagent.admin.security import Gate, PathRules, is_own_host, is_same_origin

MACHINE = "node-7.example.org"


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("127.0.0.1:9990", True),
        ("127.0.0.1", True),
        ("10.1.2.3:9990", True),
        ("[::1]:9990", True),
        ("[::1]", True),
        ("localhost:9990", True),
        ("LOCALHOST", True),
        ("localhost.", True),
        ("admin.localhost:9990", True),
        ("node-7.example.org:9990", True),
        ("Node-7", True),
        ("", True),
        ("example.org", False),
        ("node-8.example.org", False),
        ("node-7.evil.org", False),
        ("localhost.evil.org", False),
        ("127.0.0.1.evil.org:9990", False),
        ("127.0.0.1:9990@evil.org", False),
        ("evil.org:", False),
        ("[evil.org]", False),
        ("0x7f.1", False),
    ],
)
def test_only_names_that_nobody_else_can_point_here_are_answered_to(host: str, own: bool) -> None:
    assert is_own_host(host, MACHINE) is own


@pytest.mark.parametrize(
    ("headers", "same"),
    [
        pytest.param({}, True, id="curl says nothing"),
        pytest.param({"sec-fetch-site": "same-origin"}, True, id="this page"),
        pytest.param({"sec-fetch-site": "none"}, True, id="typed by a person"),
        pytest.param({"sec-fetch-site": "same-site"}, False, id="another port of this host"),
        pytest.param({"sec-fetch-site": "cross-site"}, False, id="another site"),
        pytest.param({"origin": "http://127.0.0.1:9990"}, True, id="own origin"),
        pytest.param({"origin": "http://127.0.0.1:8080"}, False, id="origin with another port"),
        pytest.param({"origin": "http://evil.org"}, False, id="foreign origin"),
        pytest.param({"origin": "null"}, False, id="a page without origin"),
        pytest.param({"origin": "http://[evil"}, False, id="no URL at all"),
        pytest.param({"referer": "http://127.0.0.1:9990/"}, True, id="own referer"),
        pytest.param({"referer": "http://evil.org/127.0.0.1:9990"}, False, id="foreign referer"),
        pytest.param(
            {"origin": "http://evil.org", "referer": "http://127.0.0.1:9990/"}, False, id="origin goes before referer"
        ),
        pytest.param(
            {"sec-fetch-site": "cross-site", "origin": "http://127.0.0.1:9990"}, False, id="the browser goes first"
        ),
    ],
)
def test_where_a_change_comes_from(headers: dict[str, str], same: bool) -> None:
    assert is_same_origin(headers, "127.0.0.1:9990") is same


@pytest.mark.parametrize(
    ("rules", "allowed", "refused"),
    [
        pytest.param(PathRules(), ["/", "/metrics", "/admin/shutdown", "/nowhere"], [], id="by default all"),
        pytest.param(
            PathRules(ui=False),
            ["/metrics", "/admin/shutdown", "/ready"],
            ["/", "/static/main.js", "/config.json", "/delegator.json", "/explain.json", "/admin/metrics.json"],
            id="no UI",
        ),
        pytest.param(
            PathRules(control=False), ["/", "/metrics"], ["/admin/shutdown", "/logging.json"], id="no control"
        ),
        pytest.param(
            PathRules(diagnostics=False),
            ["/", "/admin/shutdown"],
            ["/metrics", "/admin/ping", "/client_state.json"],
            id="no diagnostics",
        ),
        pytest.param(
            PathRules(diagnostics=False, whitelist=["/metrics", "/admin/p.*"]),
            ["/metrics", "/admin/ping"],
            ["/metrics/", "/client_state.json"],
            id="the whitelist goes before the switches",
        ),
        pytest.param(
            PathRules(whitelist=["/metrics"], blacklist=["/metr.*"]),
            ["/"],
            ["/metrics"],
            id="the blacklist goes before the whitelist",
        ),
        pytest.param(PathRules(blacklist=["/ready"]), ["/ready/now"], ["/ready"], id="whole paths match"),
    ],
)
def test_path_rules(rules: PathRules, allowed: list[str], refused: list[str]) -> None:
    assert [path for path in allowed + refused if not rules.allow(path)] == refused


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        pytest.param("GET", "/", {"host": "127.0.0.1"}, None, id="a reader"),
        pytest.param("GET", "/", {"host": "127.0.0.1", "sec-fetch-site": "cross-site"}, None, id="a link to here"),
        pytest.param("POST", "/admin/shutdown", {"host": "127.0.0.1"}, None, id="curl"),
        pytest.param("POST", "/admin/shutdown", {"host": "127.0.0.1", "origin": "http://evil.org"}, 403, id="CSRF"),
        pytest.param("DELETE", "/", {"host": "127.0.0.1", "origin": "http://evil.org"}, 403, id="any change"),
        pytest.param("GET", "/", {"host": "evil.org"}, 403, id="DNS rebinding"),
        pytest.param("GET", "/hidden", {"host": "127.0.0.1"}, 404, id="a refused path"),
        pytest.param("GET", "/hidden", {"host": "evil.org"}, 403, id="a stranger does not learn what is hidden"),
    ],
)
def test_the_gate(method: str, path: str, headers: dict[str, str], status: int | None) -> None:
    refusal = Gate(PathRules(blacklist=["/hidden"]), MACHINE).refusal(method, path, headers)
    assert (refusal.status if refusal else None) == status


@pytest.mark.parametrize(
    ("method", "status"),
    [
        pytest.param("GET", None, id="reading, under any name"),
        pytest.param("POST", 403, id="changing, under its own only"),
    ],
)
def test_a_port_that_listens_beyond_loopback(method: str, status: int | None) -> None:
    refusal = Gate(PathRules(), MACHINE, exposed=True).refusal(method, "/metrics", {"host": "node.example.org:9990"})

    assert (refusal and refusal.status) == status
