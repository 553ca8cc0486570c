"""How a binding came about, for whoever explains it: each rewrite, and each answer of a namer."""

from __future__ import annotations

from dataclasses import dataclass

from namer.dtab import Dentry
from namer.namer import Bound
from namer.nametree import NameTree, map_leaves
from namer.nametree import show as show_tree
from namer.path import Path


@dataclass(frozen=True, slots=True)
class Step:
    """One rewrite: `source` became `tree`, with `residual` behind each path in it.

    The rule is a dentry, or the prefix of the namer that answered so. `result` is what it came to in the end: a
    `verdict`, or `unusable` when it is bound to no usable endpoint.
    """

    source: Path
    rule: Dentry | Path
    tree: NameTree[Path | Bound]
    residual: Path
    result: str = "error"  # what stays when a limit ends the binding before more is known

    @property
    def path(self) -> str:
        """What was rewritten, as written."""
        return self.source.show()

    @property
    def dentry(self) -> str:
        """The rule: a dentry as written, or the prefix of the namer."""
        return self.rule.show()

    @property
    def to(self) -> str:
        """What it was rewritten to, as written."""
        return show_tree(map_leaves(self._extended, self.tree))

    def _extended(self, leaf: Path | Bound) -> Path | Bound:
        return leaf + self.residual if isinstance(leaf, Path) else leaf


@dataclass(frozen=True, slots=True)
class Answer:
    """What a namer said of a path; `result` as in Step."""

    path: Path
    namer: Path
    result: str
