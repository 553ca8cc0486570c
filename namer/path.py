"""A name is a path: labels in order, written `/svc/web`.

A label holds any bytes, at least one. It is kept as `str`, decoded from UTF-8 with `surrogateescape`, so that
bytes that are no UTF-8 survive. Written, a label made only of letters, digits and `_:.#$%-` stands for
itself; in any other label every byte is written `\\xHH`. Case matters. The rules are finagle's
(`com.twitter.finagle.Path`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import overload

_PLAIN_LABEL = re.compile(r"[0-9A-Za-z_:.#$%-]+")


@dataclass(frozen=True, slots=True)
class Path:
    """An immutable sequence of labels; the empty one is written `/`.

    A label is never empty: an empty label cannot be written, and so could not be read back.
    """

    labels: tuple[str, ...] = ()

    @staticmethod
    def parse(text: str) -> Path:
        """Read a written path. Raises NameSyntaxError, with line and column."""
        from namer import grammar  # the grammar imports the values it builds, so it cannot be imported above

        return grammar.parse_path(text)

    def show(self) -> str:
        """The path as written; `Path.parse` reads it back."""
        return "/" + "/".join(map(show_label, self.labels))

    def startswith(self, prefix: Path) -> bool:
        """Whether the first labels of this path are those of `prefix`."""
        return self.labels[: len(prefix.labels)] == prefix.labels

    def __str__(self) -> str:
        return self.show()

    def __hash__(self) -> int:
        return hash(self.labels)  # without the wrapping tuple of the generated one: paths are dictionary keys

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[str]:
        return iter(self.labels)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Path: ...
    def __getitem__(self, index: int | slice) -> str | Path:
        if isinstance(index, slice):
            return Path(self.labels[index])
        return self.labels[index]

    def __add__(self, other: Path) -> Path:
        return Path(self.labels + other.labels)

    def __truediv__(self, label: str) -> Path:
        return Path((*self.labels, label))


def show_label(label: str) -> str:
    """A label as written in a path: plain, or with every byte escaped."""
    if _PLAIN_LABEL.fullmatch(label):
        return label
    return "".join(f"\\x{byte:02x}" for byte in label.encode("utf-8", "surrogateescape"))
