"""One form for all lines, wherever they come from."""

import io
import json
import logging
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.telemetry import log
from nodeagent.telemetry.levels import Levels
from nodeagent.telemetry.log import DEBUG_BURST, KEPT
from nodeagent.telemetry.loglimit import BURST, SETTLED


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


# Nothing that a caller says breaks a line

ANYTHING = st.text(st.characters() | st.sampled_from("\r\n\x1b\"'\\\u2028\u202e\x00\x7f\x9b"), max_size=40)


@given(event=ANYTHING, name=ANYTHING, peer=st.binary(max_size=20), reason=ANYTHING)
def test_whatever_is_said_an_event_is_one_json_line(event: str, name: str, peer: bytes, reason: str) -> None:
    stream = io.StringIO()
    log.configure(stream=stream)

    structlog.get_logger("nodeagent.proxy").warning(event, name=name, peer=peer, error=ValueError(reason))

    assert stream.getvalue().isascii()
    assert stream.getvalue().count("\n") == 1
    assert all(each.isprintable() for each in stream.getvalue()[:-1])
    (line,) = lines(stream)
    assert (line["event"], line["name"], line["error"]) == (event, name, reason)


@given(event=ANYTHING, name=ANYTHING, peer=st.binary(max_size=20), reason=ANYTHING)
def test_a_terminal_obeys_nothing_that_is_said(event: str, name: str, peer: bytes, reason: str) -> None:
    stream = Terminal()
    log.configure(stream=stream)

    structlog.get_logger("nodeagent.proxy").warning(event, name=name, peer=peer, error=ValueError(reason))

    (line,) = stream.getvalue().removesuffix("\n").split("\n")
    assert re.sub(r"\x1b\[[0-9;]*m", "", line).isprintable(), "nothing but the colours, which are ours"
    assert "\x1b[" not in log.printable(event + name)


@pytest.mark.parametrize("kind", [io.StringIO, Terminal])
def test_what_an_exception_quotes_is_shown_too(kind: type[io.StringIO]) -> None:
    stream = kind()
    log.configure(stream=stream)

    try:
        raise ValueError("\x1b[31mred\r")
    except ValueError:
        structlog.get_logger().exception("failed")

    assert "\x1b[31mred" not in stream.getvalue()
    assert "\r" not in stream.getvalue()


def test_a_value_without_end_is_cut() -> None:
    stream = io.StringIO()
    log.configure(stream=stream)

    structlog.get_logger().warning("refused", name="x" * 100_000)

    (line,) = lines(stream)
    assert str(line["name"]).endswith("x... and 92000 characters more")


# Lines that say the same


def test_lines_that_repeat_are_folded_and_counted() -> None:
    stream = io.StringIO()
    log.configure(stream=stream)
    logger = structlog.get_logger("nodeagent.dispatch")

    for number in range(BURST + 100):
        logger.warning("an address is refused", name=number)
    logger.warning("something else")

    events = [line["event"] for line in lines(stream)]
    assert BURST <= events.count("an address is refused") < BURST + 100
    assert events[-1] == "something else"


def test_so_are_those_of_libraries_by_what_stands_in_them_before_it_is_filled_in() -> None:
    stream = io.StringIO()
    log.configure(stream=stream)

    for number in range(BURST + 100):
        logging.getLogger("hypercorn.error").error("bad request from %s", number)

    assert BURST <= len(lines(stream)) < BURST + 100


def test_what_was_folded_last_is_told_when_it_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(log, "_now", lambda: now)
    stream = io.StringIO()
    log.configure(stream=stream)
    for _ in range(BURST + 7):
        structlog.get_logger("nodeagent.dispatch").warning("an address is refused")
    log.look_after(Levels(), now)
    assert len(lines(stream)) == BURST

    now += SETTLED
    log.look_after(Levels(), now)
    log.look_after(Levels(), now + 10)

    last = lines(stream)[BURST:]
    assert [(line["event"], line["of"], line["not_logged"], line["logger"], line["level"]) for line in last] == [
        ("an event has ended", "an address is refused", 7, "nodeagent.dispatch", "warning")
    ]


def test_whoever_debugs_sees_a_thousand_lines_of_a_kind_at_once_and_not_all() -> None:
    stream = io.StringIO()
    log.configure("debug", stream=stream)

    for _ in range(DEBUG_BURST + 2_000):
        structlog.get_logger("nodeagent.bind").debug("a name is bound")

    assert DEBUG_BURST <= len(lines(stream)) < DEBUG_BURST + 2_000


# The last warnings


def test_the_last_warnings_are_remembered_in_a_form_for_json() -> None:
    log.configure(stream=io.StringIO())
    logger = structlog.get_logger("nodeagent.memory")
    logger.info("not that")
    for number in range(2 * KEPT):
        logger.warning(f"event {number}", error=OSError("x" * 10_000), sizes=(1, 2), count=number)
    try:
        raise ValueError("the reason")
    except ValueError:
        logger.exception("a bug")

    kept = json.loads(json.dumps(log.recent()))

    assert [line["event"] for line in kept] == [*(f"event {number}" for number in range(KEPT + 1, 2 * KEPT)), "a bug"]
    assert all(len(json.dumps(line)) < 3_000 for line in kept)
    assert kept[-1]["exception"].endswith("ValueError: the reason")
    assert (kept[0]["count"], kept[0]["sizes"], kept[0]["level"]) == (KEPT + 1, "(1, 2)", "warning")


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
