"""The forms of an answer: JSON, and what went wrong in one line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import PlainTextResponse, Response


class JsonAnswer(Response):
    """A value as JSON, in ASCII: a name may hold bytes that are no text, and they must not break the page."""

    media_type = "application/json"

    def __init__(
        self, value: Any, status: int = 200, headers: Mapping[str, str] | None = None, *, pretty: bool = False
    ) -> None:
        self._indent = 2 if pretty else None
        super().__init__(value, status, headers)

    def render(self, content: Any) -> bytes:
        """The JSON text."""
        return to_json(content, self._indent)


def to_json(value: Any, indent: int | None = None) -> bytes:
    """A value as JSON in ASCII, on one line unless it is indented."""
    separators = (",", ":") if indent is None else None
    return json.dumps(value, indent=indent, separators=separators, allow_nan=False).encode("ascii")


def problem(path: str, status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """An error in the form of the page that was asked for: `{"error": ...}` where that is JSON, else the line."""
    if path.endswith((".json", "/tap")):
        return JsonAnswer({"error": message}, status, headers)
    return PlainTextResponse(message + "\n", status, headers)
