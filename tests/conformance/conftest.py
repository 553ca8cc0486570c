"""What all conformance tests hold."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def no_bug() -> Iterator[None]:
    """Whatever is thrown at the agent, it never says that it has a bug."""
    with structlog.testing.capture_logs() as logs:
        yield
    assert [entry for entry in logs if "a bug" in entry["event"]] == []
