"""One log for the agent and its libraries, on stderr: coloured for a person, else one JSON object a line.

Whatever a caller puts into a name or a header, an event is one line, of bounded length. Lines that say the same are
folded (`loglimit.py`), whoever reads the log is not waited for (`logsink.py`), and the last warnings are kept for the
admin port.

structlog builds the events and the standard library's handler writes them, so a library that logs the
ordinary way comes out in the same form. A library must leave its handlers alone for that: give hypercorn
`config.errorlog = logging.getLogger("hypercorn.error")`, or it adds a handler of its own.
"""

from __future__ import annotations

import importlib
import io
import logging
import os
import sys
import time
from collections import deque
from typing import Any, Final, TextIO

from nodeagent.telemetry.levels import LEVELS, Levels
from nodeagent.telemetry.loglimit import Repeats
from nodeagent.telemetry.logsink import Sink


def _import_structlog() -> None:
    """Import it without rich, which it takes, wherever that is installed, for tracebacks as they are not shown here.

    That is 6 MB and a hundred modules. Who imports structlog first should do so here.
    """
    rich = sys.modules.get("rich")
    sys.modules["rich"] = None  # type: ignore[assignment]  # importing it fails then
    try:
        importlib.import_module("structlog")
    finally:
        del sys.modules["rich"]
        if rich is not None:
            sys.modules["rich"] = rich


_import_structlog()

import structlog  # noqa: E402
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger  # noqa: E402

CHATTY = ("hypercorn", "httpx", "httpcore")
"""Libraries that report every request at INFO: theirs begin at WARNING, unless all is set to debug."""


MAX_TEXT: Final = 8_000
"""Characters of one value; a journal cuts lines of 48 KB in two."""

KEPT: Final = 100
"""Warnings and errors that are remembered."""
KEPT_TEXT: Final = 2_000
"""Characters of one value of these."""

DEBUG_BURST: Final = 1_000
DEBUG_INTERVAL: Final = 0.01
"""For lines of debugging, which somebody has asked for and wants to see; not at the price of the traffic though."""

_repeats: Repeats[tuple[str, str, str]] = Repeats()
_debug_repeats: Repeats[tuple[str, str, str]] = Repeats(DEBUG_BURST, DEBUG_INTERVAL)
_recent: deque[dict[str, Any]] = deque(maxlen=KEPT)


def configure(level: str = "info", *, stream: TextIO | None = None, pretty: bool | None = None) -> None:
    """Set the log of the process up; calling it again replaces what was set up before.

    `stream` is stderr unless given; `pretty` follows from whether that is a terminal. Raises ValueError for
    an unknown level.
    """
    if level not in LEVELS:
        raise ValueError(f"unknown log level {level!r}: use one of {', '.join(LEVELS)}")
    global _repeats, _debug_repeats
    _repeats, _debug_repeats = Repeats(), Repeats(DEBUG_BURST, DEBUG_INTERVAL)
    _recent.clear()
    target = sys.stderr if stream is None else stream
    shared = _processors()
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            _fold,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = Sink(target, os.environ)
    handler.addFilter(_fold_foreign)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(allow={NOT_LOGGED}), *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _cut,
                _remember,
                *_renderer(target.isatty() if pretty is None else pretty),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    logging.captureWarnings(capture=True)
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.DEBUG if level == "debug" else logging.WARNING)


def recent() -> list[dict[str, Any]]:
    """Return the last warnings and errors of this process, the newest last, as what JSON can hold."""
    return list(_recent)


def look_after(levels: Levels, now: float) -> None:
    """Take back the levels that have stood long enough; to be called about once a second, with trio's time.

    Say, too, how many lines were not logged of events that have ended.
    """
    for logger in levels.sweep(now):
        structlog.get_logger("nodeagent.log").info("a log level is again what it was before", of=logger)
    _tell_folded()


def _tell_folded() -> None:
    now = _now()
    for repeats in (_repeats, _debug_repeats):
        for (name, level, event), held in repeats.untold(now):
            structlog.get_logger(name).log(
                logging.getLevelName(level.upper()), "an event has ended", of=event, **{NOT_LOGGED: held}
            )


NOT_LOGGED: Final = "not_logged"
"""The field that says how many lines of the same event were left out before this one."""


def _now() -> float:
    return time.monotonic()  # noqa: TID251  (there are lines before trio runs, and from threads)


def _take(name: str, level: str, event: str) -> int | None:
    repeats = _debug_repeats if level == "debug" else _repeats
    return repeats.take((name, level, event), _now())


def _fold(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Leave out a line that says what others have just said; before anything is spent on it."""
    level = "error" if method == "exception" else method
    held = _take(logger.name, level, str(event.get("event")))
    if held is None:
        raise structlog.DropEvent
    if held:
        event[NOT_LOGGED] = held
    return event


def _fold_foreign(record: logging.LogRecord) -> bool:
    """The same for the lines of libraries, which are told apart by what stands in them before it is filled in."""
    if isinstance(record.msg, dict):
        return True
    held = _take(record.name, record.levelname.lower(), str(record.msg))
    if held:
        setattr(record, NOT_LOGGED, held)
    return held is not None


def _cut(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:  # noqa: ARG001
    for key, value in event.items():
        if isinstance(value, str) and len(value) > MAX_TEXT:
            event[key] = f"{value[:MAX_TEXT]}... and {len(value) - MAX_TEXT} characters more"
    return event


def _remember(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Keep a warning for whoever asks later."""
    if event.get("level") in ("warning", "error", "critical"):
        whole = structlog.processors.format_exc_info(logger, method, dict(event))
        _recent.append({key: _kept(value) for key, value in whole.items()})
    return event


def _kept(value: object) -> object:
    if value is None or isinstance(value, bool | int):
        return value
    text = str(value)
    half = KEPT_TEXT // 2
    return text if len(text) <= KEPT_TEXT else f"{text[:half]} ... {text[-half:]}"  # a traceback ends with the reason


def _processors() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.UnicodeDecoder(),
    ]


def _renderer(pretty: bool) -> list[Processor]:
    if pretty:
        return [_escape, structlog.dev.ConsoleRenderer(exception_formatter=_traceback)]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]


def _escape(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:  # noqa: ARG001
    """Show what a terminal would obey; JSON does that by itself."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = printable(value)
        elif key != "exc_info" and value is not None and not isinstance(value, bool | int | float):
            event[key] = printable(str(value))
    return event


def printable(text: str) -> str:
    """Return a text on one line, in which nothing is left that a terminal obeys: `\\x1b` in place of an escape."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def _traceback(target: TextIO, exc_info: ExcInfo) -> None:
    """The lines of a traceback, each of which is made printable: the message of an exception may quote anything."""
    plain = io.StringIO()
    structlog.dev.plain_traceback(plain, exc_info)
    target.write("\n".join(map(printable, plain.getvalue().split("\n"))))
