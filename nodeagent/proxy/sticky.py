"""A concrete name whose requests go by their key, for as long as the endpoint that it leads to may be used."""

from __future__ import annotations

from functools import cached_property

from balancer.response_class import ResponseClass
from nodeagent.proxy.affinity import ByCookie, KeyOf, new_value
from nodeagent.proxy.balance import Client
from nodeagent.proxy.classify import Classify
from nodeagent.proxy.messages import Request, Response
from nodeagent.proxy.tunnel import Opened


class StickyClient(Client):
    """Finds the key of each request, and sets the cookie where that is wanted; its policy has an affinity."""

    @cached_property
    def _key_of(self) -> KeyOf:
        assert self.policy.affinity is not None
        return self.policy.affinity.key_of

    async def _attempt(self, request: Request, classify: Classify, key: bytes | None = None) -> Response:
        key = self._key_of(request.head)
        affinity = self.policy.affinity
        if key is None and isinstance(affinity, ByCookie) and affinity.sets:
            return await self._first_attempt(request, classify, affinity)
        return await super()._attempt(request, classify, key)

    async def _first_attempt(self, request: Request, classify: Classify, cookie: ByCookie) -> Response:
        """Send a request without a cookie where the new one leads, and give that to the caller.

        Each attempt has another one, or it would lead to where the first attempt failed. A failure sets none, and
        the endpoint's own comes first.
        """
        value = new_value()
        response = await super()._attempt(request, classify, value)
        if response.verdict is ResponseClass.SUCCESS and not cookie.set_by(response.fields):
            response.fields += cookie.line(value)
        return response

    async def connect(self, request: Request, key: bytes | None = None) -> Opened:
        """Open a tunnel as `Client.connect`, by the key that the head of the CONNECT has."""
        return await super().connect(request, key or self._key_of(request.head))
