"""requests reads the variables by itself."""

from __future__ import annotations

from collections.abc import Iterator

import requests

from tests.clients.programs.conversation import Answer, Body, converse, in_threads


class Requests:
    def __init__(self, session: requests.Session) -> None:
        self._session = session

    def get(self, url: str) -> Answer:
        response = self._session.get(url)
        return Answer(response.status_code, response.headers, response.content)

    def post(self, url: str, body: Body) -> Answer:
        response = self._session.post(url, data=body)
        return Answer(response.status_code, response.headers, response.content)

    def pair(self, url: str) -> list[Answer]:
        return in_threads(self, url)

    def events(self, url: str) -> Iterator[str]:
        with self._session.get(url, stream=True) as response:
            for line in response.iter_lines():
                yield line.decode()


with requests.Session() as own_session:
    converse(Requests(own_session))
