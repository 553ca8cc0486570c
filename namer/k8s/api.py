"""How the Kubernetes API is reached: its address, whom to trust, and as whom to ask. An edge: reads files, opens
connections.

    inside a pod       the address of the environment, the certificates and the token of the mounted service account
    beside a proxy     `kubectl proxy` on localhost:8001, which needs neither; linkerd 1.x knows no other way
    from elsewhere     any address, with TLS and a file with a token

A token is read anew for each request, and the certificates for each connection: the kubelet replaces both (bound tokens
live an hour), and one list or watch in some minutes is too little to remember anything for.
"""

from __future__ import annotations

import pathlib
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from namer.addr import Endpoint
from namer.files import Offload
from namer.httpapi import ApiError, Query, Reply, Session, StatusError, read_token, session

SERVICE_ACCOUNT: Final = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where the kubelet mounts the service account of a pod."""

ANSWER_SECONDS: Final = 5.0
"""How long an answer may take; well below the time that a request waits for its name to be bound."""


@dataclass(frozen=True, slots=True)
class Access:
    """Where the API server is, and how to prove oneself.

    `tls` makes the context for https and may block; `server_name` is what the certificate must be for, where that is
    not the host of the URL.
    """

    url: str
    tls: Callable[[], ssl.SSLContext] | None = None
    server_name: str | None = None
    token_file: str | None = None


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """What a pod finds of the API server: its address, and the mounted files."""

    host: str
    port: int
    trust: str
    token_file: str


def service_account(environ: Mapping[str, str], mounted: pathlib.Path = SERVICE_ACCOUNT) -> ServiceAccount | None:
    """The service account of the pod that this is; None outside of a pod, and where none is mounted."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "")
    token = mounted / "token"
    if not host or not port.isdecimal() or not token.exists():
        return None
    return ServiceAccount(host, int(port), str(mounted / "ca.crt"), str(token))


def api_url(scheme: str, host: str, port: int) -> str:
    """`https://10.96.0.1:443`, `https://[fd00::1]:443`."""
    return f"{scheme}://{Endpoint(host.strip('[]'), port).show()}"


class Api:
    """The API of one cluster, asked as one account. `offload` runs what blocks."""

    def __init__(self, access: Access, offload: Offload) -> None:
        self._access = access
        self._offload = offload

    @property
    def url(self) -> str:
        """Where it is, for messages."""
        return self._access.url

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Client]:
        """A client with connections of its own. Raises ApiError when the TLS files cannot be used."""
        try:
            tls = None if self._access.tls is None else await self._offload(self._access.tls)
        except (OSError, ValueError) as error:
            raise ApiError(str(error)) from None
        async with session(self._access.url, tls=tls, server_name=self._access.server_name) as opened:
            yield Client(opened, self._access.token_file, self._offload)


class Client:
    """Asks the API server; made by `Api.session`."""

    def __init__(self, opened: Session, token_file: str | None, offload: Offload) -> None:
        self._session = opened
        self._token_file = token_file
        self._offload = offload

    async def get(self, path: str, query: Query | None = None) -> Reply:
        """The whole answer. Raises ApiError. Cancelling is safe."""
        return await self._session.call("GET", path, query, headers=await self._headers(), timeout=ANSWER_SECONDS)

    async def send(self, method: str, path: str, content: bytes, kind: str = "application/json") -> Reply:
        """Change something. Raises as `get`. Cancelled, it may have happened."""
        headers = {**await self._headers(), "content-type": kind}
        return await self._session.call(method, path, headers=headers, content=content, timeout=ANSWER_SECONDS)

    @asynccontextmanager
    async def lines(self, path: str, query: Query) -> AsyncIterator[AsyncIterator[bytes]]:
        """The lines of a watch, which raise as `get`. Cancelling closes the connection."""
        headers = await self._headers()
        async with self._session.lines(path, query, headers=headers, timeout=ANSWER_SECONDS) as lines:
            yield lines

    async def _headers(self) -> dict[str, str]:
        headers = {"accept": "application/json"}
        if self._token_file is not None:
            headers["authorization"] = f"Bearer {await self._offload(read_token, self._token_file)}"
        return headers


def advised(error: ApiError, need: str) -> str:
    """What went wrong and what to do; `need` are the verbs and resources that the account must be allowed."""
    match error:
        case StatusError(status=401):
            return f"{error}; the token is not accepted: is it of this cluster, and not expired?"
        case StatusError(status=403):
            return f"{error}; allow the account to {need} (RBAC)"
        case StatusError(status=404):
            return f"{error}; the API server does not have it: Kubernetes 1.21 or newer is needed"
        case _:
            return str(error)
