"""The section `policy` of a router."""

from __future__ import annotations

import pytest

import conf
from conf.access import AccessPolicy, AccessRule, Callers, Calls, uid_of
from tests.conf.texts import problems, router, router_problems

AT = "routers[0].policy.rules[0]"


def policy(text: str) -> AccessPolicy:
    found = router(f"policy: {text}").policy
    assert found is not None
    return found


def test_there_is_none_unless_it_is_given() -> None:
    assert router().policy is None
    assert policy("{rules: []}") == AccessPolicy("allow", ())


def test_one_caller_and_one_call_need_no_list() -> None:
    found = policy("""
      default: deny
      rules:
      - {name: apps, who: {users: [root, "1000"]}, what: {methods: [GET]}, action: allow}
      - {who: [{networks: [10.0.0.0/8]}, {identities: ["spiffe://a/*"]}], action: audit}
    """)
    assert found.default == "deny"
    assert found.rules[0] == AccessRule(
        name="apps", who=(Callers(users=("root", "1000")),), what=(Calls(methods=("GET",)),), action="allow"
    )
    assert found.rules[1].who == (Callers(networks=("10.0.0.0/8",)), Callers(identities=("spiffe://a/*",)))
    assert found.names == ("apps", "rules[1]")


def test_it_is_shown_with_where_it_comes_from() -> None:
    text = "routers:\n- protocol: http\n  servers: [{}]\n  policy:\n    rules:\n    - what: {headers: {a: b}}\n"
    shown = conf.effective(conf.load(text + "      action: deny\n", "l5d"))["routers"]
    assert isinstance(shown, list)
    assert isinstance(shown[0], dict)
    assert shown[0]["policy"] == {
        "default": {"value": "allow", "origin": "default"},
        "rules": [
            {
                "name": {"value": None, "origin": "default"},
                "who": {"value": None, "origin": "default"},
                "what": [
                    {
                        "services": {"value": None, "origin": "default"},
                        "methods": {"value": None, "origin": "default"},
                        "paths": {"value": None, "origin": "default"},
                        "headers": {"a": {"value": "b", "origin": "l5d:6"}},
                    }
                ],
                "action": {"value": "deny", "origin": "l5d:7"},
                "authorizer": {"value": None, "origin": "default"},
                "whenDown": {"value": None, "origin": "default"},
            }
        ],
        "from": {"value": None, "origin": "default"},
        "authorizers": {"value": [], "origin": "default"},
        "tokens": {"value": None, "origin": "default"},
    }


OPA = "{kind: io.l5d.opa, name: opa, url: 'http://127.0.0.1:8181', path: mesh/authz}"


def test_whom_rules_ask() -> None:
    found = policy(f"{{authorizers: [{OPA}], rules: [{{action: ask, authorizer: opa}}]}}")
    assert (found.rules[0].authorizer, found.rules[0].when_down) == ("opa", None)
    assert found.authorizers[0].kind == "io.l5d.opa"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "rules: [{action: ask}]",
            "rules[0].authorizer: missing; expected the name of one of authorizers",
        ),
        ("rules: [{action: deny, whenDown: allow}]", "rules[0].whenDown: is for action: ask"),
        (
            "rules: [{action: ask, authorizer: gate}]",
            'rules: no authorizer is called "gate"; list it below',
        ),
        (f"authorizers: [{OPA}, {OPA}]", 'authorizers: two are called "opa"; give each its own name'),
        (f"authorizers: [{OPA.replace('mesh/authz', '../x')}]", "a path below /v1/data, such as mesh/authz/allow"),
        (
            "authorizers: [{kind: io.l5d.httpAuthz, name: a, url: 'http://a', takes: [L5D_client_id]}]",
            "takes: L5D_client_id is a field that only the agent writes",
        ),
    ],
)
def test_whom_rules_cannot_ask(text: str, problem: str) -> None:
    assert any(problem in line for line in router_problems(f"policy: {{{text}}}"))


TOKENS = "tokens: {issuer: 'https://login', audience: mesh, jwksFile: keys.json"


def test_whose_tokens_are_read() -> None:
    found = policy(f"{{{TOKENS}}}, rules: [{{who: {{claims: {{groups: [ops]}}}}, action: allow}}]}}")
    assert found.tokens is not None
    assert found.tokens.algorithms == ("RS256", "ES256")
    assert found.rules[0].who == (Callers(claims={"groups": ("ops",)}),)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (f"{TOKENS}, jwksUrl: 'http://a/b'}}", "its keys must come from one of jwksFile and jwksUrl"),
        ("tokens: {issuer: a, audience: b}", "its keys must come from one of jwksFile and jwksUrl"),
        (f"{TOKENS}, algorithms: [none]}}", "algorithms[0]: expected one of RS256"),
        (f"{TOKENS}, algorithms: [HS256]}}", "algorithms[0]: expected one of RS256"),
        (f"{TOKENS}}}, rules: [{{name: tokens, action: deny}}]", "rules: no rule may be called tokens"),
        (
            "rules: [{who: {claims: {a: [b]}}, action: allow}]",
            "tokens: missing; expected whose tokens have the claims that rules ask for",
        ),
    ],
)
def test_tokens_that_cannot_be_read(text: str, problem: str) -> None:
    assert any(problem in line for line in router_problems(f"policy: {{{text}}}"))


def test_a_listener_says_who_may_connect() -> None:
    text = "routers:\n- protocol: http\n  servers: [{port: 0, callers: %s}]\n"
    (server,) = conf.load(text % "{users: [root]}", "l5d").routers[0].servers
    assert server.callers == (Callers(users=("root",)),)
    (line,) = problems(text % "[{identities: ['spiffe://a/*']}]")
    (other,) = problems(text % "{claims: {a: [b]}}")
    assert "servers[0].callers: a connection has no claims: requests have" in other
    assert "servers[0].callers: nobody who connects here has an identity: that needs tls with caCertPath" in line


@pytest.mark.parametrize(
    ("text", "may"),
    [
        ("{rules: [{who: {cgroups: [/a]}, action: deny}]}", True),
        ("{rules: [{who: [{users: [root]}, {cgroups: [/a]}], action: deny}]}", True),
        ("{rules: [{who: {users: [root]}, action: deny}]}", False),
        ("{from: {kind: io.l5d.fs, rulesFile: /etc/rules.yaml}}", True),
        (f"{{authorizers: [{OPA}]}}", False),
        (f"{{authorizers: [{OPA[:-1]}, input: [cgroup]}}]}}", True),
    ],
)
def test_whether_it_matters_in_which_cgroup_a_caller_is(text: str, may: bool) -> None:
    assert policy(text).may_ask_for_cgroups is may


def test_users_have_names_or_numbers() -> None:
    assert (uid_of("root"), uid_of("0"), uid_of("4294967294")) == (0, 0, 2**32 - 2)
    for text in ("4294967295", "no such user", "", "a\0b"):
        with pytest.raises(ValueError, match="user"):
            uid_of(text)


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        ("{action: refuse}", 'action: expected one of allow, deny, audit, ask, found the text "refuse"'),
        ("{}", "action: missing; expected one of allow, deny, audit"),
        ("{who: {}, action: deny}", "who.users: says nothing of who calls; leave `who` out for everybody"),
        ("{who: [], action: deny}", "who: expected at least one item, found an empty list"),
        ("{who: {users: []}, action: deny}", "who.users: expected at least one item, found an empty list"),
        ("{what: {}, action: deny}", "what.services: says nothing of what is called; leave `what` out for everything"),
        (
            "{who: {cgroups: [system.slice]}, action: deny}",
            "who.cgroups[0]: expected the path of a cgroup such as /system.slice/web.service, or a template",
        ),
        (
            "{who: {cgroups: [/a/]}, action: deny}",
            'found the text "/a/": no cgroup has such a path (//, /./, /../ or a slash at the end)',
        ),
        (
            "{who: {users: [nobody-here]}, action: deny}",
            'found the text "nobody-here": this host has no such user; a number needs no name',
        ),
        (
            "{what: {methods: [get]}, action: deny}",
            'what.methods[0]: expected a method such as GET, found the text "get": methods are upper case',
        ),
        (
            "{what: {services: [/srv/a]}, action: deny}",
            "what.services[0]: no name of this router is below /srv/a; dstPrefix is /svc",
        ),
        (
            "{what: {paths: [/a/../b]}, action: deny}",
            'found the text "/a/../b": no request matches it: such a path has no one meaning',
        ),
        (
            "{what: {methods: [CONNECT], paths: [/a]}, action: deny}",
            "what.paths: CONNECT has no path; leave one of them out",
        ),
    ],
)
def test_mistakes(rule: str, line: str) -> None:
    (found,) = router_problems(f"policy: {{rules: [{rule}]}}")
    place, _, rest = found.removeprefix("l5d:").partition(": ")
    assert place.startswith("4:")
    assert line in rest
    assert rest.startswith("routers[0].policy.rules[0]")


def test_names_of_rules_are_unique() -> None:
    rule = "{name: %s, action: deny}"
    (twice,) = router_problems(f"policy: {{rules: [{rule % 'a'}, {rule % 'a'}]}}")
    (taken,) = router_problems(f"policy: {{rules: [{rule % 'default'}]}}")
    assert twice.endswith('routers[0].policy.rules: two rules are called "a"; give each its own name')
    assert taken.endswith("no rule may be called default: that is what decides where no rule does")


def test_a_tcp_router_reads_no_requests() -> None:
    (found,) = problems("""
        routers:
        - protocol: tcp
          servers: [{port: 1, name: db}]
          policy:
            rules:
            - {who: {networks: [10.0.0.0/8]}, what: {services: [/svc/db], paths: [/a]}, action: deny}
    """)
    assert found == (
        f"l5d:7:74: {AT}.what.paths: means nothing for protocol tcp, which passes connections on and reads no requests"
    )
