"""A text of rules that does not stand in the configuration -> the policy of a router with them."""

from __future__ import annotations

from typing import Annotated

from msgspec.structs import replace

from conf.access import AccessPolicy, AccessRule
from conf.check import calls_conflicts
from conf.decode import Decoder
from conf.errors import ConfigErrors, Problem, Problems, TooManyProblemsError
from conf.fields import about, one_of
from conf.router import AnyRouter
from conf.rulestores import MAX_BYTES
from conf.section import Section
from conf.source import parse


class StoredRules(Section, frozen=True):
    """The whole of a text."""

    default: Annotated[
        Annotated[str, one_of("allow", "deny", "audit")] | None,
        about("As in the policy.", unset="that of the policy"),
    ] = None
    rules: Annotated[tuple[AccessRule, ...], about("The rules.")] = ()


def load_rules(text: str, origin: str, router: AnyRouter) -> AccessPolicy:
    """Return the policy of a router with the rules of a text. Raises ConfigErrors with all that is wrong."""
    policy = router.policy
    assert policy is not None
    if len(text.encode("utf-8", "surrogateescape")) > MAX_BYTES:
        raise ConfigErrors([Problem(origin, None, None, "", f"it is larger than {MAX_BYTES // 1024} KiB")])
    problems = Problems(origin)
    decoder = Decoder(parse(text, origin), problems, StoredRules)
    whole = policy
    try:
        stored = decoder.read()
        if isinstance(stored, StoredRules):
            default = stored.default or policy.default
            whole = replace(policy, source=None, default=default, rules=stored.rules)
            for key, message in whole.contradictions():
                problems.add(decoder.position((key,)), (key,), message)
        for at, message in calls_conflicts({(): router}, decoder.sections):
            problems.add(decoder.position(at), at, message)
    except TooManyProblemsError:
        pass
    problems.raise_if_any()
    return whole
