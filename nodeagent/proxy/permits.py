"""Lets requests through, or not: the rules of a router applied, with what of that is remembered, counted and told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

import structlog
import trio

from conf.access import TOKENS, UNKNOWN
from namer.cell import Cell
from namer.document import Followed, known
from namer.namer import Pending
from namer.path import Path
from namer.settle import subscribed
from nodeagent.policy.asked import NoAnswerError
from nodeagent.policy.call import Call
from nodeagent.policy.claims import Claims, bearer
from nodeagent.policy.compiled import Ruling, ruling_of
from nodeagent.policy.decision import ALLOW, ASK, DENY, Decision
from nodeagent.policy.rules import Rule, Rules, passed_on
from nodeagent.proxy.caller import Caller, host_of
from nodeagent.proxy.errors import BadToken, Denied, Unauthenticated
from nodeagent.proxy.messages import Request, block_of, without_fields

if TYPE_CHECKING:
    from nodeagent.proxy.authorizer import Authorizer
    from nodeagent.proxy.tokenkeys import TokenKeys

log = structlog.get_logger("nodeagent.policy")

MEMO: Final = 4096
"""Calls alike of which is remembered what is left to judge; a flood of names only makes the memo start over."""

FIRST: Final = 2.0
"""Seconds that listeners wait for rules that come from elsewhere."""

MAX_TOLD: Final = 3
"""Rules that are told of when none has allowed a call: who calls often must not cost much."""

_Alike: TypeAlias = tuple[Caller | None, str, str | None, Path, bytes, bool]


class Helper(Protocol):
    """Something that must run while requests are judged."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run until cancelled; it is of use once it has started."""
        ...


class Permits:
    """Judges the requests to one router."""

    def __init__(
        self,
        router: str,
        ruling: Ruling,
        counts: Counter[str],
        *,
        authorizers: Mapping[str, Authorizer] | None = None,
        tokens: TokenKeys | None = None,
        source: Cell[Followed[Ruling]] | None = None,
    ) -> None:
        """`counts` counts decisions by `VERDICT RULE`. `authorizers` are whom rules may ask, by their names.

        `tokens` reads those of callers, if anybody does. `source`, if given, has what is in force from now on: followed
        while `run` runs.
        """
        self._router = router
        self._counts = counts
        self._authorizers = authorizers or {}
        self._takes = frozenset(name for each in self._authorizers.values() for name in each.takes)
        self._tokens = tokens
        self._source = source
        helpers: list[Helper] = [*self._authorizers.values()]
        if tokens is not None:
            helpers.append(tokens)
        if source is not None:
            helpers.append(self)
        self.helpers = tuple(helpers)
        """What must run while there is traffic: whom rules ask, who knows the keys of tokens, who follows the rules."""
        self._memo: dict[_Alike, Decision | tuple[Rule, ...]] = {}
        self._ruling = ruling

    @property
    def rules(self) -> Rules:
        """The rules in force."""
        return self._ruling.rules

    def warning(self) -> str | None:
        """Return what an operator should see to, None for nothing."""
        if self._source is None:
            return None
        if known(self._source.value) is None:
            return f"router {self._router} refuses everything: {self.rules.default.said}"
        error = self._source.error
        return None if error is None else f"router {self._router} goes by rules that may be old: {error}"

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Follow the rules. Returns only by being cancelled, which leaves those in force.

        Has started when they are known, or it is known why not, or FIRST is over: who calls at a restart had better
        wait a moment than be refused.
        """
        source = self._source
        assert source is not None
        with subscribed((source,), self._changed):
            with trio.move_on_after(FIRST):
                while isinstance(source.value, Pending):
                    await source.wait_changed(source.version)
            task_status.started()
            await trio.sleep_forever()

    def _changed(self) -> None:
        assert self._source is not None
        self._ruling = ruling_of(self._source.value)
        self._memo.clear()
        if (found := known(self._source.value)) is not None:
            log.info("rules are in force", router=self._router, rules=len(found.rules.rules))

    @property
    def remembered(self) -> int:
        """Of how many calls it is remembered what is left to judge."""
        return len(self._memo)

    async def check(self, request: Request, name: Path) -> None:
        """Count what becomes of a request for `name`, and raise Denied if it may not be sent on.

        Waits only where somebody is asked; cancelling gives that up.
        """
        if self._takes:  # whoever decides: services believe that nobody else has written these
            head, takes = request.head, self._takes
            head.fields = without_fields(head.fields, lambda key: key.lower().replace(b"_", b"-") in takes)
        claims = None if self._tokens is None else self._claims(request, name)
        decision = self._decide(request, name, claims)
        if decision.verdict == ASK:
            decision = await self._asked(self._call(request, name, claims), request, decision)
        request.policy = decision
        verdict, rule, answered, _, challenge = decision
        self._counts[f"{verdict} {rule}"] += 1
        if verdict == ALLOW:
            return
        call = self._call(request, name, claims)
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
            if rule == UNKNOWN:
                raise Denied("policy: the rules are not known yet", status=503)
            raise Unauthenticated(challenge) if challenge is not None else Denied("policy: denied")
        log.warning("policy would refuse a request", **said)

    def _claims(self, request: Request, name: Path) -> Claims | None:
        """Return what the token of a request says, None without one. Raises BadToken, counted and told."""
        token = bearer(request.head.get(b"authorization"))
        if token is None or self._tokens is None:
            return None
        from nodeagent.policy.tokens import TokenError  # only where tokens are read

        try:
            if self._tokens.has_keys:
                return self._tokens.claims(token)
            error: Denied = Denied("policy: the keys of tokens are not known yet", status=503)
        except TokenError as fault:
            error = BadToken(f"policy: {fault}", str(fault))
        request.name = name
        request.policy = Decision(DENY, TOKENS, error.message.removeprefix("policy: "))
        self._counts[f"{DENY} {TOKENS}"] += 1
        log.warning(
            "policy refuses a token", router=self._router, name=name.show(), peer=request.peer, why=request.policy.said
        )
        raise error

    async def _asked(self, call: Call, request: Request, decision: Decision) -> Decision:
        """Return what is decided by whom the rule asks, and have the request say what that says of it."""
        asked, verdict = self._ruling.asked[decision.rule]
        authorizer = self._authorizers[asked]
        fields: tuple[tuple[str, str], ...] = ()
        challenge = None
        try:
            answer = await authorizer.ask(call)
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
            verdict, fields, challenge = (ALLOW if answer.allowed else DENY), answer.fields, answer.challenge
            said = f"{authorizer.name}: {answer.reason or ('yes' if answer.allowed else 'no')}"
        request.head.fields += block_of(f"{key}: {value}".encode("latin-1") for key, value in fields)
        return passed_on(Decision(verdict, decision.rule, said, challenge=challenge), decision.would)

    async def check_any(self, request: Request, names: tuple[Path, ...]) -> None:
        """Raise Denied, as `check` does for the first, unless one of `names` may be asked for."""
        claims = None if self._tokens is None else self._claims(request, names[0])
        if all(self._decide(request, name, claims).verdict == DENY for name in names):
            await self.check(request, names[0])

    def _decide(self, request: Request, name: Path, claims: Claims | None) -> Decision:
        host = host_of(request.peer) if self._ruling.by_address else ""
        alike = (request.caller, host, identity_of(request), name, request.head.method, request.dtab is not None)
        left = self._memo.get(alike)
        if left is None:
            if len(self._memo) >= MEMO:
                self._memo.clear()
            left = self._memo[alike] = self.rules.narrowed(self._call(request, name, claims))
        if isinstance(left, Decision):
            return left
        return self.rules.decide_of(left, self._call(request, name, claims))

    def _call(self, request: Request, name: Path, claims: Claims | None) -> Call:
        host = host_of(request.peer)
        caller = request.caller or Caller(None, host)
        led_on = request.dtab is not None
        return Call(caller, host, identity_of(request), name, request.head, led_on=led_on, claims=claims)


def identity_of(request: Request) -> str | None:
    """Return who the certificate of the caller says it is."""
    return None if request.client is None else request.client.identity


def why(rules: Rules, call: Call, decision: Decision) -> str:
    """Say in a line what speaks against a call."""
    if decision.rule != rules.default.rule:
        return next(each.why(call) for each in rules.rules if each.name == decision.rule) or "it fits"
    allowing = (f"{each.name} wants {each.why(call)}" for each in rules.rules if each.action == ALLOW)
    return "; ".join(islice(allowing, MAX_TOLD)) or "no rule allows it"
