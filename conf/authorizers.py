"""Whom rules ask: programs that say whether a request may be sent on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Final

from msgspec import Meta

from conf.fields import Count, HeaderName, Millis, MillisFromZero, Reader, about, one_of
from conf.section import Kinded
from conf.tracing import Url

INPUTS: Final = ("identity", "user", "cgroup", "address", "service", "method", "path", "query", "host")

_DATA_PATH: Final = re.compile(r"[A-Za-z0-9_]+(/[A-Za-z0-9_]+)*")
_OWNED: Final = re.compile(
    "l5d-.*|connection|content-length|expect|forwarded|host|keep-alive|max-forwards|proxy-connection|te|trailer|"
    "transfer-encoding|upgrade|via|x-forwarded-client-cert"
)


def _data_path(text: str) -> str:
    if not _DATA_PATH.fullmatch(text):
        raise ValueError
    return text


DataPath = Annotated[str, Meta(extra={"reader": Reader("a path below /v1/data, such as mesh/authz/allow", _data_path)})]
AuthorizerName = Annotated[str, Meta(min_length=1, max_length=64, pattern="^[A-Za-z0-9._-]+$")]


class Authorizer(Kinded, frozen=True, kw_only=True):
    """Whom rules of the router ask, by `action: ask`.

    It is told what `input` and `headers` list and nothing else. So an answer that is remembered is that to the same
    question.
    """

    name: Annotated[AuthorizerName, about("What rules, metrics and logs call it; unique.", like="none")]
    url: Annotated[Url, about("Where it is asked. A redirect is no answer.", like="none")]
    input: Annotated[
        tuple[Annotated[str, one_of(*INPUTS)], ...],
        about("What it is told of a request.", why="what most rules are about", like="none"),
    ] = ("identity", "user", "address", "service", "method", "path")
    headers: Annotated[
        tuple[HeaderName, ...],
        about("Headers of the request that it is told.", why="they may hold secrets", like="Envoy's `allowed_headers`"),
    ] = ()
    timeout_ms: Annotated[
        Millis,
        about("How long an answer is waited for, with the connection.", why="callers wait with it", like="Envoy: 200"),
    ] = 500
    max_pending: Annotated[
        Count,
        about(
            "Questions under way at once; one more has no answer.", why="one that hangs holds up no more", like="none"
        ),
    ] = 256
    cache_ttl_ms: Annotated[
        MillisFromZero,
        about(
            "How long an answer holds for the same question; 0: it is asked each time.",
            why="it may change",
            like="none",
        ),
    ] = 0
    cache_entries: Annotated[
        Count, about("Answers that are remembered; one more makes it start over.", why="some 3 MB", like="none")
    ] = 10_000


class Opa(Authorizer, frozen=True, tag="io.l5d.opa", kw_only=True):
    """Open Policy Agent, by `POST /v1/data/...`.

    `result` of its answer is `true` or `false`, or an object with `allow` and, if it likes, `reason`. Where there is
    none, as its rules say nothing of such a request, it is denied.
    """

    path: Annotated[DataPath, about("The rule to ask for, with its package.", like="none")]


class HttpAuthorizer(Authorizer, frozen=True, tag="io.l5d.httpAuthz", kw_only=True):
    """A program that is asked by `GET`: 2XX allows, 401 and 403 deny, all else is no answer.

    A 401 is passed on together with its `WWW-Authenticate`, if it has one. All else that is denied is answered 403.

    What it is told are fields: `l5d-client-id` (identity), `l5d-client-uid` (user), `l5d-client-cgroup` (cgroup),
    `l5d-dst-service` (service) and `X-Forwarded-For`, `-Host`, `-Method`, `-Uri` (address, host, method, path with the
    query if that is told).
    """

    takes: Annotated[
        tuple[HeaderName, ...],
        about(
            "Headers of its answer that are sent on with the request, in place of those that the caller has sent.",
            why="none are needed to decide",
            like="Traefik's `authResponseHeaders`",
        ),
    ] = ()

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Fields that are the agent's own."""
        for name in self.takes:
            if _OWNED.fullmatch(name.lower().replace("_", "-")):
                yield "takes", f"{name} is a field that only the agent writes"


AnyAuthorizer = Opa | HttpAuthorizer
