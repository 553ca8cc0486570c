"""Rules that do not stand in the configuration: read by the same words, each fault where it stands."""

from __future__ import annotations

import pytest

import conf
from conf.router import AnyRouter
from conf.rules import load_rules
from conf.rulestores import MAX_BYTES, ConfigMapRules, ConsulRules, FileRules

FROM_FILE = "from: {kind: fs, rulesFile: rules.yaml}"
OPA = "authorizers: [{kind: io.l5d.opa, name: opa, url: 'http://127.0.0.1:8181', path: mesh/allow}]"


def router(policy: str = FROM_FILE, *, protocol: str = "http") -> AnyRouter:
    server = "{port: 0}" if protocol == "http" else "{port: 4999, name: /db}"
    text = f"routers: [{{protocol: {protocol}, servers: [{server}], policy: {{{policy}}}}}]"
    return conf.load(text, "test").routers[0]


def faults(text: str, policy: str = FROM_FILE, *, protocol: str = "http") -> list[str]:
    with pytest.raises(conf.ConfigErrors) as caught:
        load_rules(text, "rules", router(policy, protocol=protocol))
    return [str(each) for each in caught.value.problems]


@pytest.mark.parametrize(
    ("written", "store"),
    [
        ("{kind: io.l5d.fs, rulesFile: r}", FileRules(rules_file="r")),
        ("{kind: consul, namespace: web}", ConsulRules(namespace="web")),
        ("{kind: k8s.configMap, name: mesh, filename: web}", ConfigMapRules(name="mesh", filename="web")),
    ],
)
def test_rules_come_from_the_stores_of_dtabs(written: str, store: object) -> None:
    policy = router(f"from: {written}").policy
    assert policy is not None
    assert policy.source == store


def test_rules_stand_here_or_there() -> None:
    with pytest.raises(conf.ConfigErrors, match="rules: cannot stand beside from"):
        router(f"rules: [{{action: deny}}], {FROM_FILE}")


def test_a_default_that_no_text_says_is_that_of_the_configuration() -> None:
    asked = router(f"default: deny, {FROM_FILE}")
    assert [load_rules(text, "rules", asked).default for text in ("{}", "default: audit")] == ["deny", "audit"]


def test_a_text_may_refer_to_whom_the_configuration_knows() -> None:
    text = "rules: [{name: asks, action: ask, authorizer: opa}]"
    assert load_rules(text, "rules", router(f"{FROM_FILE}, {OPA}")).names == ("asks",)
    assert faults(text) == ['rules:1:8: rules: no authorizer is called "opa"; list it below authorizers']


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        pytest.param("rules:\n- {action: alow}", "rules:2:12: rules[0].action: ", id="a word that is none"),
        pytest.param("rules: [", "rules:2:1: not valid YAML: ", id="no YAML"),
        pytest.param("", "rules", id="empty"),
        pytest.param("rule: []", 'rules:1:1: rule: unknown key; did you mean "rules"?', id="an unknown key"),
        pytest.param(
            "rules: [{who: {users: [nobody-knows-me]}, action: deny}]",
            "rules:1:24: rules[0].who.users[0]: ",
            id="a user that this host has not",
        ),
        pytest.param(
            "rules: [{who: {claims: {a: [b]}}, action: allow}]",
            "rules:1:1: tokens: missing",
            id="claims of tokens that nobody reads",
        ),
        pytest.param(
            "rules: [{name: a, action: allow}, {name: a, action: deny}]",
            'rules:1:8: rules: two rules are called "a"',
            id="one name for two",
        ),
        pytest.param("rules: [{name: unknown, action: deny}]", "rules:1:8: rules: no rule may be called", id="taken"),
        pytest.param(
            "rules: [{what: {services: [/svc/a, /srv/b]}, action: deny}]",
            "rules:1:36: rules[0].what.services[1]: no name of this router is below /srv/b",
            id="a name that no request has",
        ),
        pytest.param("#" * (MAX_BYTES + 1), "rules: it is larger than 64 KiB", id="too large"),
        pytest.param("a: &a [x]\nb: [*a, *a]\nauthorizers: []", "rules:1:1: a: unknown key", id="foreign keys"),
    ],
)
def test_a_fault_is_told_with_its_place(text: str, fault: str) -> None:
    assert faults(text)[0].startswith(fault)


def test_a_router_that_reads_no_requests_has_no_rules_for_them() -> None:
    (fault,) = faults("rules: [{what: {methods: [GET]}, action: deny}]", protocol="tcp")
    assert fault.startswith("rules:1:26: rules[0].what.methods: means nothing for protocol tcp")
