"""The configuration of a policy, or a text from a store -> its rules.

Pure, but that users are looked up in the host's list of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_network

from conf.access import DEFAULT, UNKNOWN, AccessPolicy, AccessRule, Callers, Calls, uid_of
from conf.errors import ConfigErrors
from conf.globs import cgroup_template, identity_template, name_template, path_template
from conf.router import AnyRouter
from conf.rulestores import MAX_BYTES
from namer.document import Document, Followed, UnusableError
from namer.namer import Failure, Pending
from nodeagent.policy.conditions import (
    Cgroups,
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
from nodeagent.policy.decision import ALLOW, DENY, Decision
from nodeagent.policy.rules import Rule, Rules

ANY_VALUE = "*"


@dataclass(frozen=True, slots=True, eq=False)
class Ruling:
    """The rules that are in force together, and what else is to be known of them."""

    rules: Rules
    by_address: bool = False
    """Whether it matters from which address a call comes."""
    asked: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """By the names of rules, whom they ask, and what is decided without an answer."""
    config: AccessPolicy | None = None
    """What they were made of; equal ones are equal rulings."""
    text: str | None = None
    """As it stands in the store, if they are from one."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ruling) and self.config is not None and self.config == other.config


def ruling(config: AccessPolicy) -> Ruling:
    """Return what is in force by a policy. Raises ValueError as `compiled` does."""
    by_address = any(callers.networks is not None for rule in config.rules for callers in rule.who or ())
    asked = {
        name: (rule.authorizer, rule.when_down or DENY)
        for name, rule in zip(config.names, config.rules, strict=True)
        if rule.authorizer is not None
    }
    return Ruling(compiled(config), by_address, asked, config)


def unknown(why: str) -> Ruling:
    """Return what is in force while the rules are not known: nobody may call anything."""
    return Ruling(Rules((), Decision(DENY, UNKNOWN, why)))


def ruling_of(followed: Followed[Ruling]) -> Ruling:
    """Return what is in force by what there is of a store."""
    match followed:
        case Pending():
            return unknown("the rules are not known yet")
        case Failure(reason):
            return unknown(f"the rules are not known: {reason}")
    return followed


def rules_document(router: AnyRouter) -> Document[Ruling]:
    """Return what the texts of a store mean for a router."""

    def read(text: str, origin: str, before: Ruling | None) -> Ruling:
        if before is not None and before.text == text:  # stores say the same again and again
            return before
        from conf.rules import load_rules  # imported here, because few routers have rules elsewhere

        try:
            return replace(ruling(load_rules(text, origin, router)), text=text)
        except ConfigErrors as error:
            first, *others = error.problems
            raise UnusableError(f"{first} (and {len(others)} more)" if others else str(first)) from None
        except ValueError as error:
            raise UnusableError(f"{origin}: {error}") from None

    return Document("rules", read, MAX_BYTES)


def compiled(config: AccessPolicy) -> Rules:
    """Return the rules of a router. Raises ValueError when a user is gone since the configuration was read."""
    rules = (_rule(name, rule) for name, rule in zip(config.names, config.rules, strict=True))
    return Rules(tuple(rules), Decision(config.default, DEFAULT))


def allowing(callers: Sequence[Callers]) -> Rule:
    """Return the rule that allows just these. Raises ValueError when a user is gone by now."""
    return Rule("callers", ALLOW, tuple(tuple(_callers(each)) for each in callers))


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
    if config.cgroups is not None:
        yield Cgroups(map(cgroup_template, config.cgroups))
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
