"""Why a name is bound to nothing, in words for whoever asked for it. Pure."""

from __future__ import annotations

from typing import Final

from namer.binding import Outcome
from namer.dtab import Dtab
from namer.nametree import Empty, Fail

MAX_DTAB_CHARS: Final = 500
"""How much of a table is shown."""


def why_unbound(outcome: Outcome, base: Dtab, local: Dtab) -> str:
    """Say why `outcome` has nothing that traffic may go to, under the router's table and the caller's own."""
    if outcome.absent:
        return f"no such host or service: {', '.join(bound.id.show() for bound in outcome.absent[:5])}"
    words = {Fail: "to Fail", Empty: "to Empty"}
    text = f"the name binds {words.get(type(outcome.state), 'to nothing')}, base dtab: {_short(base)}"
    return text + f", local dtab: {_short(local)}" if local.dentries else text


def _short(dtab: Dtab) -> str:
    text = ""
    for dentry in dtab.dentries:  # one by one: a table may be as long as it likes
        text += f" ; {dentry.show()}" if text else dentry.show()
        if len(text) > MAX_DTAB_CHARS:
            return text[:MAX_DTAB_CHARS] + "..."
    return text
