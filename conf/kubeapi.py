"""How the Kubernetes API is reached: the keys that its namers, its interpreter and its transformer have in common."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Annotated

from msgspec import Meta

from conf.fields import Port, Reader, Text, about
from conf.tls import ApiTlsKeys

ApiHost = Annotated[
    Text | None,
    about(
        "The host of the Kubernetes API, or of a `kubectl proxy` to it.",
        why="a pod has all that it takes",
        like="linkerd 1.x: always localhost",
        unset="the API server that the service account of the pod is for; `localhost` where none is mounted",
    ),
]
ApiPort = Annotated[
    Port | None,
    about(
        "Its port.",
        why="`kubectl proxy` takes that one",
        like="linkerd 1.x: always 8001",
        unset="8001, or that of the service account's API server",
    ),
]
ApiTls = Annotated[
    ApiTlsKeys | None,
    about(
        "TLS to it.",
        why="`kubectl proxy` speaks plain HTTP on loopback",
        like="none",
        unset="plain HTTP; with a service account always TLS, by its own certificates",
    ),
]
ApiTokenFile = Annotated[
    Text | None,
    about(
        "A file with the bearer token to ask with. It is read for each request, so it may change at any time.",
        why="`kubectl proxy` brings its own",
        like="none",
        unset="none is sent; with a service account its own",
    ),
]


def _matching(pattern: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError
        return text

    return read


KubernetesName = Annotated[
    str,
    Meta(
        extra={
            "reader": Reader(
                "a name in Kubernetes: lower-case letters, digits, '-' and '.'",
                _matching(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?"),
            )
        }
    ),
]
ConfigMapKey = Annotated[
    str, Meta(extra={"reader": Reader("letters, digits, '-', '_' and '.'", _matching(r"[-._a-zA-Z0-9]{1,253}"))})
]


def api_contradictions(
    host: str | None, tls: ApiTlsKeys | None, token_file: str | None, keys: tuple[str, str, str]
) -> Iterator[tuple[str, str]]:
    """What cannot stand together; `keys` are the names of the three."""
    if tls is not None and host is None:
        yield keys[1], f"is of no use without {keys[0]}; expected the host that the certificate is for"
    if token_file is not None and (tls is None or not tls.enabled):
        yield keys[2], f"needs {keys[1]}: without it anybody on the way could read the token"
