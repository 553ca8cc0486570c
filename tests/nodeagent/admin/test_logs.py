"""Log levels over HTTP: linkerd's way of asking, JSON, and what is refused."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from nodeagent.telemetry import log
from nodeagent.telemetry.levels import LOGGERS
from tests.nodeagent.admin.fakes import FakeAgent, asking

JSON = {"content-type": "application/json"}
FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    log.configure(stream=stream)
    structlog.configure(cache_logger_on_first_use=False)  # or the loggers of modules would keep this for other tests
    yield stream
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in {*LOGGERS} - {"root"}:
        logging.getLogger(name).setLevel(logging.NOTSET)


async def test_all_loggers_are_listed_as_linkerd_does() -> None:
    async with asking(FakeAgent()) as client:
        listed = (await client.get("/logging.json")).json()
    assert [each["logger"] for each in listed] == list(LOGGERS)
    assert listed[0] == {"logger": "root", "level": "INFO", "secondsLeft": None, "tells": "all of it"}


@pytest.mark.parametrize(
    ("target", "headers", "body", "seconds"),
    [
        pytest.param("?logger=nodeagent.bind&level=DEBUG", {}, b"", 600, id="query, as linkerd"),
        pytest.param("", FORM, b"logger=nodeagent.bind&level=debug&minutes=2", 120, id="form, as linkerd"),
        pytest.param("", JSON, b'{"logger": "nodeagent.bind", "level": "DEBUG", "minutes": 0.5}', 30, id="JSON"),
    ],
)
async def test_a_level_is_changed_for_a_time(target: str, headers: dict[str, str], body: bytes, seconds: int) -> None:
    agent = FakeAgent()
    async with asking(agent) as client:
        answer = await client.post("/logging.json" + target, content=body, headers=headers)
    assert answer.status_code == 200
    changed = answer.json()
    assert (changed["logger"], changed["level"]) == ("nodeagent.bind", "DEBUG")
    assert seconds - 5 < changed["secondsLeft"] <= seconds
    assert logging.getLogger("nodeagent.bind").isEnabledFor(logging.DEBUG)


async def test_what_is_raised_says_more(log_as_before: io.StringIO) -> None:
    agent = FakeAgent()
    async with asking(agent) as client:
        await client.post("/logging.json?logger=nodeagent.bind&level=debug")
        agent.use("/svc/web")
    (line,) = (each for each in map(json.loads, log_as_before.getvalue().splitlines()) if each["level"] == "debug")
    assert (line["event"], line["name"], line["to"]) == ("a name is bound", "/svc/web", ["/#/io.l5d.fs/web"])


@pytest.mark.parametrize(
    ("target", "headers", "body", "status", "message"),
    [
        ("", {}, b"", 400, "expected such as"),
        ("?logger=nodeagent.bind", {}, b"", 400, "missing required field `level`"),
        ("?logger=nodeagent.bnd&level=debug", {}, b"", 400, "did you mean nodeagent.bind?"),
        ("?logger=nodeagent.bind&level=loud", {}, b"", 400, "unknown log level 'loud': use one of debug, info"),
        ("?logger=nodeagent.bind&level=debug&minutes=0", {}, b"", 400, "minutes=0: expected more than 0, and at most"),
        ("?logger=nodeagent.bind&level=debug&minutes=1e9", {}, b"", 400, "at most 1440"),
        ("?logger=nodeagent.bind&level=debug&minutes=nan", {}, b"", 400, "minutes=nan: expected more than 0"),
        ("?logger=nodeagent.bind&level=debug&minutes=soon", {}, b"", 400, "Expected `float`"),
        ("", JSON, b'{"logger": ', 400, "Input data was truncated"),
        ("", JSON, b'["nodeagent.bind"]', 400, "Expected `object`"),
        ("", FORM, b"\xff", 400, "expected such as"),
        ("", {"content-type": "text/plain"}, b"logger=x", 415, "the body must be application/json or"),
    ],
)
async def test_what_is_refused(target: str, headers: dict[str, str], body: bytes, status: int, message: str) -> None:
    agent = FakeAgent()
    async with asking(agent) as client:
        answer = await client.post("/logging.json" + target, content=body, headers=headers)
    assert (answer.status_code, list(answer.json())) == (status, ["error"])
    assert message in answer.json()["error"]
    assert agent.levels.standing(0.0) == []


@pytest.mark.parametrize(
    "headers",
    [{"origin": "http://evil.org"}, {"sec-fetch-site": "cross-site"}, {"host": "evil.org"}],
)
async def test_a_page_from_elsewhere_changes_nothing(headers: dict[str, str]) -> None:
    agent = FakeAgent()
    async with asking(agent) as client:
        answer = await client.post("/logging.json?logger=root&level=debug", headers=headers)
    assert answer.status_code == 403
    assert agent.levels.standing(0.0) == []


async def test_the_last_warnings_have_a_page() -> None:
    structlog.get_logger("nodeagent.memory").warning("memory is short", used=7)
    async with asking(FakeAgent()) as client:
        (line,) = (await client.get("/log.json")).json()
    assert (line["event"], line["used"], line["logger"], line["level"]) == (
        "memory is short",
        7,
        "nodeagent.memory",
        "warning",
    )
