"""One form for all lines, wherever they come from."""

import io
import json
import logging
import subprocess
import sys
import warnings
from collections.abc import Iterator

import pytest
import structlog

from nodeagent.telemetry import log


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    show = warnings.showwarning
    yield
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)
    warnings.showwarning = show
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in log.CHATTY:
        logging.getLogger(name).setLevel(logging.NOTSET)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_json_object_when_nobody_watches() -> None:
    stream = io.StringIO()
    log.configure(stream=stream)

    structlog.get_logger("nodeagent.proxy").info("listening", port=4140, peer=b"\xff")

    (line,) = lines(stream)
    assert line.pop("timestamp")
    assert line == {
        "event": "listening",
        "level": "info",
        "logger": "nodeagent.proxy",
        "port": 4140,
        "peer": "\ufffd",
    }


def test_a_terminal_gets_lines_for_people() -> None:
    stream = Terminal()
    log.configure(stream=stream)

    structlog.get_logger("nodeagent.proxy").warning("listening", port=4140)

    assert "listening" in stream.getvalue()
    with pytest.raises(ValueError, match="Expecting value"):
        lines(stream)


def test_a_library_comes_out_in_the_same_form() -> None:
    stream = io.StringIO()
    log.configure(stream=stream)

    logging.getLogger("hypercorn.error").warning("bad request from %s", "::1")

    (line,) = lines(stream)
    assert (line["event"], line["level"], line["logger"]) == ("bad request from ::1", "warning", "hypercorn.error")


@pytest.mark.parametrize(("level", "heard"), [("info", False), ("debug", True)])
def test_chatty_libraries_are_heard_when_all_is_debugged(level: str, heard: bool) -> None:
    stream = io.StringIO()
    log.configure(level, stream=stream)

    logging.getLogger("httpx").info("HTTP Request: GET http://consul/")

    assert bool(stream.getvalue()) is heard


def test_below_the_level_nothing_is_written() -> None:
    stream = io.StringIO()
    log.configure("error", stream=stream)

    structlog.get_logger().warning("not so bad")
    structlog.get_logger().error("bad")

    assert [line["event"] for line in lines(stream)] == ["bad"]


def test_a_level_changes_live() -> None:
    stream = io.StringIO()
    log.configure("info", stream=stream)
    logger = structlog.get_logger("nodeagent.proxy")
    logger.debug("before")

    logging.getLogger("nodeagent.proxy").setLevel(logging.DEBUG)
    logger.debug("after")
    logging.getLogger("nodeagent.proxy").setLevel(logging.NOTSET)

    assert [line["event"] for line in lines(stream)] == ["after"]


def test_an_exception_stays_on_its_line() -> None:
    stream = io.StringIO()
    log.configure(stream=stream)

    try:
        raise ValueError("no such thing")
    except ValueError:
        structlog.get_logger().exception("failed")

    (line,) = lines(stream)
    assert "ValueError: no such thing" in str(line["exception"])


def test_what_cannot_be_shown_as_json_is_shown_as_text() -> None:
    stream = io.StringIO()
    log.configure(stream=stream)

    structlog.get_logger().info("set", value=frozenset({1}))

    assert lines(stream)[0]["value"] == "frozenset({1})"


def test_setting_up_again_replaces_and_does_not_double() -> None:
    first, second = io.StringIO(), io.StringIO()
    log.configure(stream=first)
    log.configure(stream=second)

    structlog.get_logger().info("once")

    assert first.getvalue() == ""
    assert len(lines(second)) == 1


def test_an_unknown_level_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="unknown log level 'loud': use one of debug, info"):
        log.configure("loud")


IMPORTED = """
import sys
import nodeagent.cli.run, nodeagent.telemetry.log, nodeagent.agent, nodeagent.admin.app
print(*({"rich", "httpx", "cryptography", "importlib.metadata"} & {*sys.modules}))
import rich.console
"""


def test_what_a_running_agent_has_no_use_for_is_not_imported() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
