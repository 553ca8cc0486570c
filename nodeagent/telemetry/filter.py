"""A filter over requests: `service=/svc/users status>=500 path~^/api`. Pure.

Terms are separated by spaces, and all of them have to hold; without any, every request is wanted. A term is a field, an
operator and a value.

* `=` and `!=` compare the whole value, `~` and `!~` look for it anywhere. In both, `*` stands for anything; with `~`,
  `^` before the value holds it to the beginning and `$` after it to the end. Capitals do not matter. These are no
  regular expressions, so that no filter can take long while traffic waits: the cost is that of a search in the text.
* Numbers take `=`, `!=`, `>`, `>=`, `<` and `<=`.
* A field that a request lacks is empty: `error!=` wants all that have one. Where it has several (the endpoints of its
  attempts), one of them has to do; for `!=` and `!~`, none may.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Final, TypeAlias

from nodeagent.policy.decision import VERDICTS
from nodeagent.telemetry.decision import BLAME, blame, classification, show_bytes, url
from nodeagent.telemetry.exchange import Exchange
from nodeagent.telemetry.trace import request_id

MAX_LENGTH: Final = 2000
"""Characters of a filter."""
MAX_TERMS: Final = 20

Test: TypeAlias = Callable[[Exchange], bool]

_TERM: Final = re.compile(r"([A-Za-z_-]+)(!=|!~|>=|<=|=|~|>|<)(.*)", re.DOTALL)
_NUMBER: Final = re.compile(r"[0-9]{1,15}(\.[0-9]{1,9})?")

_COMPARE: Final[dict[str, Callable[[float, float], bool]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_FIND: Final = ("=", "!=", "~", "!~")


class FilterError(ValueError):
    """A text is no filter; the message is one line that says what would be one."""


class Filter:
    """Says whether a request is wanted; asked in the middle of traffic, so it formats nothing but what it compares."""

    __slots__ = ("_tests", "text")

    def __init__(self, text: str = "") -> None:
        """Raises FilterError."""
        if len(text) > MAX_LENGTH:
            raise FilterError(f"a filter of {len(text)} characters: at most {MAX_LENGTH} are read")
        terms = text.split()
        if len(terms) > MAX_TERMS:
            raise FilterError(f"{len(terms)} terms: at most {MAX_TERMS} are read")
        self._tests = tuple(map(_test, terms))
        self.text = " ".join(terms)
        """The filter as it can be given again."""

    def __call__(self, exchange: Exchange) -> bool:
        """Whether all terms hold."""
        for test in self._tests:  # noqa: SIM110  (all() would make a generator for each request)
            if not test(exchange):
                return False
        return True


def _test(term: str) -> Test:
    match = _TERM.fullmatch(term)
    if match is None:
        raise FilterError(f"{term[:60]!r} is no term: expected FIELD, an operator and a value, such as status>=500")
    field, sign, value = match[1].lower(), match[2], match[3]
    if field in _NUMBERS:
        return _number_test(field, sign, value)
    if field in _SINGLE or field in _SEVERAL:
        return _text_test(field, sign, value)
    known = (*_SINGLE, *_SEVERAL, *_NUMBERS)
    near = get_close_matches(field, known, n=1)
    raise FilterError(
        f"there is no field {field[:40]!r}{f'; did you mean {near[0]}?' if near else ''}; there are {', '.join(known)}"
    )


def _number_test(field: str, sign: str, value: str) -> Test:
    if sign not in _COMPARE:
        raise FilterError(f"{field} is a number: compare it by {' '.join(_COMPARE)}, not by {sign}")
    if _NUMBER.fullmatch(value) is None:
        raise FilterError(f"{field}{sign}{value[:40]}: expected a number after {sign}")
    compare, get, wanted = _COMPARE[sign], _NUMBERS[field], float(value)
    return lambda exchange: compare(get(exchange), wanted)


def _text_test(field: str, sign: str, value: str) -> Test:
    if sign not in _FIND:
        raise FilterError(f"{field} is a text: compare it by {' '.join(_FIND)}, not by {sign}")
    known = _VALUES.get(field)
    if known and sign in ("=", "!=") and value and "*" not in value and value.lower() not in known:
        raise FilterError(f"{field}{sign}{value[:40]}: expected one of {', '.join(known)}")
    pattern = value.lower()
    if sign in ("~", "!~"):
        pattern = f"{'*' * (not pattern.startswith('^'))}{pattern.removeprefix('^')}"
        pattern = f"{pattern.removesuffix('$')}{'*' * (not pattern.endswith('$'))}"
    holds = _matching(pattern)
    wanted = not sign.startswith("!")
    if field in _SEVERAL:
        several = _SEVERAL[field]
        return lambda exchange: any(holds(each.lower()) for each in several(exchange)) is wanted
    get = _SINGLE[field]
    return lambda exchange: holds(get(exchange).lower()) is wanted


def _matching(pattern: str) -> Callable[[str], bool]:
    """Tell whether a text is the pattern, in which `*` stands for anything.

    What stands between two stars is looked for from left to right, and the first place is as good as any other. So the
    time is bounded by the text's length for each piece.
    """
    first, *pieces = pattern.split("*")
    if not pieces:
        return pattern.__eq__
    last = pieces.pop()

    def matches(text: str) -> bool:
        if len(text) < len(first) + len(last) or not (text.startswith(first) and text.endswith(last)):
            return False
        at, end = len(first), len(text) - len(last)
        for piece in pieces:
            found = text.find(piece, at, end)
            if found < 0:
                return False
            at = found + len(piece)
        return True

    return matches


def _caller(exchange: Exchange) -> Iterable[str]:
    host, colon, _ = exchange.peer.rpartition(":")
    return (exchange.peer, host.strip("[]")) if colon else (exchange.peer,)


def _attempted(exchange: Exchange, of: str) -> Iterable[str]:
    return [getattr(attempt, of).show() for attempt in exchange.attempts] or ("",)


_SINGLE: Final[dict[str, Callable[[Exchange], str]]] = {
    "service": lambda exchange: exchange.name or "",
    "router": lambda exchange: exchange.router,
    "server": lambda exchange: exchange.server,
    "method": lambda exchange: show_bytes(exchange.method),
    "host": lambda exchange: show_bytes(exchange.authority),
    "path": lambda exchange: show_bytes(exchange.path.partition(b"?")[0]),
    "url": url,
    "blame": lambda exchange: blame(exchange) or "",
    "error": lambda exchange: exchange.error or "",
    "classification": classification,
    "identity": lambda exchange: exchange.identity or "",
    "verdict": lambda exchange: "" if exchange.policy is None else exchange.policy.verdict,
    "policy": lambda exchange: "" if exchange.policy is None else exchange.policy.rule,
    "id": lambda exchange: request_id(exchange.trace).decode(),
}
"""Fields that are text. A path is without its query, which `url` has; `policy` is the rule that decided."""

_SEVERAL: Final[dict[str, Callable[[Exchange], Iterable[str]]]] = {
    "caller": _caller,
    "client": lambda exchange: _attempted(exchange, "client"),
    "endpoint": lambda exchange: _attempted(exchange, "endpoint"),
    "transport": lambda exchange: [each.transport.kind for each in exchange.attempts if each.transport] or ("",),
}
"""Fields of which a request may have several texts, and has at least one."""

_NUMBERS: Final[dict[str, Callable[[Exchange], float]]] = {
    "status": lambda exchange: exchange.status,
    "ms": lambda exchange: (exchange.ended_at - exchange.received_at) * 1000,
    "attempts": lambda exchange: len(exchange.attempts),
    "sent": lambda exchange: exchange.sent,
    "received": lambda exchange: exchange.received,
}
"""Fields that are numbers; `ms` is all the time that it took."""

_VALUES: Final[dict[str, tuple[str, ...]]] = {
    # A value has no space in it, so this one is written with a star: no*endpoint.
    "blame": tuple(dict.fromkeys(each.replace(" ", "*") for each in BLAME.values())),
    "error": tuple(BLAME),
    "classification": ("success", "failure"),
    "transport": ("mtls", "tls", "plain"),
    "verdict": VERDICTS,
}
"""What some fields can be, so that a slip of the pen does not pass for silence."""
