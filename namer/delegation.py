"""The delegation tree: how a name is delegated, drawn in full, for people.

Unlike binding, which stops at the first alternative that holds, this follows every branch, so what it draws
is more than what a request tries. The nodes, and the JSON they become, are those of linkerd 1.x's
`/delegator.json` (`io.buoyant.namer.DelegateTree`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from namer.addr import Addr, AddrBound, AddrFailed, AddrNeg, AddrPending, Endpoint
from namer.binding import Namers, rules_for, unique
from namer.cell import Cell
from namer.dtab import Dentry, Dtab
from namer.limits import MAX_DEPTH, LimitExceededError, check_limits, extend, too_deep
from namer.namer import Bound, Failure, Pending
from namer.nametree import Alt, Empty, Fail, Leaf, NameTree, Neg, Union
from namer.nametree import show as show_tree
from namer.path import Path

Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class DelegateNode:
    """A name that is rewritten to one other."""

    path: Path
    dentry: Dentry | None
    delegate: Node

    def to_json(self) -> Json:
        """This node and all below."""
        return {**_head("delegate", self.path.show(), self.dentry), "delegate": self.delegate.to_json()}


@dataclass(frozen=True, slots=True)
class AltNode:
    """A name with alternatives, best first."""

    path: Path
    dentry: Dentry | None
    alternatives: tuple[Node, ...]

    def to_json(self) -> Json:
        """This node and all below."""
        below = [each.to_json() for each in self.alternatives]
        return {**_head("alt", self.path.show(), self.dentry), "alt": below}


@dataclass(frozen=True, slots=True)
class UnionNode:
    """A name that is split by weight."""

    path: Path
    dentry: Dentry | None
    branches: tuple[tuple[float, Node], ...]

    def to_json(self) -> Json:
        """This node and all below."""
        below = [{"weight": weight, "tree": tree.to_json()} for weight, tree in self.branches]
        return {**_head("union", self.path.show(), self.dentry), "union": below}


@dataclass(frozen=True, slots=True)
class LeafNode:
    """A name that is bound, with the addresses it had when the tree was drawn."""

    path: Path
    dentry: Dentry | None
    bound: Bound
    addr: Addr

    def to_json(self) -> Json:
        """This node."""
        bound = {"addr": _addr(self.addr), "id": self.bound.id.show(), "path": self.bound.residual.show()}
        return {**_head("leaf", self.path.show(), self.dentry), "bound": bound}


@dataclass(frozen=True, slots=True)
class NegNode:
    """A name that nothing knows; `path` is None where a rule says so, with `~`."""

    path: Path | None
    dentry: Dentry | None

    def to_json(self) -> Json:
        """This node."""
        return _head("neg", self.path.show() if self.path is not None else "~", self.dentry)


@dataclass(frozen=True, slots=True)
class FailNode:
    """A name that must not be served; `path` is None where a rule says so, with `!`."""

    path: Path | None
    dentry: Dentry | None

    def to_json(self) -> Json:
        """This node."""
        return _head("fail", self.path.show() if self.path is not None else "!", self.dentry)


@dataclass(frozen=True, slots=True)
class EmptyNode:
    """A name that nobody serves."""

    path: Path
    dentry: Dentry | None

    def to_json(self) -> Json:
        """This node."""
        return _head("empty", self.path.show(), self.dentry)


@dataclass(frozen=True, slots=True)
class ExceptionNode:
    """A name that could not be followed, and why."""

    path: Path
    dentry: Dentry | None
    message: str

    def to_json(self) -> Json:
        """This node."""
        return {**_head("exception", self.path.show(), self.dentry), "message": self.message}


Node: TypeAlias = DelegateNode | AltNode | UnionNode | LeafNode | NegNode | FailNode | EmptyNode | ExceptionNode


@dataclass(frozen=True, slots=True)
class Delegation:
    """The tree as far as it is known.

    While it is `pending`, some of what `cells` hold is not known yet: subscribe to them and draw it again.
    """

    tree: Node
    cells: tuple[Cell[Any], ...]
    pending: bool


def delegate(path: Path, dtab: Dtab, namers: Namers) -> Delegation:
    """Draw how a name is delegated, by what is known now."""
    delegator = _Delegator(dtab, namers)
    try:
        tree = delegator.follow(path, None, depth=0, nesting=0)
    except LimitExceededError as problem:
        tree = ExceptionNode(path, None, str(problem))
    return Delegation(tree, unique(delegator.cells), delegator.pending)


class _Delegator:
    """Draws one tree; `depth` and `nesting` as in binding."""

    def __init__(self, dtab: Dtab, namers: Namers) -> None:
        self._dtab = dtab
        self._namers = namers
        self._drawn = 0
        self.cells: list[Cell[Any]] = []
        self.pending = False

    def follow(self, path: Path, dentry: Dentry | None, depth: int, nesting: int) -> Node:
        """Draw a path that `dentry` led to."""
        if depth >= MAX_DEPTH:
            return ExceptionNode(path, dentry, too_deep(path).reason)
        rules = rules_for(path, self._dtab)
        if rules is None:
            return self._ask_namers(path, dentry, depth, nesting)
        below = [self._draw(rule.dst, rule.residual(path), (path, rule), depth + 1, nesting) for rule in rules]
        if len(below) == 1:
            return _delegate_to(path, dentry, below[0])
        return AltNode(path, dentry, _flattened(path, below))

    def _draw(
        self,
        tree: NameTree[Path | Bound],
        residual: Path,
        at: tuple[Path, Dentry | None],
        depth: int,
        nesting: int,
    ) -> Node:
        """Draw the tree that the path and dentry of `at` came to, with `residual` behind each path in it."""
        self._drawn += 1
        check_limits(self._drawn, nesting)
        match tree:
            case Leaf(value):
                if isinstance(value, Bound):
                    return self._leaf(value, *at)
                return self.follow(extend(value, residual), at[1], depth, nesting)
            case Alt(trees):
                return AltNode(*at, tuple(self._draw(each, residual, at, depth, nesting + 1) for each in trees))
            case Union(branches):
                drawn = [self._draw(each.tree, residual, at, depth, nesting + 1) for each in branches]
                return UnionNode(*at, tuple(zip((each.weight for each in branches), drawn, strict=True)))
            case Neg():
                return NegNode(None, at[1])
            case Fail():
                return FailNode(None, at[1])
            case Empty():
                return EmptyNode(*at)

    def _ask_namers(self, path: Path, dentry: Dentry | None, depth: int, nesting: int) -> Node:
        for _, cell in self._namers.lookup(path):
            self.cells.append(cell)
            match cell.value:
                case Neg():
                    continue
                case Pending():
                    self.pending = True
                    return ExceptionNode(path, dentry, "not known yet")
                case Failure(reason):
                    return ExceptionNode(path, dentry, reason)
                case Fail():
                    return FailNode(path, dentry)
                case tree:
                    return self._draw(tree, Path(), (path, dentry), depth + 1, nesting)
        return NegNode(path, dentry)

    def _leaf(self, bound: Bound, path: Path, dentry: Dentry | None) -> LeafNode:
        self.cells.append(bound.addr)
        self.pending |= isinstance(bound.addr.value, AddrPending)
        return LeafNode(path, dentry, bound, bound.addr.value)


def _delegate_to(path: Path, dentry: Dentry | None, below: Node) -> Node:
    """A node above `below`, unless that already stands for the same path."""
    if isinstance(below, (NegNode, FailNode, EmptyNode)) or below.path != path:
        return DelegateNode(path, dentry, below)
    return replace(below, dentry=dentry)


def _flattened(path: Path, nodes: Sequence[Node]) -> tuple[Node, ...]:
    """The nodes, with the alternatives of those that only list alternatives for the same path."""
    flat: list[Node] = []
    for node in nodes:
        flat.extend(node.alternatives if isinstance(node, AltNode) and node.path == path else (node,))
    return tuple(flat)


def _head(kind: str, path: str, dentry: Dentry | None) -> Json:
    head: Json = {"type": kind, "path": path}
    if dentry is not None:
        head["dentry"] = {"prefix": dentry.prefix.show(), "dst": show_tree(dentry.dst)}
    return head


def _addr(addr: Addr) -> Json:
    match addr:
        case AddrPending():
            return {"type": "pending"}
        case AddrNeg():
            return {"type": "neg"}
        case AddrFailed(reason):
            return {"type": "failed", "cause": reason}
        case AddrBound(endpoints):
            return {"type": "bound", "addrs": [_endpoint(each) for each in endpoints], "meta": {}}


def _endpoint(endpoint: Endpoint) -> Json:
    meta: Json = dict(endpoint.meta)
    if endpoint.weight != 1.0:
        meta["endpoint_addr_weight"] = endpoint.weight
    return {"ip": endpoint.host, "port": endpoint.port, "meta": meta}
