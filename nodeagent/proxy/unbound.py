"""Why a name leads nowhere, in words for whoever asked for it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from balancer.node import Node
from namer.addr import Addr, AddrBound, AddrFailed, AddrNeg, AddrPending, Refused
from namer.binding import Outcome
from namer.cell import Cell
from namer.dtab import Dtab
from namer.nametree import Empty, Fail
from namer.path import Path
from nodeagent.proxy.errors import AllDead, DestinationForbidden, LoopDetected, NoEndpoints, NoSuchName, ProxyError

MAX_DTAB_CHARS: Final = 500
"""How much of a table is shown."""


def why_unbound(outcome: Outcome, base: Dtab, local: Dtab) -> str:
    """Say why `outcome` has nothing that traffic may go to, under the router's table and the caller's own."""
    if outcome.absent:
        return f"no such host or service: {', '.join(bound.id.show() for bound in outcome.absent[:5])}"
    words = {Fail: "to Fail", Empty: "to Empty"}
    text = f"the name binds {words.get(type(outcome.state), 'to nothing')}, base dtab: {_short(base)}"
    return text + f", local dtab: {_short(local)}" if local.dentries else text


def why_nowhere(id: Path, addr: Cell[Addr], nodes: Sequence[Node]) -> ProxyError:  # noqa: A002
    """Return the error for a concrete name that has no endpoint to send to; its `nodes`, if any, are all dead."""
    name = f"balance {id.show()}:"
    match addr.value:
        case AddrNeg():
            return NoSuchName(f"{name} no such host or service")
        case AddrFailed(reason):
            return NoEndpoints(f"{name} discovery failed: {reason}")
        case AddrPending():
            return NoEndpoints(f"{name} discovery has not answered yet")
        case AddrBound((), refused) if refused:
            return _refusal(refused)
    if nodes:
        return AllDead(f"{name} its endpoints are all dead, and whenAllDead is failFast; {_why_dead(nodes)}")
    return NoEndpoints(f"{name} it has no endpoints{f': {addr.error}' if addr.error else ''}")


def _refusal(refused: Sequence[Refused]) -> ProxyError:
    """The reason of one of them, rather than that it is the agent itself."""
    chosen = min(refused, key=lambda each: each.loop)
    more = f", and {len(refused) - 1} more addresses are refused" if len(refused) > 1 else ""
    kind = LoopDetected if chosen.loop else NoEndpoints if chosen.agentless else DestinationForbidden
    return kind(f"dial {chosen.endpoint.show()}: {chosen.why}{more}", unsent=True)


def _why_dead(nodes: Sequence[Node]) -> str:
    """The reason of one of them: whoever is told is one of many, and all of them are on a page."""
    node, others = nodes[0], len(nodes) - 1
    reason = node.accrual.reason and node.accrual.reason.value
    shown = f"{node.endpoint.show()}: {reason}{f', {node.trouble}' if node.trouble else ''}"
    return f"{shown}, and {others} more" if others else shown


def _short(dtab: Dtab) -> str:
    text = ""
    for dentry in dtab.dentries:  # one by one: a table may be as long as it likes
        text += f" ; {dentry.show()}" if text else dentry.show()
        if len(text) > MAX_DTAB_CHARS:
            return text[:MAX_DTAB_CHARS] + "..."
    return text
