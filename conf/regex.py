"""Regular expressions of the configuration: those that can take for ever are refused. Pure."""

from __future__ import annotations

import re
import warnings
from typing import Final

_PART: Final = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?[aiLmsux]+\)|.", re.DOTALL)
_UNBOUNDED: Final = re.compile(r"[*+]|\{[0-9]*,\}")


def check_regex(text: str) -> str:
    """Return `text` if it is a regular expression that no input keeps busy for ever; else raise ValueError with why.

    Python's engine goes back to try again. Where a group that is repeated without bound holds another such repeat, or
    alternatives, it may try every way of dividing the input between the two: twice as many with each byte.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a later Python may read otherwise is still an expression
            re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(str(error)) from None
    open_groups = [False]
    at = 0
    while at < len(text):
        part = _PART.match(text, at)
        assert part is not None
        at = part.end()
        ambiguous = part[0] == "|"
        if part[0] == "(":
            open_groups.append(False)
        elif part[0] == ")":
            ambiguous = open_groups.pop()
        repeat = _UNBOUNDED.match(text, at)
        if repeat is not None:
            if ambiguous:
                raise ValueError(f"the group that ends at {at} can match in many ways, and is repeated without bound")
            ambiguous = True
            at = repeat.end()
        open_groups[-1] = open_groups[-1] or ambiguous
    return text
