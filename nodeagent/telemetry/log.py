"""One log for the agent and its libraries, on stderr: coloured for a person, else one JSON object a line.

structlog builds the events and the standard library's handler writes them, so a library that logs the
ordinary way comes out in the same form. A library must leave its handlers alone for that: give hypercorn
`config.errorlog = logging.getLogger("hypercorn.error")`, or it adds a handler of its own.
"""

from __future__ import annotations

import importlib
import logging
import sys
from typing import TextIO


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
from structlog.typing import Processor  # noqa: E402

LEVELS = ("debug", "info", "warning", "error", "critical")

CHATTY = ("hypercorn", "httpx", "httpcore")
"""Libraries that report every request at INFO: theirs begin at WARNING, unless all is set to debug."""


def configure(level: str = "info", *, stream: TextIO | None = None, pretty: bool | None = None) -> None:
    """Set the log of the process up; calling it again replaces what was set up before.

    `stream` is stderr unless given; `pretty` follows from whether that is a terminal. Raises ValueError for
    an unknown level.
    """
    if level not in LEVELS:
        raise ValueError(f"unknown log level {level!r}: use one of {', '.join(LEVELS)}")
    target = sys.stderr if stream is None else stream
    shared = _processors()
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_renderer(target.isatty() if pretty is None else pretty),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    logging.captureWarnings(capture=True)
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.DEBUG if level == "debug" else logging.WARNING)


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
        return [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
