"""The recent requests: `/requests.json`, the last ones, and `/requests/ID.json`, those of one `l5d-reqid`."""

from __future__ import annotations

import re
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request

from nodeagent.admin.answers import JsonAnswer
from nodeagent.telemetry.decision import show_exchange
from nodeagent.telemetry.filter import Filter, FilterError
from nodeagent.telemetry.recent import Recent

SHOWN: Final = 100
"""Requests of a page that does not say how many."""

MOST: Final = 1000

EARLIER: Final = 100
"""Requests of one id that are shown."""

_ID: Final = re.compile(r"[0-9a-fA-F]{16}")


def latest(request: Request, recent: Recent | None, to_epoch: float) -> JsonAnswer:
    """The last requests that `?filter=` wants, the last first: as many as `?limit=` says.

    `to_epoch` is as in `show_exchange`. Raises HTTPException 400 for a limit or a filter that is none, 404 where no
    requests are kept.
    """
    count, wanted = how_many(request), wanted_by(request)
    return JsonAnswer([show_exchange(each, to_epoch) for each in _kept(recent).latest(count, wanted)])


def one(request: Request, recent: Recent | None, to_epoch: float) -> JsonAnswer:
    """The last request of an id; those before it, as of one trace there may be several, are its `earlier`.

    Raises HTTPException 400 for what is no id, 404 for one that is not known or not any more.
    """
    id_ = request.path_params["id"]
    if not _ID.fullmatch(id_):
        raise HTTPException(400, f"{id_[:40]!r} is no id: expected the 16 hexadecimal digits of an l5d-reqid")
    found = _kept(recent).find(id_.lower().encode())
    if not found:
        raise HTTPException(
            404, f"no request {id_} is known: it was not here, or is forgotten; /requests.json has the last"
        )
    last, *earlier = found[: EARLIER + 1]
    return JsonAnswer(show_exchange(last, to_epoch) | {"earlier": [show_exchange(each, to_epoch) for each in earlier]})


def wanted_by(request: Request) -> Filter:
    """Which requests are asked for. Raises HTTPException 400."""
    try:
        return Filter(request.query_params.get("filter", ""))
    except FilterError as error:
        raise HTTPException(400, f"filter: {error}") from None


def how_many(request: Request) -> int:
    """How many requests are asked for. Raises HTTPException 400."""
    text = request.query_params.get("limit", str(SHOWN))
    if not (text.isascii() and text.isdigit() and len(text) < 5 and 1 <= int(text) <= MOST):
        raise HTTPException(400, f"limit={text[:40]!r}: expected a number of requests, 1 to {MOST}")
    return int(text)


def _kept(recent: Recent | None) -> Recent:
    if recent is None:
        raise HTTPException(404, "no requests are kept: the telemeter io.l5d.recentRequests has the capacity 0")
    return recent
