"""How much is logged: `/logging.json`, as linkerd 1.x has it, but that a change goes back by itself."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

import msgspec
import structlog
import trio
from starlette.exceptions import HTTPException
from starlette.requests import Request

from nodeagent.admin.answers import JsonAnswer
from nodeagent.admin.names import read_body
from nodeagent.telemetry.levels import MAX_SECONDS, Levels, UnknownError

MINUTES: Final = 10.0
"""How long a change stands if nothing is said of that."""

_JSON: Final = "application/json"
_FORM: Final = "application/x-www-form-urlencoded"

log = structlog.get_logger("nodeagent.log")


class Change(msgspec.Struct, frozen=True):
    """What is asked for."""

    logger: str
    level: str
    minutes: float = MINUTES


async def levels_page(request: Request, levels: Levels) -> JsonAnswer:
    """Answer GET with all loggers, and POST with the logger that was changed.

    Raises HTTPException: 400 for what there is not, 413 and 415 for a body that is too long or of another kind.
    """
    if request.method != "POST":
        return JsonAnswer(levels.listing(trio.current_time()))
    return set_level(await read_change(request), levels)


def set_level(change: Change, levels: Levels) -> JsonAnswer:
    """Make a change, and answer with the logger as it is then. Raises HTTPException 400 for what there is not."""
    now = trio.current_time()
    seconds = change.minutes * 60
    if not 0 < seconds <= MAX_SECONDS:
        raise HTTPException(400, f"minutes={change.minutes:g}: expected more than 0, and at most {MAX_SECONDS / 60:g}")
    try:
        levels.change(change.logger, change.level, seconds, now)
    except UnknownError as error:
        raise HTTPException(400, str(error)) from None
    log.info("a log level was set on the admin port", of=change.logger, to=change.level, minutes=change.minutes)
    (changed,) = (each for each in levels.listing(now) if each["logger"] == change.logger)
    return JsonAnswer(changed)


async def read_change(request: Request) -> Change:
    """Read a change from the query, a form (both are linkerd's), or a JSON object. Raises HTTPException."""
    body = await read_body(request)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if body and kind not in (_JSON, _FORM):
        raise HTTPException(415, f"the body must be {_JSON} or {_FORM}")
    try:
        if body and kind == _JSON:
            return msgspec.json.decode(body, type=Change)
        fields = dict(request.query_params.items()) | dict(parse_qsl(body.decode(), max_num_fields=10))
        return msgspec.convert(fields, Change, strict=False)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        example = '{"logger": "nodeagent.bind", "level": "DEBUG", "minutes": 10}'
        raise HTTPException(400, f"expected such as {example}: {error}") from None
