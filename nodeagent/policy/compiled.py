"""The configuration of a policy -> its rules. Pure, but that users are looked up in the host's list of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import ip_network

from conf.access import DEFAULT, AccessPolicy, AccessRule, Callers, Calls, uid_of
from conf.globs import identity_template, name_template, path_template
from nodeagent.policy.conditions import (
    Condition,
    HasClaims,
    Headers,
    Identities,
    Methods,
    Networks,
    Paths,
    Services,
    Users,
)
from nodeagent.policy.decision import ALLOW, Decision
from nodeagent.policy.rules import Rule, Rules

ANY_VALUE = "*"


def compiled(config: AccessPolicy) -> Rules:
    """Return the rules of a router. Raises ValueError when a user is gone since the configuration was read."""
    rules = (_rule(name, rule) for name, rule in zip(config.names, config.rules, strict=True))
    return Rules(tuple(rules), Decision(config.default, DEFAULT))


def allowing(callers: Sequence[Callers]) -> Rule:
    """Return the rule that allows just these. Raises ValueError when a user is gone by now."""
    return Rule("callers", ALLOW, tuple(tuple(_callers(each)) for each in callers))


def asks_for_addresses(config: AccessPolicy) -> bool:
    """Tell whether it matters from which address a call comes."""
    return any(callers.networks is not None for rule in config.rules for callers in rule.who or ())


def _rule(name: str, config: AccessRule) -> Rule:
    who = tuple(tuple(_callers(each)) for each in config.who or ())
    what = tuple(tuple(_calls(each)) for each in config.what or ())
    return Rule(name, config.action, who, what)


def _callers(config: Callers) -> Iterator[Condition]:
    if config.identities is not None:
        yield Identities(map(identity_template, config.identities))
    if config.networks is not None:
        yield Networks(map(ip_network, config.networks))
    if config.users is not None:
        yield Users((uid_of(user), user) for user in config.users)
    if config.claims is not None:
        yield HasClaims(config.claims.items())


def _calls(config: Calls) -> Iterator[Condition]:
    if config.services is not None:
        yield Services(map(name_template, config.services))
    if config.methods is not None:
        yield Methods(config.methods)
    if config.paths is not None:
        yield Paths(map(path_template, config.paths))
    if config.headers is not None:
        yield Headers((name, None if value == ANY_VALUE else value) for name, value in config.headers.items())
