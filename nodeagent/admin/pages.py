"""The page at `/`: what runs here, and where to look further. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Final

from namer.cell import Cell
from namer.dtab import Dtab
from namer.dtabcell import DtabState
from namer.namer import Failure, Pending
from nodeagent.admin.names import table_of
from nodeagent.admin.view import AgentView, RouterView

LINKS: Final = (
    ("/ready", "whether the agent takes traffic, and if not, why"),
    ("/live", "whether the process answers"),
    ("/metrics", "metrics for Prometheus"),
    ("/admin/metrics.json?pretty=1", "metrics under linkerd 1.x's names; also ?q=SCOPE and ?tree=1"),
    ("/config.json", "the configuration in force, and where each value comes from"),
    ("/names.json", "the logical names in use, by router"),
    ("/bound-names.json", "the concrete names in use"),
    ("/client_state.json", "their addresses, with health and load"),
    ("/namer_state.json", "the sources of discovery, with age and last error"),
    ("/requests.json", "recent requests, why each went where it did; one by its l5d-reqid: /requests/ID.json"),
    ("/logging.json", "log levels; POST logger, level and minutes sets one for a time"),
    ("/log.json", "the last warnings and errors"),
    ("/profile?seconds=10&format=top", "where the CPU time goes; format=collapsed for flame graphs"),
    ("/heap.json", "what is in memory, by type"),
    ("/explain.json?path=/svc/NAME", "what a name or URL resolves to"),
    ("/delegator.json?path=/svc/NAME", "all branches of its delegation"),
)

_PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>nodeagent</title>
<style>
body {{ font-family: sans-serif; margin: 2em; max-width: 60em }}
td, th {{ padding: .2em 1em .2em 0; text-align: left; vertical-align: top }}
pre {{ margin: 0; white-space: pre-wrap }}
</style>
<h1>nodeagent {version}</h1>
<p>{readiness}</p>
<h2>Routers</h2>
<table>
<tr><th>label</th><th>listens on</th><th>dtab</th></tr>
{routers}
</table>
<h2>Pages</h2>
<table>
{links}
<tr><td>POST /admin/shutdown</td><td>drain and exit</td></tr>
</table>
</html>
"""


def index(agent: AgentView, version: str, links: Iterable[tuple[str, str]] = LINKS) -> str:
    """The page as HTML; `links` are the other ones, each with what it shows."""
    waiting = agent.readiness()
    return _PAGE.format(
        version=escape(version),
        readiness="Ready." if waiting is None else f"Not ready: {escape(waiting)}",
        routers="\n".join(map(_router, agent.routers)),
        links="\n".join(_link(path, text) for path, text in links),
    )


def _router(router: RouterView) -> str:
    addresses = ", ".join(server.stats.address for server in router.servers)
    table = _table(table_of(router.router.bindings))
    return f"<tr><td>{escape(router.label)}</td><td>{escape(addresses)}</td><td><pre>{escape(table)}</pre></td></tr>"


def _table(cell: Cell[DtabState]) -> str:
    match cell.value:
        case Dtab(dentries):
            shown = ";\n".join(dentry.show() for dentry in dentries)
            return shown if cell.error is None else f"{shown}\n\nthe last good one; since then: {cell.error}"
        case Failure(reason):
            return f"none: {reason}"
        case Pending():
            return "not known yet"


def _link(path: str, text: str) -> str:
    return f'<tr><td><a href="{escape(path)}">{escape(path)}</a></td><td>{escape(text)}</td></tr>'
