"""Keys of tokens, from a file or a URL, kept up to date. An edge.

What cannot be read leaves the former keys in use, and is said once.
"""

from __future__ import annotations

import pathlib
import ssl
import time
from typing import Final
from urllib.parse import urlsplit

import structlog
import trio

from namer.files import FileWatch
from namer.httpapi import ApiError, Session, session
from nodeagent.policy.claims import Claims
from nodeagent.policy.tokens import KeysError, UnknownKeyError, Verifier, read_keys

log = structlog.get_logger("nodeagent.policy")

LIMIT: Final = 256 * 1024
"""Bytes of a set of keys."""

AGAIN: Final = 5.0
"""Seconds between two tries, at least."""

TIMEOUT: Final = 5.0


class TokenKeys:
    """Tells good tokens by keys that `run` keeps up to date."""

    def __init__(
        self, verifier: Verifier, files: FileWatch, *, file: str | None, url: str | None, refresh: float
    ) -> None:
        """The keys are in `file` or at `url`, which is asked every `refresh` seconds."""
        self._verifier = verifier
        self._files = files
        self._file = file
        self._url = url
        self._refresh = refresh
        self._wanted = trio.Event()
        self._fault: str | None = None

    @property
    def has_keys(self) -> bool:
        """Whether any token can be told to be good."""
        return self._verifier.has_keys

    def claims(self, token: str) -> Claims:
        """Return what a token says. Raises TokenError."""
        try:
            return self._verifier.claims(token, time.time())  # noqa: TID251  (tokens have ends in that time)
        except UnknownKeyError:
            self._wanted.set()
            raise

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Follow the keys until cancelled; the first ones were tried once it has started."""
        if self._file is not None:
            await self._follow(self._file, task_status)
        else:
            await self._fetch(task_status)

    async def _follow(self, file: str, task_status: trio.TaskStatus[None]) -> None:
        async with self._files.watch(file) as change:
            while True:
                try:
                    self._take(await self._files.offload(_read, file), file)
                except OSError as error:
                    self._keep(f"{file}: {(error.strerror or str(error)).lower()}")
                task_status.started()
                task_status = trio.TASK_STATUS_IGNORED
                await change.wait()

    async def _fetch(self, task_status: trio.TaskStatus[None]) -> None:
        assert self._url is not None
        scheme, host, path, *_ = urlsplit(self._url)
        tls = ssl.create_default_context() if scheme == "https" else None
        async with session(f"{scheme}://{host}", tls=tls) as client:
            while True:
                self._wanted = trio.Event()
                await self._fetch_once(client, path or "/")
                task_status.started()
                task_status = trio.TASK_STATUS_IGNORED
                await trio.sleep(AGAIN)
                with trio.move_on_after(self._refresh - AGAIN if self._fault is None else 0):
                    await self._wanted.wait()

    async def _fetch_once(self, client: Session, path: str) -> None:
        try:
            reply = await client.call("GET", path, timeout=TIMEOUT, limit=LIMIT)
        except ApiError as error:
            self._keep(str(error))
        else:
            self._take(reply.body, self._url or "")

    def _take(self, document: bytes, where: str) -> None:
        try:
            keys = read_keys(document)
        except KeysError as error:
            self._keep(f"{where}: {error}")
            return
        if self._fault is not None:
            log.info("keys of tokens can be read again", source=where)
        self._fault = None
        self._verifier.use(keys)

    def _keep(self, fault: str) -> None:
        if fault != self._fault:
            log.warning("keys of tokens cannot be used, the former ones stay", error=fault)
        self._fault = fault


def _read(file: str) -> bytes:
    with pathlib.Path(file).open("rb") as opened:
        content = opened.read(LIMIT + 1)
    if len(content) > LIMIT:
        raise OSError(f"more than {LIMIT} bytes")
    return content
