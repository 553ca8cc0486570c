"""What an authorizer is told of a call, and what its answers mean. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

import msgspec

from nodeagent.policy.call import Call

Told: TypeAlias = tuple[tuple[str, Any], ...]
"""Names and values; the same for questions that are the same."""

MAX_REASON: Final = 200
"""Characters of a reason that are kept."""

MAX_CHALLENGE: Final = 2048
"""Characters of a challenge that is passed on; a longer one is none."""

_UNFIT: Final = re.compile(r"[^\x20-\x7e\x80-\xff]")


class UnclearError(ValueError):
    """A call is not to be understood in one way only, so nobody could answer for it."""


class NoAnswerError(Exception):
    """Whoever is asked cannot say; the message says why."""


class UselessAnswerError(ValueError):
    """It is no answer that says yes or no."""


@dataclass(frozen=True, slots=True)
class Question:
    """A request over HTTP."""

    method: str
    path: str
    headers: Mapping[str, str]
    content: bytes | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What an authorizer says."""

    allowed: bool
    reason: str = ""
    fields: tuple[tuple[str, str], ...] = ()
    """To be sent on with the request."""
    challenge: str | None = None
    """Of a refusal for want of credentials: what the caller has to show."""


class Asking(Protocol):
    """How an authorizer is asked."""

    takes: tuple[str, ...]
    """Fields of requests that are its own to say, in lower case."""

    def question(self, told: Told) -> Question:
        """Return what to send."""
        ...

    def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> Answer:
        """Read what came back. Raises UselessAnswerError."""
        ...


def told_of(call: Call, inputs: Sequence[str], headers: Sequence[str]) -> Told:
    """Return what is told of a call. Raises UnclearError."""
    told: list[tuple[str, Any]] = [(name, _value(call, name)) for name in inputs]
    if "path" in inputs:
        told.append(("segments", call.segments))  # None where its path has no one meaning
    for name in headers:
        values = call.values(name.lower().encode())
        if values is None:
            raise UnclearError(f"{name} is there with an underscore, which some servers take for it")
        told.append((f"header {name.lower()}", tuple(value.decode("latin-1") for value in values)))
    return tuple(told)


def _value(call: Call, name: str) -> str | int | None:
    head = call.head
    match name:
        case "identity":
            return call.identity
        case "user":
            return call.caller.uid
        case "cgroup":
            return call.caller.cgroup
        case "address":
            address = call.address
            return None if address is None else str(address)
        case "service":
            return call.name.show()
        case "method":
            return head.method.decode("latin-1")
        case "path":
            return head.path.partition(b"?")[0].decode("latin-1")
        case "query":
            return head.path.partition(b"?")[2].decode("latin-1")
        case _:
            return head.authority.decode("latin-1")


class OpaProtocol:
    """Open Policy Agent's Data API: `POST /v1/data/PATH` with `{"input": ...}`."""

    takes: tuple[str, ...] = ()

    def __init__(self, path: str, base: str = "") -> None:
        """`path` is that of the rule, below `base`."""
        self._path = f"{base}/v1/data/{path}"

    def question(self, told: Told) -> Question:
        """As of `Asking`."""
        headers = {name.removeprefix("header "): value for name, value in told if name.startswith("header ")}
        document = {name: value for name, value in told if not name.startswith("header ")}
        if headers:
            document["headers"] = headers
        content = msgspec.json.encode({"input": document})
        return Question("POST", self._path, {"content-type": "application/json"}, content)

    def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> Answer:  # noqa: ARG002
        """As of `Asking`."""
        if not 200 <= status < 300:
            raise UselessAnswerError(f"it answers {status}")
        try:
            document = msgspec.json.decode(body, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise UselessAnswerError("its answer is no JSON object") from None
        match document.get("result"):
            case None:
                return Answer(False, "its rules say nothing of this")
            case bool(allowed):
                return Answer(allowed)
            case {"allow": bool(allowed), **others}:
                reason = others.get("reason")
                return Answer(allowed, _plain(reason) if isinstance(reason, str) else "")
            case _:
                raise UselessAnswerError("its result is neither true nor false, nor an object with allow")


class HttpProtocol:
    """A program that answers by its status."""

    def __init__(self, path: str, takes: Sequence[str]) -> None:
        self._path = path
        self.takes = tuple(name.lower() for name in takes)

    def question(self, told: Told) -> Question:
        """As of `Asking`."""
        values = dict(told)
        uri = values.get("path")
        if uri is not None and values.get("query"):
            uri = f"{uri}?{values['query']}"
        fields = {
            "l5d-client-id": values.get("identity"),
            "l5d-client-uid": values.get("user"),
            "l5d-client-cgroup": values.get("cgroup"),
            "l5d-dst-service": values.get("service"),
            "x-forwarded-for": values.get("address"),
            "x-forwarded-host": values.get("host"),
            "x-forwarded-method": values.get("method"),
            "x-forwarded-uri": uri,
        }
        headers = {name: str(value) for name, value in fields.items() if value is not None}
        for name, value in told:
            field = name.removeprefix("header ")
            if field != name and value and field not in fields:  # what is ours nobody else says
                headers[field] = ", ".join(value)
        return Question("GET", self._path, headers)

    def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> Answer:  # noqa: ARG002
        """As of `Asking`. `headers` are by names in lower case."""
        if 200 <= status < 300:
            found = ((name, headers.get(name)) for name in self.takes)
            return Answer(True, "", tuple((name, _plain(value)) for name, value in found if value is not None))
        if status in (401, 403):
            return Answer(False, f"it answers {status}", challenge=_challenge(headers) if status == 401 else None)
        raise UselessAnswerError(f"it answers {status}")


class Remembered:
    """Answers by their questions, each for a time. Bounded: what is one too many makes it start over."""

    def __init__(self, ttl: float, entries: int) -> None:
        """`ttl` in seconds; 0 remembers nothing."""
        self._ttl = ttl
        self._entries = entries
        self._found: dict[Told, tuple[float, Answer]] = {}

    def get(self, told: Told, now: float) -> Answer | None:
        """Return the answer that still holds."""
        found = self._found.get(told)
        return None if found is None or found[0] <= now else found[1]

    def put(self, told: Told, answer: Answer, now: float) -> None:
        """Remember an answer from now on."""
        if self._ttl > 0:
            if len(self._found) >= self._entries:
                self._found.clear()
            self._found[told] = (now + self._ttl, answer)

    def __len__(self) -> int:
        return len(self._found)


def _challenge(headers: Mapping[str, str]) -> str | None:
    text = headers.get("www-authenticate", "").strip()
    return text if 0 < len(text) <= MAX_CHALLENGE and text.isascii() and text.isprintable() else None


def _plain(text: str) -> str:
    return _UNFIT.sub("?", text)[:MAX_REASON]
