"""`/$/io.buoyant.http.status/CODE`: a concrete name that is an answer and no address."""

from __future__ import annotations

from namer.path import Path
from nodeagent.proxy.balance import Client
from nodeagent.proxy.classify import Classify
from nodeagent.proxy.errors import REASONS
from nodeagent.proxy.messages import Request, Response

PREFIX = Path.parse("/$/io.buoyant.http.status")


def status_of(id: Path) -> int | None:  # noqa: A002
    """Return the status that `id` asks for, None for any other concrete name."""
    if len(id) == len(PREFIX) + 1 and id.startswith(PREFIX) and id[len(PREFIX)].isdigit():
        return int(id[len(PREFIX)])
    return None


class FixedStatus(Client):
    """Answers everything with one status. It has no endpoints, so a tunnel to it is refused."""

    async def _attempt(self, request: Request, classify: Classify) -> Response:
        status = status_of(self.id)
        if status is None:
            raise AssertionError(f"{self.id} is no status")
        response = Response(status, REASONS.get(status, b""), b"", {}, b"", None if status == 204 else 0)
        response.verdict = classify(request.head.method, response)
        return response
