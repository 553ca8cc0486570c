"""Why a name is bound to nothing."""

from __future__ import annotations

import pytest

from namer.addr import Addr, AddrBound, AddrFailed, AddrNeg, AddrPending
from namer.binding import Outcome
from namer.cell import Cell
from namer.dtab import Dtab
from namer.namer import Bound
from namer.nametree import EMPTY, FAIL, NEG, NameTree
from namer.path import Path
from nodeagent.proxy.errors import NoEndpoints, NoSuchName, ProxyError
from nodeagent.proxy.unbound import MAX_DTAB_CHARS, why_nowhere, why_unbound

BASE = Dtab.parse("/svc => /a")


@pytest.mark.parametrize(
    ("state", "local", "words"),
    [
        pytest.param(NEG, "", "the name binds to nothing, base dtab: /svc => /a", id="nothing"),
        pytest.param(FAIL, "", "the name binds to Fail, base dtab: /svc => /a", id="fail"),
        pytest.param(
            EMPTY, "/x => /y", "the name binds to Empty, base dtab: /svc => /a, local dtab: /x => /y", id="local"
        ),
    ],
)
def test_why(state: NameTree[Bound], local: str, words: str) -> None:
    assert why_unbound(Outcome(state, (), (), ()), BASE, Dtab.parse(local)) == words


def test_a_long_table_is_shown_in_part() -> None:
    table = Dtab.parse(";".join(f"/svc/n{number} => /a" for number in range(1000)))

    words = why_unbound(Outcome(NEG, (), (), ()), table, Dtab.EMPTY)

    shown = words.partition("base dtab: ")[2]
    assert shown == table.show()[:MAX_DTAB_CHARS] + "..."


@pytest.mark.parametrize(
    ("addr", "kind", "words"),
    [
        pytest.param(AddrNeg(), NoSuchName, "balance /#/fs/web: no such host or service", id="unknown"),
        pytest.param(AddrFailed("refused"), NoEndpoints, "discovery failed: refused", id="not found out"),
        pytest.param(AddrPending(), NoEndpoints, "discovery has not answered yet", id="not known yet"),
        pytest.param(AddrBound(()), NoEndpoints, "it has no endpoints", id="nobody serves it"),
    ],
)
async def test_why_nowhere(addr: Addr, kind: type[ProxyError], words: str) -> None:
    error = why_nowhere(Path.parse("/#/fs/web"), Cell(addr), ())

    assert type(error) is kind
    assert error.message.endswith(words)
