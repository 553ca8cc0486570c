"""What an authority has issued: a line for each certificate, for whoever has to find out. An edge: blocks on the disk.

Bounded: at 16 MB, which is some 60,000 certificates, the file becomes issued.1.jsonl, in the place of the one before.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
from cryptography import x509

from nodeagent.ca.disk import append, read
from tls.identity import SpiffeId

MAX_LOG: Final = 16 * 1024 * 1024


class Issued(msgspec.Struct, frozen=True, rename="camel"):
    """One certificate."""

    serial: str
    """In hexadecimal, as other programs show it."""
    identity: str
    dns: tuple[str, ...]
    since: datetime
    until: datetime
    by: str
    """The intermediate that signed it."""
    how: str
    """`token`, `renewal`, `hand`, or `server` for that of the authority itself."""
    peer: str
    """The address that asked for it, "" where that was somebody on this host."""

    @staticmethod
    def of(
        leaf: x509.Certificate,
        identity: SpiffeId,
        dns: tuple[str, ...],
        by: str,
        now: datetime,
        how: str,
        peer: str,
    ) -> Issued:
        """What is written down of a certificate."""
        return Issued(
            f"{leaf.serial_number:x}",
            str(identity),
            dns,
            now.replace(microsecond=0),
            leaf.not_valid_after_utc,
            by,
            how,
            peer,
        )


class IssuedLog:
    """The file of them."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "issued.jsonl"
        self._former = folder / "issued.1.jsonl"

    def add(self, entry: Issued) -> None:
        """Write one down, and return when that is on the disk. Raises CaError."""
        with suppress(FileNotFoundError):
            if self._file.stat().st_size > MAX_LOG:
                self._file.replace(self._former)
        append(self._file, msgspec.json.encode(entry))

    def entries(self) -> Iterator[Issued]:
        """All that is still written down, the oldest first. A line that was cut is passed over."""
        for file in (self._former, self._file):
            if file.exists():
                for line in read(file).splitlines():
                    with suppress(msgspec.DecodeError):
                        yield msgspec.json.decode(line, type=Issued)

    def find(self, serial: int) -> Issued | None:
        """The certificate with a serial number."""
        wanted = f"{serial:x}"
        return next((each for each in self.entries() if each.serial == wanted), None)
