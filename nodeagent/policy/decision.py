"""What the rules of a router say of a request. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

ALLOW: Final = "allow"
DENY: Final = "deny"
AUDIT: Final = "audit"
VERDICTS: Final = (ALLOW, DENY, AUDIT)


class Decision(NamedTuple):
    """What becomes of a call."""

    verdict: str
    """`allow`, `deny`, or `audit`: it passes, and would not if that rule denied."""
    rule: str
    """The rule that says so, or `default`."""
