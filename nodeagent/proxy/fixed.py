"""`/$/io.buoyant.http.status/CODE`: a concrete name that is an answer and no address."""

from __future__ import annotations

from namer.health import Health
from namer.http import is_status
from namer.path import Path
from nodeagent.proxy.balance import Client
from nodeagent.proxy.classify import Classify
from nodeagent.proxy.errors import REASONS
from nodeagent.proxy.messages import Request, Response


def status_of(id: Path) -> int | None:  # noqa: A002
    """Return the status that `id` asks for, None for any other concrete name."""
    return int(id[-1]) if is_status(id) else None


class FixedStatus(Client):
    """Answers everything with one status. It has no endpoints, so a tunnel to it is refused."""

    def _assess(self) -> None:
        self.health.set(Health.USABLE, self._now())

    async def _attempt(self, request: Request, classify: Classify, key: bytes | None = None) -> Response:  # noqa: ARG002
        status = status_of(self.id)
        if status is None:
            raise AssertionError(f"{self.id} is no status")
        response = Response(status, REASONS.get(status, b""), b"", {}, b"", None if status == 204 else 0)
        response.verdict = classify(request.head.method, response)
        return response
