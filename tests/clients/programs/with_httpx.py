"""httpx reads the variables by itself."""

from __future__ import annotations

from collections.abc import Iterator

import httpx

from tests.clients.programs.conversation import Answer, Body, converse, in_threads


class Httpx:
    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def get(self, url: str) -> Answer:
        response = self._client.get(url)
        return Answer(response.status_code, response.headers, response.content)

    def post(self, url: str, body: Body) -> Answer:
        response = self._client.post(url, content=body)
        return Answer(response.status_code, response.headers, response.content)

    def pair(self, url: str) -> list[Answer]:
        return in_threads(self, url)

    def events(self, url: str) -> Iterator[str]:
        with self._client.stream("GET", url) as response:
            yield from response.iter_lines()


with httpx.Client(follow_redirects=True) as own_client:
    converse(Httpx(own_client))
