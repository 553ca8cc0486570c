"""Which rule decides, and why the others do not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.policy.conditions import Fits
from nodeagent.policy.decision import Decision
from nodeagent.proxy.caller import Caller
from tests.conf.test_globs import AMBIGUOUS
from tests.nodeagent.policy.asking import GONE, call, rules

ALLOWED = Decision("allow", "default")


def decided(policy: str, **asked: Any) -> Decision:
    return rules(policy).decide(call(**asked))


def test_without_rules_the_default_decides() -> None:
    assert decided("{}") == ALLOWED
    assert decided("default: deny") == Decision("deny", "default")
    assert decided("default: audit") == Decision("audit", "default")


def test_the_first_rule_that_fits_decides() -> None:
    policy = """
        rules:
        - {name: one, what: {methods: [DELETE]}, action: deny}
        - {name: two, what: {services: [/svc/users]}, action: allow}
        - {name: three, action: deny}
    """
    assert decided(policy) == Decision("allow", "two")
    assert decided(policy, method="DELETE") == Decision("deny", "one")
    assert decided(policy, name="/svc/web") == Decision("deny", "three")


def test_keys_are_all_asked_for_and_entries_are_alternatives() -> None:
    policy = """
        default: deny
        rules:
        - who: [{users: ["1", "2"], networks: [127.0.0.0/8]}, {identities: [spiffe://a/*]}]
          what: [{services: [/svc/a, /svc/b], methods: [GET]}, {methods: [HEAD]}]
          action: allow
    """
    local = {"caller": 1, "host": "127.0.0.1"}
    yes = Decision("allow", "rules[0]")
    no = Decision("deny", "default")
    assert decided(policy, **local, name="/svc/a") == yes
    assert decided(policy, **local, name="/svc/b") == yes
    assert decided(policy, **local, name="/svc/c") == no
    assert decided(policy, **local, name="/svc/c", method="HEAD") == yes
    assert decided(policy, **local, name="/svc/a", method="POST") == no
    assert decided(policy, caller=1, host="10.0.0.1", name="/svc/a") == no
    assert decided(policy, caller=3, host="127.0.0.1", name="/svc/a") == no
    assert decided(policy, identity="spiffe://a/x", name="/svc/a") == yes
    assert decided(policy, identity="spiffe://b/x", name="/svc/a") == no
    assert decided(policy, name="/svc/a") == no


@pytest.mark.parametrize(
    ("host", "inside"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("11.1.2.3", False),
        ("fd00::1", True),
        ("fd00::1%eth0", True),
        ("unix", False),
        ("", False),
    ],
)
def test_networks(host: str, inside: bool) -> None:
    policy = "rules: [{who: {networks: [10.0.0.0/8, 'fd00::/8']}, action: deny}]"
    assert decided(policy, host=host, caller=Caller(None, host)).verdict == ("deny" if inside else "allow")


WEB = Caller(7, "", cgroup="/system.slice/web.service")


@pytest.mark.parametrize(
    ("template", "caller", "fits"),
    [
        ("/system.slice/web.service", WEB, Fits.YES),
        ("/system.slice/web.service/**", WEB, Fits.YES),
        ("/system.slice/*.service", WEB, Fits.YES),
        ("/system.slice/db.service", WEB, Fits.NO),
        ("/system.slice", WEB, Fits.NO),
        ("/system.slice/**", WEB, Fits.YES),
        ("/system.slice/web.service", WEB._replace(cgroup="/system.slice/web.service/worker"), Fits.NO),
        ("/system.slice/web.service/**", WEB._replace(cgroup="/system.slice/web.service/worker"), Fits.YES),
        ("/system.slice/web.service/**", WEB._replace(cgroup="/x/system.slice/web.service"), Fits.NO),
        ("/", WEB._replace(cgroup="/"), Fits.YES),
        ("/", WEB, Fits.NO),
        ("/*", WEB._replace(cgroup="/"), Fits.NO),
        ("/**", WEB._replace(cgroup="/"), Fits.YES),
        ("/**", Caller(7, ""), Fits.MAYBE),
        ("/**", GONE, Fits.MAYBE),
        ("/**", Caller(None, "10.0.0.7"), Fits.NO),
    ],
)
def test_cgroups(template: str, caller: Caller, fits: Fits) -> None:
    (rule,) = rules(f"rules: [{{who: {{cgroups: [{template!r}]}}, action: deny}}]").rules
    assert rule.fits(call(caller=caller)) is fits


def test_a_cgroup_that_is_not_known_is_held_against_the_caller() -> None:
    closed = "{default: deny, rules: [{who: {cgroups: [/**]}, action: allow}]}"
    opened = "rules: [{who: {cgroups: [/a]}, action: deny}]"
    for caller in (Caller(7, ""), GONE):
        assert decided(closed, caller=caller).verdict == "deny"
        assert decided(opened, caller=caller).verdict == "deny"
    assert decided(opened) == ALLOWED
    (rule,) = rules(closed).rules
    assert rule.why(call(caller=7)) == "cgroups /**: its cgroup is not known"
    assert rule.why(call()) == "cgroups /**: the caller is not of this host"


def test_an_audit_rule_tells_and_decides_nothing() -> None:
    policy = """
        rules:
        - {name: trial, what: {methods: [DELETE]}, action: audit}
        - {name: secret, what: {services: [/svc/secret]}, action: deny}
        - {name: users, what: {services: [/svc/users]}, action: allow}
    """
    assert decided(policy) == Decision("allow", "users")
    assert decided(policy, method="DELETE") == Decision("audit", "trial")
    assert decided(policy, method="DELETE", name="/svc/other") == Decision("audit", "trial")
    assert decided(policy, method="DELETE", name="/svc/secret") == Decision("deny", "secret")


@pytest.mark.parametrize("path", AMBIGUOUS)
def test_a_path_that_has_no_one_meaning_is_held_against_the_caller(path: bytes) -> None:
    closed = "rules: [{what: {paths: [/admin/**]}, action: deny}]"
    opened = "{default: deny, rules: [{what: {paths: [/public/**]}, action: allow}]}"
    assert decided(closed, path=path).verdict == "deny"
    assert decided(opened, path=path).verdict == "deny"
    assert decided("rules: [{what: {paths: [/x], services: [/svc/web]}, action: deny}]", path=path) == ALLOWED
    assert decided("rules: [{what: {paths: [/public/**]}, action: allow}]", path=path) == ALLOWED
    assert decided("rules: [{what: {methods: [DELETE]}, action: deny}]", path=path) == ALLOWED


def test_paths_are_judged_without_their_query() -> None:
    policy = "rules: [{what: {paths: [/admin/**]}, action: deny}]"
    assert decided(policy, path="/admin?x=//").verdict == "deny"
    assert decided(policy, path="/?/admin") == ALLOWED
    assert decided(policy, path="/users/admin") == ALLOWED
    assert decided(policy, path="/%61dmin/").verdict == "deny"


def test_what_a_tunnel_carries_is_held_against_the_caller() -> None:
    asked = {"method": "CONNECT"}
    assert decided("rules: [{what: {methods: [DELETE]}, action: deny}]", **asked).verdict == "deny"
    assert decided("rules: [{what: {paths: [/admin]}, action: deny}]", **asked).verdict == "deny"
    assert decided("rules: [{what: {headers: {x-debug: '*'}}, action: deny}]", **asked).verdict == "deny"
    assert decided("{default: deny, rules: [{what: {methods: [GET]}, action: allow}]}", **asked).verdict == "deny"
    assert decided("{default: deny, rules: [{what: {methods: [CONNECT]}, action: allow}]}", **asked).verdict == "allow"
    assert (
        decided("{default: deny, rules: [{what: {services: [/svc/users]}, action: allow}]}", **asked).verdict == "allow"
    )


def test_a_program_that_is_gone_is_held_against_the_caller() -> None:
    gone = {"caller": GONE, "host": "127.0.0.1"}
    assert decided("rules: [{who: {users: ['1000']}, action: deny}]", **gone).verdict == "deny"
    assert decided("{default: deny, rules: [{who: {users: ['1000']}, action: allow}]}", **gone).verdict == "deny"
    assert decided("rules: [{who: {users: ['1000']}, action: deny}]") == ALLOWED


def test_who_brings_own_dentries_goes_by_no_name() -> None:
    led = {"led_on": True}
    assert decided("rules: [{what: {services: [/svc/secret]}, action: deny}]", **led).verdict == "deny"
    assert decided("{default: deny, rules: [{what: {services: [/svc/users]}, action: allow}]}", **led).verdict == "deny"
    assert decided("{default: deny, rules: [{who: {networks: [10.0.0.7]}, action: allow}]}", **led).verdict == "allow"


def test_a_subset_counts_as_its_service() -> None:
    policy = "{default: deny, rules: [{what: {services: [/svc/users, '/svc/web:8080']}, action: allow}]}"
    assert decided(policy, name="/svc/users\\x3bv\\x3d2").verdict == "allow"
    assert decided(policy, name="/svc/web\\x3bv\\x3d2:8080").verdict == "allow"
    assert decided(policy, name="/svc/secret\\x3bv\\x3d2").verdict == "deny"


@pytest.mark.parametrize(
    ("lines", "fits"),
    [
        ((), Fits.NO),
        ((b"X-Team: blue",), Fits.YES),
        ((b"x-team:  blue ",), Fits.YES),
        ((b"X-Team: red",), Fits.NO),
        ((b"X-Team: blue", b"X-Team: red"), Fits.MAYBE),
        ((b"X_Team: blue",), Fits.MAYBE),
        ((b"X-Team: red", b"X_Team: blue"), Fits.MAYBE),
    ],
)
def test_headers(lines: tuple[bytes, ...], fits: Fits) -> None:
    (rule,) = rules("rules: [{what: {headers: {x-team: blue}}, action: deny}]").rules
    assert rule.fits(call(lines=lines)) is fits


def test_what_the_codec_has_joined_is_several_values() -> None:
    (rule,) = rules("rules: [{what: {headers: {upgrade: websocket}}, action: deny}]").rules
    assert rule.fits(call(special={b"upgrade": b"websocket"})) is Fits.YES
    assert rule.fits(call(special={b"upgrade": b"h2c, websocket"})) is Fits.MAYBE
    assert rule.fits(call(special={b"upgrade": b"h2c"})) is Fits.NO
    (host,) = rules("rules: [{what: {headers: {host: users}}, action: deny}]").rules
    assert host.fits(call()) is Fits.YES


def test_headers_that_must_be_there() -> None:
    (rule,) = rules("rules: [{what: {headers: {x-team: '*'}}, action: deny}]").rules
    assert rule.fits(call(headers={"X-Team": "any"})) is Fits.YES
    assert rule.fits(call()) is Fits.NO


def test_it_says_of_each_rule_why_it_does_not_fit() -> None:
    made = rules("""
        default: deny
        rules:
        - {who: {users: ['0']}, what: {paths: [/x]}, action: allow}
        - {what: [{methods: [DELETE]}, {services: [/svc/web], headers: {a: b}}], action: deny}
        - {who: {identities: [spiffe://a/**]}, action: audit}
    """)
    tried = [(each.rule, each.fits, each.decides, each.why) for each in made.tried(call(caller=7, path="//"))]
    assert tried == [
        ("rules[0]", Fits.NO, False, "users 0: the caller is uid 7; paths /x: // has no one meaning"),
        ("rules[1]", Fits.NO, False, "methods DELETE: the method is GET"),
        ("rules[2]", Fits.NO, False, "identities spiffe://a/**: the caller has no identity"),
        ("default", Fits.YES, True, ""),
    ]


@pytest.mark.parametrize(
    ("one", "other", "shadowed"),
    [
        ("{action: deny}", "{what: {methods: [GET]}, action: allow}", True),
        ("{action: audit}", "{what: {methods: [GET]}, action: allow}", False),
        ("{what: {methods: [GET, PUT]}, action: deny}", "{what: {methods: [GET]}, action: allow}", True),
        ("{what: {methods: [GET]}, action: deny}", "{what: {methods: [GET, PUT]}, action: allow}", False),
        ("{what: {services: [/svc/*]}, action: deny}", "{what: {services: [/svc/a]}, action: allow}", True),
        ("{what: {services: [/svc/*]}, action: deny}", "{action: allow}", False),
        ("{who: {networks: [10.0.0.0/8]}, action: deny}", "{who: {networks: [10.1.0.0/16]}, action: allow}", True),
        ("{who: {users: ['1']}, action: deny}", "{who: {users: ['1'], networks: [10.1.0.0/16]}, action: allow}", True),
        ("{who: {users: ['1']}, action: deny}", "{who: [{users: ['1']}, {users: ['2']}], action: allow}", False),
        ("{who: {cgroups: [/a]}, action: deny}", "{who: {cgroups: [/b]}, action: allow}", False),
        ("{who: {cgroups: [/a/**]}, action: deny}", "{who: {cgroups: [/a/b], users: ['1']}, action: allow}", True),
        ("{who: {users: ['1'], cgroups: [/a]}, action: deny}", "{who: {users: ['1']}, action: allow}", False),
        ("{what: {headers: {a: '*'}}, action: deny}", "{what: {headers: {a: b, c: d}}, action: allow}", True),
        ("{what: {headers: {a: b}}, action: deny}", "{what: {headers: {a: '*'}}, action: allow}", False),
        ("{what: {paths: [/a/**]}, action: deny}", "{what: {paths: [/a/b, /a/*/c]}, action: allow}", True),
    ],
)
def test_rules_that_never_decide(one: str, other: str, shadowed: bool) -> None:
    found = [(index, rule.name) for index, rule in rules(f"rules: [{one}, {other}]").shadowed()]
    assert found == ([(1, "rules[0]")] if shadowed else [])


WHO = st.sampled_from(
    [
        "",
        "who: {users: ['1']}, ",
        "who: {networks: [10.0.0.0/8]}, ",
        "who: {identities: [a/*]}, ",
        "who: {cgroups: [/a/**]}, ",
    ]
)
WHAT = st.sampled_from([
    "", "what: {services: [/svc/a]}, ", "what: {services: [/svc/**], methods: [GET]}, ", "what: {paths: [/p/*]}, ",
    "what: [{paths: [/p/q], methods: [GET]}, {headers: {h: v}}], ", "what: {headers: {h: '*'}}, ",
    "what: {methods: [PUT]}, ",
])  # fmt: skip
ACTION = st.sampled_from(["action: allow", "action: deny", "action: audit"])
POLICY = st.tuples(
    st.sampled_from(["allow", "deny", "audit"]),
    st.lists(st.tuples(WHO, WHAT, ACTION).map(lambda parts: f"{{{''.join(parts)}}}"), max_size=5),
).map(lambda made: f"{{default: {made[0]}, rules: [{', '.join(made[1])}]}}")
CALL = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["/svc/a", "/svc/b"]),
        "method": st.sampled_from(["GET", "PUT", "CONNECT"]),
        "path": st.sampled_from(["/p/q", "/p/r", "/", "//p"]),
        "caller": st.sampled_from([1, 2, Caller(None, "10.0.0.1"), GONE, Caller(1, "", cgroup="/a/b")]),
        "host": st.sampled_from(["10.0.0.1", "127.0.0.1"]),
        "identity": st.sampled_from([None, "a/b", "b/c"]),
        "headers": st.sampled_from([{}, {"h": "v"}, {"h": "w"}, {"h": "v", "H": "w"}]),
        "led_on": st.booleans(),
    }
)


@given(POLICY, CALL, st.sampled_from(["/p/q", "/x", "//"]))
def test_what_is_remembered_for_calls_alike_decides_as_all_rules(policy: str, asked: Any, path: str) -> None:
    made = rules(policy)
    left = made.narrowed(call(**asked | {"path": path, "headers": {}}))
    decision = left if isinstance(left, Decision) else made.decide_of(left, call(**asked))
    assert decision == made.decide(call(**asked))


@given(POLICY, CALL)
def test_what_is_said_of_the_rules_agrees_with_what_is_decided(policy: str, asked: Any) -> None:
    made = rules(policy)
    decision = made.decide(call(**asked))
    (deciding,) = [each for each in made.tried(call(**asked)) if each.decides]
    assert decision.verdict == "audit" or decision == Decision(deciding.action, deciding.rule)


@given(POLICY, CALL)
def test_a_rule_that_is_shadowed_decides_nothing_that_can_be_told(policy: str, asked: Any) -> None:
    made = rules(policy)
    lost = {made.rules[index].name for index, _ in made.shadowed()}
    deciding = [each for each in made.tried(call(**asked)) if each.decides and each.fits is Fits.YES]
    assert not lost & {each.rule for each in deciding}
