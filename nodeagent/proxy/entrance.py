"""Who may connect to a listener at all, whatever is asked for then. Composed for listeners that say so."""

from __future__ import annotations

from typing import Final

import structlog

from namer.path import Path
from nodeagent.policy.call import Call
from nodeagent.policy.rules import Rule
from nodeagent.proxy.caller import Caller, host_of
from nodeagent.proxy.messages import RequestHead
from nodeagent.telemetry.stats import ServerStats

log = structlog.get_logger("nodeagent.policy")

_NOTHING: Final = RequestHead(b"", b"", b"", 11, b"", {})
_NO_NAME: Final = Path(())


class Entrance:
    """Lets connections to one listener in, or not."""

    def __init__(self, rule: Rule, stats: ServerStats) -> None:
        """`rule` allows those who may connect."""
        self._rule = rule
        self._stats = stats

    def admits(self, caller: Caller, peer: str, identity: str | None) -> bool:
        """Tell whether a connection is let in. `peer` is where it comes from, `identity` what its certificate says."""
        call = Call(caller, host_of(peer), identity, _NO_NAME, _NOTHING)
        if self._rule.fits(call) >= self._rule.needs:
            return True
        self._stats.connections_denied += 1
        who = str(identity or caller)
        log.warning(
            "policy refuses a connection", server=self._stats.address, peer=peer, caller=who, why=self._rule.why(call)
        )
        return False
