"""The documents that explain a name, as the admin pages give them: typed, and with no more than is used here. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import msgspec


class NodeState(msgspec.Struct, frozen=True):
    """What a running agent knows of an endpoint; `load` is in the unit of its balancer, `priority` 0 is the best."""

    endpoint: str
    health: str
    load: float
    pending: int
    ejections: int
    reason: str | None = None
    kept: bool = False
    error: str | None = None
    priority: int = 0
    zone: str | None = None
    transport: str | None = None


class RefusedEndpoint(msgspec.Struct, frozen=True):
    """An address that is not connected to, and why."""

    endpoint: str
    error: str


class BoundLeaf(msgspec.Struct, frozen=True, kw_only=True):
    """A concrete name that traffic may go to, with its share of it; `addr` is bound, neg, pending or failed.

    `age` and what follows it are as in nodeagent.explanation.Freshness.
    """

    id: str
    residual: str
    weight: float
    addr: str
    endpoints: tuple[str, ...]
    agents: dict[str, str] = msgspec.field(default_factory=dict)
    refused: tuple[RefusedEndpoint, ...] = ()
    version: int = 0
    age: float | None = None
    stale: float = 0.0
    error: str | None = None
    next_attempt: float | None = None
    state: tuple[NodeState, ...] = ()


class Doubt(msgspec.Struct, frozen=True):
    """A name that is not known yet (`pending`), or is not there by a source that something is wrong with (`neg`)."""

    path: str
    state: str
    age: float | None = None
    stale: float = 0.0
    error: str | None = None


class Step(msgspec.Struct, frozen=True):
    """One rewrite."""

    path: str
    dentry: str
    to: str


class TriedRule(msgspec.Struct, frozen=True):
    """What a rule of a policy has to do with a request; `fits` is yes, no or maybe."""

    rule: str
    action: str
    decides: bool
    fits: str
    why: str


class Judgement(msgspec.Struct, frozen=True):
    """Whether somebody may ask for it, and by which rule. A tunnel has no path."""

    caller: str = msgspec.field(name="as")
    method: str
    url_path: str
    verdict: str
    rule: str
    rules: tuple[TriedRule, ...]


class Explanation(msgspec.Struct, frozen=True):
    """What a name is bound to; `outcome` is bound, neg, empty, fail or error. `left` are met and get no traffic.

    `dtab_error` is why the router's table is only the last good one.
    """

    name: str
    outcome: str
    bound: tuple[BoundLeaf, ...]
    error: str | None
    steps: tuple[Step, ...]
    left: tuple[BoundLeaf, ...] = ()
    doubts: tuple[Doubt, ...] = ()
    dtab_error: str | None = None
    dtab_age: float | None = None
    policy: Judgement | None = None

    @property
    def unknown(self) -> tuple[str, ...]:
        """What is not known yet, so that all the rest may be otherwise in a moment."""
        return tuple(doubt.path for doubt in self.doubts if doubt.state == "pending")


class Dentry(msgspec.Struct, frozen=True):
    """The rule that led to a node."""

    prefix: str
    dst: str


class _Node(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    path: str
    dentry: Dentry | None = None


class Delegate(_Node, frozen=True, kw_only=True, tag="delegate"):
    """A name that is rewritten to one other."""

    delegate: Node


class Alternatives(_Node, frozen=True, kw_only=True, tag="alt"):
    """A name with alternatives, best first."""

    alt: tuple[Node, ...]


class Branch(msgspec.Struct, frozen=True):
    """A part of a union."""

    weight: float
    tree: Node


class Union(_Node, frozen=True, kw_only=True, tag="union"):
    """A name that is split by weight."""

    union: tuple[Branch, ...]


class LeafAddress(msgspec.Struct, frozen=True):
    """What was known of where it is served: bound, neg, pending or failed."""

    type: str


class LeafName(msgspec.Struct, frozen=True):
    """What a leaf is bound to; `path` is the residual."""

    id: str
    path: str
    addr: LeafAddress


class Leaf(_Node, frozen=True, kw_only=True, tag="leaf"):
    """A name that is bound."""

    bound: LeafName


class Neg(_Node, frozen=True, kw_only=True, tag="neg"):
    """A name that nothing knows."""


class Fail(_Node, frozen=True, kw_only=True, tag="fail"):
    """A name that must not be served."""


class Empty(_Node, frozen=True, kw_only=True, tag="empty"):
    """A name that nobody serves."""


class Failed(_Node, frozen=True, kw_only=True, tag="exception"):
    """A name that could not be followed."""

    message: str


Node: TypeAlias = Delegate | Alternatives | Union | Leaf | Neg | Fail | Empty | Failed


class TextValue(msgspec.Struct, frozen=True):
    """A text of the effective configuration."""

    value: str


class Interpreter(msgspec.Struct, frozen=True):
    """Where a router's table comes from; only the kind "default" means its own dtab alone."""

    kind: TextValue


class RouterNames(msgspec.Struct, frozen=True):
    """What a router's configuration says of names."""

    label: TextValue
    dtab: TextValue
    interpreter: Interpreter


class Configuration(msgspec.Struct, frozen=True):
    """The effective configuration, as `/config.json` has it."""

    routers: tuple[RouterNames, ...]


EXPLANATION = msgspec.json.Decoder(Explanation)
DELEGATION: msgspec.json.Decoder[Node] = msgspec.json.Decoder(Node)
CONFIGURATION = msgspec.json.Decoder(Configuration)


def leaves_of(node: Node) -> Iterator[Leaf]:
    """The bound names below a node, in order."""
    match node:
        case Delegate():
            yield from leaves_of(node.delegate)
        case Alternatives():
            for child in node.alt:
                yield from leaves_of(child)
        case Union():
            for branch in node.union:
                yield from leaves_of(branch.tree)
        case Leaf():
            yield node


def state_of(node: Node) -> str:
    """What a node comes to when a request is bound: bound, neg, empty, fail or error."""
    match node:
        case Delegate():
            return state_of(node.delegate)
        case Alternatives():
            return next((state for state in map(state_of, node.alt) if state != "neg"), "neg")
        case Union():
            states = [state_of(branch.tree) for branch in node.union]
            return next((state for state in ("bound", "empty", "error") if state in states), "neg")
        case Leaf():
            return "bound"
        case Neg():
            return "neg"
        case Fail():
            return "fail"
        case Empty():
            return "empty"
        case Failed():
            return "error"
