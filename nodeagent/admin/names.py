"""How names resolve: `/delegator.json`, as linkerd 1.x has it, and `/explain.json`.

The two take a dtab in different ways. The delegator's is the whole table, so that a table can be tried before
it is configured, and without one it draws the router's own. What explain is given comes after the router's own
dentries, hence goes before them, as the `l5d-dtab` header of a request would.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Final, TypeVar

import msgspec
import trio
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from balancer.statistics import BalancerStatistics
from namer.addr import AddrBound
from namer.cell import Cell
from namer.delegation import AltNode, DelegateNode, LeafNode, Node, UnionNode, delegate
from namer.dtab import Dtab
from namer.dtabcell import DtabState
from namer.grammar import NameSyntaxError
from namer.namer import Failure, Pending
from namer.path import Path
from nodeagent.admin.answers import JsonAnswer
from nodeagent.admin.view import RouterView
from nodeagent.explain import explain_any, known_within, names_of, with_live_state
from nodeagent.explanation import Json
from nodeagent.proxy.bind import Bindings

PATIENCE: Final = 2.0
"""Seconds that discovery gets to answer; linkerd's."""

MAX_BODY: Final = 256 * 1024
"""Bytes of a question that comes as JSON."""

BODY_TIME: Final = 5.0
"""Seconds within which all of that has to come."""

MAX_TREE_CHARS: Final = 8_000_000
"""How much text a delegation tree may hold: each node repeats its name and its dentry."""


T = TypeVar("T")


class Question(msgspec.Struct, frozen=True):
    """What is asked of the delegator; `namespace` is the label of a router, by default the first."""

    path: str
    dtab: str | None = None
    namespace: str | None = None


async def delegator(request: Request, routers: Sequence[RouterView]) -> JsonAnswer:
    """Answer GET with a query, or POST with the same as a JSON object.

    Raises HTTPException: 400 for a path or dtab that does not parse, 404 for an unknown router, 413 and 415 for
    a body that is too long or no JSON, 503 when discovery has not answered in time, or the router has no table.
    """
    question = await _posted(request) if request.method == "POST" else _queried(request)
    bindings = _router(routers, question.namespace).router.bindings
    path = _parsed("path", lambda: Path.parse(question.path))
    given = question.dtab
    dtab = await _own_dtab(bindings) if given is None else _parsed("dtab", lambda: Dtab.parse(given))
    delegation = await known_within(PATIENCE, lambda: delegate(path, dtab, bindings.namers))
    if delegation.pending:
        raise HTTPException(503, f"{path.show()}: discovery has not answered within {PATIENCE:g} s")
    if _text_of(delegation.tree, {}) > MAX_TREE_CHARS:
        raise HTTPException(400, f"{path.show()}: its delegation tree is too large to show")
    return JsonAnswer(delegation.tree.to_json())


async def explanation(request: Request, routers: Sequence[RouterView]) -> JsonAnswer:
    """Answer what a name or URL resolves to in a router, with the live state of the endpoints it has called.

    Raises HTTPException as the delegator does, but for 503: an explanation says itself what is not known.
    """
    asked = request.query_params
    router = _router(routers, asked.get("router"))
    bindings = router.router.bindings
    text = _path_text(request)
    names = _parsed("path", lambda: names_of(text, router.router.prefix))
    local = _parsed("dtab", lambda: Dtab.parse(asked.get("dtab", "")))
    explained = await explain_any(
        bindings.namers,
        table_of(bindings),
        names,
        local=local,
        timeout=PATIENCE,
        assess=bindings.assess,
        guard=bindings.guard,
    )
    shown = with_live_state(explained, _statistics_of(bindings)).to_json()
    if who := asked.get("as"):
        shown["policy"] = _judged(
            router, who, explained.name, text, asked.get("method", "GET"), led_on=bool(local.dentries)
        )
    return JsonAnswer(shown)


def _judged(router: RouterView, who: str, name: Path, text: str, method: str, *, led_on: bool) -> Json:
    from nodeagent.policy.questions import head_of, judged  # imported here, because few ask

    permits = router.router.permits
    try:
        return judged(None if permits is None else permits.rules, who, name, head_of(text, method), led_on=led_on)
    except ValueError as error:
        raise HTTPException(400, f"as: {error}") from None


def table_of(bindings: Bindings) -> Cell[DtabState]:
    """The router's table, with its age and what went wrong with it."""
    return bindings.table


async def _own_dtab(bindings: Bindings) -> Dtab:
    """Return the router's table. Raises HTTPException 503 when there is none."""
    with trio.move_on_after(PATIENCE):
        await bindings.wait_dtab()
    match table_of(bindings).value:
        case Dtab() as dtab:
            return dtab
        case Failure(reason):
            raise HTTPException(503, reason)
        case Pending():
            raise HTTPException(503, f"the router's dtab was not there within {PATIENCE:g} s")


def _statistics_of(bindings: Bindings) -> Callable[[Path], BalancerStatistics | None]:
    """What the balancer of a concrete name says, asked once for each."""

    @functools.cache
    def statistics(id_: Path) -> BalancerStatistics | None:
        client = bindings.clients.named(id_)
        return None if client is None else client.balancer.statistics()

    return statistics


def _router(routers: Sequence[RouterView], label: str | None) -> RouterView:
    if not label:
        return routers[0]
    for router in routers:
        if router.label == label:
            return router
    raise HTTPException(404, f"there is no router {label!r}; there are {', '.join(r.label for r in routers)}")


def _queried(request: Request) -> Question:
    asked = request.query_params
    return Question(_path_text(request), asked.get("dtab"), asked.get("namespace"))


def _path_text(request: Request) -> str:
    text = request.query_params.get("path")
    if text is None:
        raise HTTPException(400, "no path is given: ask with ?path=/svc/users")
    return text


async def _posted(request: Request) -> Question:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "the body must be application/json")
    try:
        return msgspec.json.decode(await read_body(request), type=Question)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise HTTPException(400, f"the body is no delegation request: {error}") from None


async def read_body(request: Request) -> bytes:
    """Read the body of a question. Raises HTTPException when it is too long, too slow, or ends early."""
    body = bytearray()
    with trio.move_on_after(BODY_TIME):
        try:
            async with aclosing(request.stream()) as chunks:
                async for chunk in chunks:
                    body += chunk
                    if len(body) > MAX_BODY:
                        raise HTTPException(413, f"the body is longer than {MAX_BODY} bytes")
        except ClientDisconnect:
            raise HTTPException(400, "the body ended early") from None
        return bytes(body)
    raise HTTPException(408, f"the body has not come within {BODY_TIME:g} s")


def _parsed(what: str, parse: Callable[[], T]) -> T:
    try:
        return parse()
    except NameSyntaxError as error:
        raise HTTPException(400, f"{what}: {error}") from None


def _text_of(node: Node, dentries: dict[int, int]) -> int:
    """Roughly how many characters a tree takes as JSON; `dentries` remembers those of each dentry, by identity."""
    size = 100 + (sum(map(len, node.path.labels)) if node.path is not None else 0)
    if node.dentry is not None:
        key = id(node.dentry)
        if key not in dentries:
            dentries[key] = len(node.dentry.show())
        size += dentries[key]
    match node:
        case DelegateNode():
            return size + _text_of(node.delegate, dentries)
        case AltNode():
            return size + sum(_text_of(each, dentries) for each in node.alternatives)
        case UnionNode():
            return size + sum(_text_of(tree, dentries) for _, tree in node.branches)
        case LeafNode(addr=AddrBound(endpoints)):
            return size + 60 * len(endpoints)
        case _:
            return size
