"""The standard library's urllib reads the variables by itself; each request is a connection."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tests.clients.programs.conversation import Answer, Body, converse, in_threads


class Urllib:
    def get(self, url: str) -> Answer:
        return self._ask(Request(url))

    def post(self, url: str, body: Body) -> Answer:
        return self._ask(Request(url, data=body))

    def pair(self, url: str) -> list[Answer]:
        return in_threads(self, url)

    def events(self, url: str) -> Iterator[str]:
        with urlopen(url) as response:
            for line in response:
                yield line.decode().rstrip()

    def _ask(self, request: Request) -> Answer:
        try:
            with urlopen(request) as response:
                return Answer(response.status, response.headers, response.read())
        except HTTPError as error:
            with error:
                return Answer(error.code, dict(error.headers), error.read())


converse(Urllib())
