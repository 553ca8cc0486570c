"""urllib3 leaves the variables to its user: a ProxyManager for what they name, a PoolManager for the rest."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3

from tests.clients.programs.conversation import Answer, Body, converse, in_threads


class Urllib3:
    def __init__(self) -> None:
        self._direct = urllib3.PoolManager()
        self._proxied = {scheme: urllib3.ProxyManager(url) for scheme, url in getproxies().items() if scheme != "no"}

    def _manager(self, url: str) -> urllib3.PoolManager:
        target = urlsplit(url)
        return self._direct if proxy_bypass(target.netloc) else self._proxied[target.scheme]

    def get(self, url: str) -> Answer:
        response = self._manager(url).request("GET", url)
        return Answer(response.status, response.headers, response.data)

    def post(self, url: str, body: Body) -> Answer:
        response = self._manager(url).request("POST", url, body=body)
        return Answer(response.status, response.headers, response.data)

    def pair(self, url: str) -> list[Answer]:
        return in_threads(self, url)

    def events(self, url: str) -> Iterator[str]:
        with self._manager(url).request("GET", url, preload_content=False) as response:
            for chunk in response:
                yield from chunk.decode().splitlines()


converse(Urllib3())
