"""Profiles of the running agent: `/profile` and `/heap.json`."""

from __future__ import annotations

import math
from typing import Final

import trio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from nodeagent.admin.answers import JsonAnswer
from nodeagent.telemetry.profile import BusyError, Profile, allocations, cpu_profile, heap

SECONDS: Final = 10.0
"""linkerd's default."""
MAX_SECONDS: Final = 120.0
MAX_TRACED: Final = 60.0
TOP: Final = 50
FORMATS: Final = ("collapsed", "top")


async def profile_page(request: Request) -> Response:
    """Answer with where the CPU time of `?seconds=` goes, as `?format=` wants it: collapsed stacks, or a table.

    Raises HTTPException: 400 for what there is not, 409 while another one is made. Who hangs up ends it.
    """
    seconds, form = profile_question(request)
    profile: Profile | None = None
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_until_gone, request, nursery.cancel_scope)
            profile = await cpu_profile(seconds)
            nursery.cancel_scope.cancel()
    except* BusyError as busy:
        raise HTTPException(409, str(busy.exceptions[0])) from None
    return show(profile or Profile(), form)


def profile_question(request: Request) -> tuple[float, str]:
    """Return for how long, and how it is to be shown. Raises HTTPException 400."""
    form = request.query_params.get("format", FORMATS[0])
    if form not in FORMATS:
        raise HTTPException(400, f"format={form!r}: expected one of {', '.join(FORMATS)}")
    return _seconds(request, "seconds", SECONDS, MAX_SECONDS), form


def show(profile: Profile, form: str) -> Response:
    """Return a profile in one of FORMATS."""
    return PlainTextResponse(profile.collapsed() if form == "collapsed" else profile.top())


async def heap_page(request: Request) -> Response:
    """Answer GET with the objects in memory by type, and POST with what is allocated in `?allocations=` seconds.

    Raises HTTPException: 400, and 409 while another one is made.
    """
    if request.method != "POST":
        return JsonAnswer(await heap(TOP))
    try:
        return JsonAnswer(await allocations(_seconds(request, "allocations", SECONDS, MAX_TRACED), TOP))
    except BusyError as busy:
        raise HTTPException(409, str(busy)) from None


def _seconds(request: Request, key: str, default: float, most: float) -> float:
    text = request.query_params.get(key)
    try:
        seconds = default if text is None else float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= most:
        raise HTTPException(400, f"{key}={text!r}: expected a number of seconds, at most {most:g}")
    return seconds


async def _until_gone(request: Request, scope: trio.CancelScope) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
