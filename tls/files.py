"""The files of TLS, read so that what is wrong with one is said with its name. An edge: blocks on the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Final

MAX_FILE: Final = 8 * 1024 * 1024
"""Bytes of one file; the largest trust bundles have a quarter of a megabyte."""


class TlsConfigError(ValueError):
    """A file cannot be used. The message begins with its name."""


def read_file(file: str) -> bytes:
    """The content of a file. Raises TlsConfigError, also when it is larger than any could be."""
    try:
        with Path(file).open("rb") as opened:
            data = opened.read(MAX_FILE + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise TlsConfigError(f"{file}: cannot be read: {reason}") from None
    if len(data) > MAX_FILE:
        raise TlsConfigError(f"{file}: over {MAX_FILE} bytes; expected certificates or a key")
    return data
