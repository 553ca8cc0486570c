"""Lets requests through, or not: the rules of a router applied, with what of that is remembered, counted and told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeAlias

import structlog

from namer.path import Path
from nodeagent.policy.asked import NoAnswerError
from nodeagent.policy.call import Call
from nodeagent.policy.decision import ALLOW, ASK, DENY, Decision
from nodeagent.policy.rules import Rule, Rules, passed_on
from nodeagent.proxy.caller import Caller, host_of
from nodeagent.proxy.errors import Denied
from nodeagent.proxy.messages import Request, block_of, without_fields

if TYPE_CHECKING:
    from nodeagent.proxy.authorizer import Authorizer

log = structlog.get_logger("nodeagent.policy")

MEMO: Final = 4096
"""Calls alike of which is remembered what is left to judge; a flood of names only makes the memo start over."""

MAX_TOLD: Final = 3
"""Rules that are told of when none has allowed a call: who calls often must not cost much."""

_Alike: TypeAlias = tuple[Caller | None, str, str | None, Path, bytes, bool]


class Permits:
    """Judges the requests to one router."""

    def __init__(
        self,
        router: str,
        rules: Rules,
        counts: Counter[str],
        *,
        by_address: bool = False,
        asking: Mapping[str, tuple[Authorizer, str]] | None = None,
    ) -> None:
        """`counts` counts decisions by `VERDICT RULE`. `by_address` tells that some rule asks where a call is from.

        `asking` has, by the names of rules, whom they ask, and what is decided without an answer.
        """
        self.rules = rules
        self._router = router
        self._counts = counts
        self._by_address = by_address
        self._asking = asking or {}
        self._takes = frozenset(name for authorizer in self.authorizers for name in authorizer.takes)
        self._memo: dict[_Alike, Decision | tuple[Rule, ...]] = {}

    @property
    def remembered(self) -> int:
        """Of how many calls it is remembered what is left to judge."""
        return len(self._memo)

    @property
    def authorizers(self) -> tuple[Authorizer, ...]:
        """Whom the rules ask; they must run while there is traffic."""
        return tuple(dict.fromkeys(authorizer for authorizer, _ in self._asking.values()))

    async def check(self, request: Request, name: Path) -> None:
        """Count what becomes of a request for `name`, and raise Denied if it may not be sent on.

        Waits only where somebody is asked; cancelling gives that up.
        """
        if self._takes:  # whoever decides: services believe that nobody else has written these
            head, takes = request.head, self._takes
            head.fields = without_fields(head.fields, lambda key: key.lower().replace(b"_", b"-") in takes)
        decision = self._decide(request, name)
        if decision.verdict == ASK:
            decision = await self._asked(request, name, decision)
        request.policy = decision
        verdict, rule, answered, _ = decision
        self._counts[f"{verdict} {rule}"] += 1
        if verdict == ALLOW:
            return
        call = self._call(request, name)
        said = {
            "router": self._router,
            "rule": rule,
            "name": name.show(),
            "method": request.head.method.decode("latin-1"),
            "peer": request.peer,
            "caller": str(call.identity or request.caller or call.host),
            "why": why(self.rules, call, decision) if answered is None else answered,
        }
        if verdict == DENY:
            log.warning("policy refuses a request", **said)
            request.name = name
            raise Denied("policy: denied")
        log.warning("policy would refuse a request", **said)

    async def _asked(self, request: Request, name: Path, decision: Decision) -> Decision:
        """Return what is decided by whom the rule asks, and have the request say what that says of it."""
        authorizer, verdict = self._asking[decision.rule]
        fields: tuple[tuple[str, str], ...] = ()
        try:
            answer = await authorizer.ask(self._call(request, name))
        except NoAnswerError as error:
            said = f"no answer of {authorizer.name}: {error}"
            log.warning(
                "an authorizer gives no answer",
                router=self._router,
                rule=decision.rule,
                decided=verdict,
                why=str(error),
            )
        else:
            verdict, fields = (ALLOW if answer.allowed else DENY), answer.fields
            said = f"{authorizer.name}: {answer.reason or ('yes' if answer.allowed else 'no')}"
        request.head.fields += block_of(f"{key}: {value}".encode("latin-1") for key, value in fields)
        return passed_on(Decision(verdict, decision.rule, said), decision.would)

    async def check_any(self, request: Request, names: tuple[Path, ...]) -> None:
        """Raise Denied, as `check` does for the first, unless one of `names` may be asked for."""
        if all(self._decide(request, name).verdict == DENY for name in names):
            await self.check(request, names[0])

    def _decide(self, request: Request, name: Path) -> Decision:
        host = host_of(request.peer) if self._by_address else ""
        alike = (request.caller, host, identity_of(request), name, request.head.method, request.dtab is not None)
        left = self._memo.get(alike)
        if left is None:
            if len(self._memo) >= MEMO:
                self._memo.clear()
            left = self._memo[alike] = self.rules.narrowed(self._call(request, name))
        if isinstance(left, Decision):
            return left
        return self.rules.decide_of(left, self._call(request, name))

    def _call(self, request: Request, name: Path) -> Call:
        host = host_of(request.peer)
        caller = request.caller or Caller(None, host)
        return Call(caller, host, identity_of(request), name, request.head, led_on=request.dtab is not None)


def identity_of(request: Request) -> str | None:
    """Return who the certificate of the caller says it is."""
    return None if request.client is None else request.client.identity


def why(rules: Rules, call: Call, decision: Decision) -> str:
    """Say in a line what speaks against a call."""
    if decision.rule != rules.default.rule:
        return next(each.why(call) for each in rules.rules if each.name == decision.rule) or "it fits"
    allowing = (f"{each.name} wants {each.why(call)}" for each in rules.rules if each.action == ALLOW)
    return "; ".join(islice(allowing, MAX_TOLD)) or "no rule allows it"
