"""The identity of this host: the certificate that the agent gets, and renews, from an authority of nodeagent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Final

from msgspec import Meta

from conf.fields import Reader, Text, about
from conf.section import Section

_HOST: Final = re.compile(r"[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]+\]")


def _authority(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not _HOST.fullmatch(host) or not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        raise ValueError
    return text


Authority = Annotated[str, Meta(extra={"reader": Reader("HOST:PORT, such as ca.example:4150", _authority)})]


class Identity(Section, frozen=True, kw_only=True):
    """The certificate of this host: got with a join token before anything is opened, and renewed from then on."""

    dir: Annotated[
        Text,
        about(
            "The directory for `cert.pem`, `key.pem`, `bundle.pem` and `crl.pem`, which `tls` sections then name. What "
            "`nodeagent ca join` has made is taken over. Nobody but the agent may read it, and the agent must be able "
            "to write it.",
            like="none",
        ),
    ]
    ca: Annotated[
        Authority | None,
        about(
            "Where `nodeagent ca serve` listens.",
            unset="where the host has joined; then it must have",
            like="none",
        ),
    ] = None
    join_token_path: Annotated[
        Text | None,
        about(
            "A file with what `nodeagent ca token` has printed, which must not be open to all users. It is read while "
            "there is no certificate, or it has expired: then a new token in it lets the host in again.",
            unset="the credential `nodeagent.join-token` of the service manager (systemd's `LoadCredential`)",
            like="none",
        ),
    ] = None

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if self.join_token_path is not None and self.ca is None:
            yield "joinTokenPath", "needs ca, the address of the authority to join"
