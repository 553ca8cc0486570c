"""Writes docs/conformance.md from the tables: `python -m tests.conformance.page > docs/conformance.md`."""

from __future__ import annotations

from collections.abc import Iterable

from tests.conformance.answers import BAD_ANSWERS, ODD_ANSWERS, TORN
from tests.conformance.framing import FRAMING
from tests.conformance.heads import HEADS
from tests.conformance.held import HELD
from tests.conformance.hops import HOPS
from tests.conformance.rules import AnyRow, Held
from tests.conformance.targets import TARGETING

INTRODUCTION = """\
# Conformance: hostile and broken messages

What the agent does with each, and the rule that says so. Every row is a test on raw bytes through a running agent
(`tests/conformance/`); this page is written from the same tables (`python -m tests.conformance.page`), and a test
holds that it is theirs. {examples} examples, {rows} rows.

Before the agent stands a caller that sends bytes, behind it a backend that reads them with another reader (h11) and a
grammar of its own, and finds fault with whatever two readers could see differently: a request that is refused never
arrives, nothing behind it is taken for another request, and a request that passes arrives in one form.
"""

THEMES: tuple[tuple[str, tuple[AnyRow, ...]], ...] = (
    ("Requests: where they end", FRAMING),
    ("Requests: lines of the head", HEADS),
    ("Requests: where they want to go", TARGETING),
    ("Requests: fields of one hop, and of the agent", HOPS),
    ("Answers: what is none", BAD_ANSWERS),
    ("Answers: what breaks off", TORN),
    ("Answers: what is odd", ODD_ANSWERS),
    ("Over time, in numbers, and when the machine fails", HELD),
)

LIMITS = """\
## What is not held

* **Programs of one user are one caller** (S70, S72, S96): the kernel tells which user a connection of this host is, and
  not which program. Run programs that must not starve each other as different users, or give one a listener of its own
  with `maxConcurrentRequests` and `maxConnections`.
* **Shares are of turns, not of time** (S96). A caller whose requests cost more gets more of the processor; and the
  limits of a name (`concurrency`) and of an endpoint (`maxWaitMs`) are first come, first served.
* **Connections to endpoints are not counted** against the descriptors (S72), only a third is left for them. Where all
  places are taken and more than half of the callers have a request under way, or many more connections are kept
  than are used, the reserve can be used up. `maxConcurrentRequests` and `hostConnectionPool.maxSize` bound them.
* **`X-Forwarded-*` of a caller passes** (S48): callers are programs of the same host. `clearContext` takes away
  `l5d-*`.
"""


def rows_of(rows: Iterable[AnyRow]) -> str:
    """Return a table of Markdown."""
    lines = ["| id | input | what the agent does | rule | examples |", "|---|---|---|---|---|"]
    for row in rows:
        examples = "" if isinstance(row, Held) else len(row.examples)
        cells = (row.id, row.input, row.does, row.source, str(examples))
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def page() -> str:
    """Return the whole page."""
    rows = [row for _, theme in THEMES for row in theme]
    examples = sum(len(row.examples) for row in rows if not isinstance(row, Held))
    parts = [INTRODUCTION.format(examples=examples, rows=len(rows))]
    parts += [f"## {title}\n\n{rows_of(theme)}" for title, theme in THEMES]
    return "\n".join([*parts, LIMITS])


if __name__ == "__main__":
    print(page(), end="")
