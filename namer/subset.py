"""Subsets of a service: `users;v=2;zone=a` means those instances of `users` for which all of it holds.

    key=value    the instance has `value` under `key` in its metadata, or a tag `key=value`, or a tag `keyvalue` (`v2`)
    word         the instance has the tag `word`

Letters of either case are equal, because names come out of `Host`, which has none. In a dtab the label is written with
escapes, as `/#/io.l5d.consul/dc1/users\\x3bv\\x3d2`. The idea is that of Consul's service subsets and Istio's
DestinationRule, without a second place where a subset has to be defined.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

MAX_TERMS: Final = 16
"""Terms of one subset; a label with more is no name of a subset."""

TAG: Final = "tag"
"""The key in `Endpoint.meta` of what a registry gives without a key; it may be there several times."""

Meta: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Subset:
    """The terms that an instance must meet, in lower case and as written."""

    terms: tuple[str, ...]

    def matches(self, meta: Meta) -> bool:
        """Whether an instance with this metadata is in the subset."""
        has = {(key.lower(), value.lower()) for key, value in meta}
        return all(_holds(term, has) for term in self.terms)

    def nobody(self, name: str, others: int) -> str:
        """What to tell people when none of the instances of a service is in the subset; it has `others`."""
        rest = f"; {others} {'other has' if others == 1 else 'others have'} not" if others else ""
        return f"no instance of {name} has {self}{rest}"

    def __str__(self) -> str:
        return " and ".join(self.terms)


def split(label: str) -> tuple[str, Subset | None]:
    """A label as the name of the service and the subset of it that is meant; None is all of it."""
    name, *terms = label.split(";")
    wanted = tuple(term.lower() for term in terms if term)
    if len(wanted) > MAX_TERMS:
        return label, None
    return name, Subset(wanted) if wanted else None


def _holds(term: str, has: set[tuple[str, str]]) -> bool:
    key, equals, value = term.partition("=")
    if not equals:
        return (TAG, term) in has
    return not has.isdisjoint({(key, value), (TAG, term), (TAG, key + value)})
