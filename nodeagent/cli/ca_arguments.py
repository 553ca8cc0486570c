"""What the arguments of `nodeagent ca` mean."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from nodeagent.ca.store import Store
    from tls.identity import SpiffeId

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def read_duration(_context: click.Context, _option: click.Parameter, text: str) -> timedelta:
    """A time such as 30m, 24h or 7d. Raises BadParameter."""
    found = re.fullmatch(r"([1-9][0-9]{0,5})([smhd])", text)
    if not found:
        raise click.BadParameter(f"expected a time such as 30m, 24h or 7d, found {text!r}")
    return timedelta(seconds=int(found[1]) * _UNITS[found[2]])


def serials(store: Store, what: str) -> list[int]:
    """The serial numbers of the certificates that somebody means. Raises ClickException, CaError."""
    from nodeagent.ca.disk import read
    from tls.identity import SpiffeId
    from tls.pair import read_certificates

    if what.startswith("spiffe:"):
        return store.serials_of(SpiffeId.parse(what), datetime.now(UTC))
    if Path(what).exists():
        return [read_certificates(what, read(Path(what)))[0].serial_number]
    if re.fullmatch(r"[0-9A-Fa-f:]{1,64}", what) and what.strip(":"):
        return [int(what.replace(":", ""), 16)]
    raise click.ClickException(f"{what}: neither a file, nor a serial number in hexadecimal, nor an id")


def open_store(folder: Path, passphrase_file: Path | None = None) -> Store:
    """An authority. Raises CaError."""
    from nodeagent.ca.store import Store

    return Store(folder, passphrase_in(passphrase_file))


def passphrase_in(file: Path | None) -> bytes | None:
    """The passphrase in a file that nobody else may read. Raises CaError, TlsConfigError."""
    if file is None:
        return None
    from nodeagent.ca.disk import read_secret
    from tls.pair import read_passphrase

    read_secret(file)
    return read_passphrase(str(file))


def identity_of(store: Store, host: str | None, service: str | None) -> SpiffeId:
    """For whom a certificate is to be: of the two one is given. Raises UsageError, IdentityError."""
    from tls.identity import SpiffeId

    if (host is None) == (service is None):
        raise click.UsageError("expected one of --host NAME and --service NAME")
    if host is not None:
        return SpiffeId.host(store.domain, host)
    return SpiffeId.service(store.domain, str(service))


def dns_names_of(store: Store, names: tuple[str, ...]) -> tuple[str, ...]:
    """The DNS names that it may bear. Raises RequestError."""
    from tls.request import dns_names

    return dns_names(names, store.domain)


def host_and_port(text: str) -> str:
    """Where an authority is. Raises UsageError."""
    host, _, port = text.removeprefix("https://").rstrip("/").rpartition(":")
    if not re.fullmatch(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]", host) or not port.isdecimal() or int(port) > 65535:
        raise click.UsageError(f"--ca: expected HOST:PORT, found {text!r}")
    return f"{host}:{port}"
