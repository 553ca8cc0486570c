"""The namer `io.l5d.rewrite`: names of one form become names of another.

pattern: /{service}/*/api     the name, without the namer's prefix, must begin like this
name:    /#/fs/{service}-v2   and becomes this; what follows the pattern is dropped, as in linkerd 1.x
"""

from __future__ import annotations

from namer.namer import RewritingNamer
from namer.path import Path
from namer.pattern import PathPattern, PathTemplate


def rewrite_namer(pattern: str, name: str) -> RewritingNamer:
    """The namer for a pattern and the name it becomes. Raises NameSyntaxError for either."""
    matcher = PathPattern.parse(pattern)
    template = PathTemplate.parse(name, matcher.names)

    def rewrite(path: Path) -> Path | None:
        captured = matcher.match(path)
        return None if captured is None else template.fill(captured)

    return RewritingNamer(rewrite)
