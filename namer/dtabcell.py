"""A delegation table that comes from outside and is followed, as namer/document.py says."""

from __future__ import annotations

from typing import TypeAlias

from namer.document import Document, UnusableError
from namer.dtab import Dtab
from namer.grammar import MAX_DTAB_CHARS, NameSyntaxError
from namer.namer import Failure, Pending

DtabState: TypeAlias = Pending | Failure | Dtab


def dtab_document(behind: Dtab = Dtab.EMPTY) -> Document[Dtab]:
    """The tables of texts, with `behind` after them."""

    def read(text: str, origin: str, before: Dtab | None) -> Dtab:
        try:
            return parse_table(text, behind, before)
        except NameSyntaxError as error:
            raise UnusableError(f"{origin}:{error.line}:{error.column}: {error.message}") from None

    return Document("dtab", read, 4 * MAX_DTAB_CHARS, f" ; {behind.show()}" if behind.dentries else "")


def parse_table(text: str, behind: Dtab, before: Dtab | None) -> Dtab:
    """The table of a text with `behind` after it, prepared for taking the place of `before`.

    Raises NameSyntaxError. Blocks, for a second when there are a hundred thousand dentries.
    """
    return Dtab.parse(text).prepared(before or Dtab.EMPTY) + behind
