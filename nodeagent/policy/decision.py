"""What the rules of a router say of a request. Pure."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

ALLOW: Final = "allow"
DENY: Final = "deny"
AUDIT: Final = "audit"
ASK: Final = "ask"
VERDICTS: Final = (ALLOW, DENY, AUDIT)


class Decision(NamedTuple):
    """What becomes of a call."""

    verdict: str
    """`allow`, `deny`, or `audit`: it passes, and would not if that rule denied. `ask` while it is not known yet."""
    rule: str
    """The rule that says so, or `default`."""
    said: str | None = None
    """What an authorizer says, or why it does not; None where none was asked."""
    would: str | None = None
    """The rule that refuses it if it denied, while it is not known yet."""
    challenge: str | None = None
    """What the caller has to show to be let in, as an authorizer says: a WWW-Authenticate field (RFC 9110, 11.6.1)."""

    def show(self) -> dict[str, Any]:
        """As it stands in records."""
        shown = {"verdict": self.verdict, "rule": self.rule}
        return shown if self.said is None else shown | {"said": self.said}
