"""What `check` warns of: names in a table that lead nowhere."""

from __future__ import annotations

import pytest

import conf
from nodeagent.hints import MAX_HINTS, NO_ZONE, RING, UNVERIFIED, hints

BUILTINS = frozenset({"inet", "nil"})


def told(
    dtab: str, namers: str = "[{kind: io.l5d.fs, rootDir: disco}]", more: str = "", zone: str | None = None
) -> list[str]:
    text = f"namers: {namers}\nrouters:\n- protocol: http\n  servers: [{{port: 0}}]\n  dtab: {dtab}\n{more}"
    return [str(hint) for hint in hints(conf.load(text, "a.yaml"), BUILTINS, zone)]


@pytest.mark.parametrize(
    "dtab",
    [
        pytest.param("/svc => /#/io.l5d.fs/web", id="a namer"),
        pytest.param("/svc => /#", id="all namers"),
        pytest.param("/svc => /$/inet/h/80 | /$/nil", id="built in"),
        pytest.param("/srv => /#/io.l5d.fs ; /svc => /srv/web", id="a rule"),
        pytest.param("/a/b/c => /#/io.l5d.fs ; /svc => /a", id="a rule for longer names"),
        pytest.param('"/* => /#/io.l5d.fs ; /svc => /srv"', id="a rule for all"),
        pytest.param("/svc => ~ | ! | $", id="no names"),
    ],
)
def test_nothing_to_say(dtab: str) -> None:
    assert told(dtab) == []


@pytest.mark.parametrize(
    ("dtab", "message"),
    [
        pytest.param(
            "/svc => /#/io.l5d.fz/web",
            '/#/io.l5d.fz/web: no namer has this prefix; did you mean "/#/io.l5d.fs"?',
            id="near",
        ),
        pytest.param(
            "/svc => /#/consul", "/#/consul: no namer has this prefix; there are /#/io.l5d.fs", id="not configured"
        ),
        pytest.param(
            "/svc => 9 * /$/inett/h/80 & 1 * /$/inet/h/80",
            '/$/inett/h/80: there is no namer /$/inett; did you mean "/$/inet"?',
            id="not built in",
        ),
        pytest.param("/svc => /srv/users", "/srv/users: no rule begins with /srv, so it leads nowhere", id="no rule"),
    ],
)
def test_what_leads_nowhere(dtab: str, message: str) -> None:
    assert told(dtab) == [f"a.yaml:5: routers[0].dtab: warning: {message}"]


def test_a_guard_that_allows_everything() -> None:
    guard = "  addressGuard:\n    allow:\n    - 127.0.0.0/8\n    - 0.0.0.0/0\n    - ::/0\n"

    assert told("/svc => /$/inet/h/80", more=guard) == [
        f"a.yaml:{line}: routers[0].addressGuard.allow[{number}]: warning: {whole} is every address, loopback and the "
        "metadata services among them; list what is needed"
        for line, number, whole in ((9, 1, "0.0.0.0/0"), (10, 2, "::/0"))
    ]


def test_rules_may_stand_elsewhere() -> None:
    assert told("/svc => /srv/users", more="  interpreter: {kind: fs, dtabFile: x}\n") == []


def test_without_namers() -> None:
    assert told("/svc => /#/x", namers="[]") == [
        "a.yaml:5: routers[0].dtab: warning: /#/x: no namer has this prefix; no namers are configured"
    ]


def test_rubbish_is_not_told_line_by_line() -> None:
    assert len(told(" ; ".join(f"/svc/{n} => /nowhere-{n}" for n in range(100)))) == MAX_HINTS


@pytest.mark.parametrize(
    ("client", "places"),
    [
        pytest.param("{zonePreference: {}}", ["6: routers[0].client.zonePreference"], id="for all names"),
        pytest.param(
            "{kind: io.l5d.static, configs: [{prefix: /}, {prefix: /a, zonePreference: {}}]}",
            ["6: routers[0].client.configs[1].zonePreference"],
            id="for some",
        ),
        pytest.param("{zonePreference: {zone: a}}", [], id="given"),
        pytest.param("{}", [], id="not wanted"),
    ],
)
def test_a_zone_that_nobody_tells(client: str, places: list[str]) -> None:
    dtab, more = "/svc => /#/io.l5d.fs", f"  client: {client}\n"

    assert told(dtab, more=more) == [f"a.yaml:{place}: warning: {NO_ZONE}" for place in places]
    assert told(dtab, more=more, zone="a") == []


@pytest.mark.parametrize("key", ["trustCerts", "trustCertsBundle"])
@pytest.mark.parametrize("validates", [False, True])
def test_certificates_to_trust_where_nobody_is_verified(key: str, validates: bool) -> None:
    value = "[ca.pem]" if key == "trustCerts" else "ca.pem"
    how = "commonName: web" if validates else "disableValidation: true"
    tls = f"tls: {{{how}, {key}: {value}}}"
    more = f"  client: {{kind: io.l5d.static, configs: [{{prefix: /}}, {{prefix: /a, {tls}}}]}}\n"
    message = f"a.yaml:6: routers[0].client.configs[1].tls.{key}: warning: {UNVERIFIED.format(key=key)}"
    assert told("/svc => /#/io.l5d.fs", more=more) == ([] if validates else [message])


RINGED = "loadBalancer: {kind: ringHash, header: x}"


@pytest.mark.parametrize(
    ("configs", "place", "other"),
    [
        pytest.param(f"{{prefix: /, {RINGED}}}, {{prefix: /#/io.l5d.fs, zonePreference: {{}}}}", 1, 0, id="below it"),
        pytest.param(f"{{prefix: '/#/*/a', zonePreference: {{}}}}, {{prefix: '/#/b', {RINGED}}}", 0, 1, id="crosswise"),
        pytest.param(f"{{prefix: /#/a, zonePreference: {{}}}}, {{prefix: /#/b, {RINGED}}}", None, 0, id="apart"),
        pytest.param(
            f"{{prefix: /, {RINGED}}}, {{prefix: /#/a, zonePreference: {{}}, loadBalancer: {{kind: p2c}}}}",
            None,
            0,
            id="a later prefix takes another balancer",
        ),
    ],
)
def test_a_zone_that_a_ring_does_not_know(configs: str, place: int | None, other: int) -> None:
    more = f"  client: {{kind: io.l5d.static, configs: [{configs}]}}\n"
    expected = f"routers[0].client.configs[{place}].zonePreference: warning: {RING.format(other=f'configs[{other}]')}"

    assert told("/svc => /#/io.l5d.fs", more=more, zone="a") == ([] if place is None else [f"a.yaml:6: {expected}"])


def test_a_rule_that_never_decides() -> None:
    policy = "  policy:\n    rules:\n    - {name: all, action: allow}\n    - {what: {methods: [PUT]}, action: deny}\n"
    assert told("/svc => ~", more=policy) == [
        "a.yaml:9: routers[0].policy.rules[1]: warning: never decides: all, before it, fits all that this one fits"
    ]
