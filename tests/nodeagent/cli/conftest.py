"""What the tests of the command line share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import structlog
from structlog.typing import EventDict

from nodeagent.cli.main import main


@dataclass(frozen=True, slots=True)
class Finished:
    """What a command left behind."""

    code: int
    out: str
    err: str


Cli = Callable[..., Finished]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs one command line in this process."""

    def run(*arguments: str) -> Finished:
        code = main(arguments)
        return Finished(code, *capsys.readouterr())

    return run


@pytest.fixture(autouse=True)
def _log_apart(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A command sets up the log of its process, for good; here that is the process of all tests."""

    def drop(*_: object) -> EventDict:
        raise structlog.DropEvent

    monkeypatch.setattr("nodeagent.telemetry.log.configure", lambda _: structlog.configure(processors=[drop]))
    yield
    structlog.reset_defaults()
