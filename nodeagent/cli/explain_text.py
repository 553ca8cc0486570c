"""An explanation for people: how a name was rewritten, as a tree, and where its traffic goes. Pure.

    /svc/web: bound
    /svc/web
    ├─ /srv/web-next               /svc/web => /srv/web-next | /srv/web-v1   left
    │  └─ /#/io.l5d.fs/web-next    /srv => /#/io.l5d.fs                      nothing by that name
    └─ /srv/web-v1                 /svc/web => /srv/web-next | /srv/web-v1   taken
       └─ /#/io.l5d.fs/web-v1      /srv => /#/io.l5d.fs                      bound
             127.0.0.1:8081   alive, 0 in flight, load 0.004, 0 ejections

Each line has a name, the rule that led to it, and what came of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nodeagent.cli.explain_documents import (
    Alternatives,
    BoundLeaf,
    Delegate,
    Doubt,
    Empty,
    Explanation,
    Fail,
    Failed,
    Leaf,
    Neg,
    Node,
    NodeState,
    Union,
    leaves_of,
    state_of,
)

OUTCOMES = {
    "bound": "bound",
    "neg": "neg: nothing is known by this name; a request gets 502",
    "empty": "empty: the name is bound to nobody; a request gets 502",
    "fail": "fail: the dtab refuses this name; a request gets 502",
    "error": "error",
}
ALTERNATIVES = {
    "neg": "left",
    "bound": "taken",
    "empty": "taken",
    "fail": "ends here",
    "error": "ends here",
}

MAX_COLUMN = 50
"""What is longer sticks out of its column, rather than to widen it for all."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line: a name behind its branches, the rule that led to it, and what came of it; or a remark below one."""

    name: str
    rule: str = ""
    verdict: str = ""
    is_remark: bool = False


def render(explanation: Explanation, delegation: Node | None) -> str:
    """The whole answer, as lines; without a delegation, the steps that were tried and where they led."""
    error = f": {explanation.error}" if explanation.error else ""
    heading = f"{explanation.name}: {OUTCOMES.get(explanation.outcome, explanation.outcome)}{error}"
    rows = _steps(explanation) if delegation is None else _Tree(explanation).rows(delegation)
    return "\n".join((*_dtab(explanation), heading, *_unknown(explanation), *_aligned(list(rows))))


def _dtab(explanation: Explanation) -> Iterator[str]:
    if explanation.dtab_error is not None:
        age = "" if explanation.dtab_age is None else f", {explanation.dtab_age:.0f} s old"
        yield f"dtab: the last good one{age}; since then: {explanation.dtab_error}"


def _unknown(explanation: Explanation) -> Iterator[str]:
    for doubt in explanation.doubts:
        if doubt.state == "pending":
            yield f"not known yet: {doubt.path}{_as_of(doubt)}"


class _Tree:
    """Draws a delegation, with what its explanation says of the names at its ends."""

    def __init__(self, explanation: Explanation) -> None:
        self._leaves = {(leaf.id, leaf.residual): leaf for leaf in explanation.bound}
        self._left = {(leaf.id, leaf.residual): leaf for leaf in explanation.left}
        self._denied = {doubt.path: doubt for doubt in explanation.doubts if doubt.state == "neg"}

    def rows(self, root: Node) -> Iterator[Row]:
        """All lines."""
        yield Row(root.path, verdict=self._end(root))
        yield from self._below(root, "", tried=True)

    def _below(self, node: Node, indent: str, *, tried: bool) -> Iterator[Row]:
        if isinstance(node, Leaf) and tried:
            yield from (_remark(indent, line) for line in self._traffic(node))
        branches = list(self._branches(node))
        for number, (child, role) in enumerate(branches, start=1):
            last = number == len(branches)
            reached = tried and role != "not tried"
            verdict = ", ".join(filter(None, (role, self._end(child)))) if reached else role * tried
            yield Row(f"{indent}{'└─' if last else '├─'} {child.path}", _rule(child), verdict)
            yield from self._below(child, indent + ("   " if last else "│  "), tried=reached)

    def _branches(self, node: Node) -> Iterator[tuple[Node, str]]:
        """What is below a node, each with its part in the decision."""
        match node:
            case Delegate():
                yield node.delegate, ""
            case Alternatives():
                takes = [self._takes(child) for child in node.alt]
                decided = False
                for child, ends in zip(node.alt, takes if any(takes) else map(self._ends, node.alt), strict=True):
                    tried = not decided or self._was_left(child)
                    yield child, self._role(child, ends=ends and not decided) if tried else "not tried"
                    decided = decided or ends
            case Union():
                for branch in node.union:
                    kept = self._takes(branch.tree) or state_of(branch.tree) == "empty" or not self._leaves
                    yield branch.tree, f"weight {branch.weight:g}" if kept else "left"
            case _:
                pass

    def _takes(self, node: Node) -> bool:
        """Whether some traffic goes to what is below a node."""
        return any(self._leaf(leaf) is not None for leaf in leaves_of(node))

    def _was_left(self, node: Node) -> bool:
        """Whether something below a node was tried and found unusable."""
        return any((leaf.bound.id, leaf.bound.path) in self._left for leaf in leaves_of(node))

    def _ends(self, node: Node) -> bool:
        """Whether nothing behind a node was tried, though no traffic goes to it either."""
        return state_of(node) != "neg" and not self._was_left(node)

    def _role(self, child: Node, *, ends: bool) -> str:
        state = state_of(child)
        return ALTERNATIVES[state] if ends or state == "neg" else "passed over"

    def _traffic(self, node: Leaf) -> Iterator[str]:
        """Where the traffic of a leaf goes, or why it goes nowhere."""
        leaf = self._leaf(node)
        if leaf is None:
            yield from self._without_traffic(node)
            return
        if leaf.id != node.path:
            yield f"as {leaf.id}" + (f", with {leaf.residual} left over" if leaf.residual != "/" else "")
        yield from _endpoints(leaf)

    def _without_traffic(self, node: Leaf) -> Iterator[str]:
        leaf = self._left.get((node.bound.id, node.bound.path))
        if leaf is not None and (leaf.endpoints or leaf.refused):
            yield from _endpoints(leaf)
        elif leaf is not None and leaf.error and leaf.addr != "neg":
            yield leaf.error

    def _leaf(self, node: Leaf) -> BoundLeaf | None:
        return self._leaves.get((node.bound.id, node.bound.path))

    def _end(self, node: Node) -> str:
        """What a node says that has nothing below it."""
        match node:
            case Leaf():
                leaf = self._leaf(node)
                left = self._left.get((node.bound.id, node.bound.path))
                return _bound(leaf) if leaf is not None else _unused(left, node.bound.addr.type)
            case Neg():
                return _denied(self._denied.get(node.path))
            case Empty():
                return "bound to nobody"
            case Fail():
                return "refused"
            case Failed():
                return f"error: {node.message}"
            case Delegate() | Alternatives() | Union():
                return ""


def _steps(explanation: Explanation) -> Iterator[Row]:
    for step in explanation.steps:
        yield Row(step.path, step.dentry, step.to)
    for doubt in explanation.doubts:
        if doubt.state == "neg":
            yield Row(doubt.path, verdict=_denied(doubt))
    for leaf in explanation.left:
        yield Row(leaf.id, verdict=f"passed over, {_unused(leaf, leaf.addr)}")
    for leaf in explanation.bound:
        yield Row(leaf.id, verdict=_bound(leaf))
        yield from (_remark("", line) for line in _endpoints(leaf))


def _unused(leaf: BoundLeaf | None, addr: str) -> str:
    match addr:
        case "bound" if leaf is not None and not leaf.endpoints:
            return "its addresses are refused" if leaf.refused else "no endpoints"
        case "neg":
            return f"no such host or service{_as_of(leaf)}"
        case "failed":
            return "its addresses cannot be found"
        case _:
            return "no usable endpoint"


def _rule(node: Node) -> str:
    return f"{node.dentry.prefix} => {node.dentry.dst}" if node.dentry else ""


def _remark(indent: str, text: str) -> Row:
    return Row(f"{indent}   {text}", is_remark=True)


def _bound(leaf: BoundLeaf) -> str:
    if leaf.refused and not leaf.endpoints:
        return "bound, and its addresses are refused"
    return "bound" if leaf.weight == 1 else f"bound, {leaf.weight:.4g} of the traffic"


def _endpoints(leaf: BoundLeaf) -> Iterator[str]:
    known = {state.endpoint: state for state in leaf.state}
    yield from (_endpoint(endpoint, known.get(endpoint), leaf.agents.get(endpoint)) for endpoint in leaf.endpoints)
    yield from (f"{each.endpoint}   refused: {each.error}" for each in leaf.refused)
    if not leaf.endpoints and not leaf.refused:
        yield _no_endpoints(leaf)
    if leaf.addr == "bound" and (leaf.error or leaf.age is not None):
        yield _freshness(leaf)


def _freshness(leaf: BoundLeaf) -> str:
    """Whether the source fails, or something is wrong with the answer itself, or all is well."""
    if leaf.stale:
        after = "" if leaf.next_attempt is None else f"; next attempt in {leaf.next_attempt:.0f} s"
        return f"the last good answer, version {leaf.version}; failing for {leaf.stale:.0f} s, now: {leaf.error}{after}"
    answer = "the answer" if leaf.age is None else f"the answer, version {leaf.version}, {leaf.age:.0f} s old"
    return f"{answer}; but {leaf.error}" if leaf.error else answer


def _denied(doubt: Doubt | None) -> str:
    return f"nothing by that name{_as_of(doubt)}"


def _as_of(answer: Doubt | BoundLeaf | None) -> str:
    """Since when there is no better answer, and why."""
    if answer is None or not answer.error:
        return ""
    if answer.age is None:
        return f" (its source fails: {answer.error})"
    problem = f"its source fails: {answer.error}" if answer.stale else answer.error
    return f" (as of {answer.age:.0f} s ago; {problem})"


def _endpoint(endpoint: str, state: NodeState | None, agent: str | None) -> str:
    if state is None:
        return endpoint if agent is None else f"{endpoint}   agent {agent}"
    health = "kept" if state.kept else state.health
    health += f" ({state.reason})" if state.reason else ""
    shown = f"{endpoint}   {health}, {state.pending} in flight, load {state.load:.3g}, {state.ejections} ejections"
    shown += f", {_ordinal(state.priority + 1)} priority" if state.priority else ""
    shown += f", zone {state.zone}" if state.zone else ""
    shown += f", {state.transport}" if state.transport else f", agent {agent}" if agent else ""
    return shown + (f": {state.error}" if state.error else "")


def _ordinal(number: int) -> str:
    teen = number % 100 in (11, 12, 13)
    return f"{number}{'th' if teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def _no_endpoints(leaf: BoundLeaf) -> str:
    reason = f": {leaf.error}" if leaf.error else ""
    match leaf.addr:
        case "pending":
            return f"its addresses are not known yet{reason}"
        case "failed":
            return f"its addresses cannot be found{reason}"
        case "neg":
            return f"no such host or service{_as_of(leaf)}; a request gets 502"
        case _:
            return "no endpoints; a request gets 503"


def _aligned(rows: Sequence[Row]) -> Iterator[str]:
    names = min(MAX_COLUMN, max((len(row.name) for row in rows if not row.is_remark), default=0))
    rules = min(MAX_COLUMN, max((len(row.rule) for row in rows), default=0))
    for row in rows:
        text = row.name if row.is_remark else f"{row.name:{names}}   {row.rule:{rules}}   {row.verdict}"
        yield text.rstrip()
