"""docs/configuration.md, made from the schema, so that it cannot say anything else than the program does.

python -m conf.reference > docs/configuration.md
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping
from typing import Final

from conf.agent import AgentConfig
from conf.client import ClientKeys, ClientParams, GlobalClient
from conf.retries import Retries
from conf.scalars import takes
from conf.schema import Key, Keys, Kinds, Many, Text, keys_of
from conf.section import Absent, Kinded, Section, short_kind
from conf.service import GlobalService, ServiceParams
from namer.dtab import Dtab
from namer.path import Path

_INTRODUCTION: Final = """\
# Configuration

<!-- Made by `python -m conf.reference`. Do not edit: change the schema in `conf/` instead. -->

The configuration is one file in linkerd 1.x's vocabulary, YAML or JSON, or the standard input (`-`).
`nodeagent check FILE` reads it without binding a port and prints every problem in it, one a line, as
`FILE:LINE:COLUMN: KEY: what is wrong`.

* A key that is not known, a key given twice, a value of the wrong type or out of range, and a kind that is not
  known are errors. So are keys and kinds of linkerd 1.x that this agent does not provide: nothing is silently
  ignored. [linkerd1.md](linkerd1.md) lists them.
* Values have types: a number in quotes is a text, and a text that looks like a number needs quotes. Truth values
  are `true` and `false` only. A key without a value (`client:`) is as if it were not there.
* A kind is given by linkerd's name or by its short form: `io.l5d.fs` or `fs`. The names of a namer without a
  `prefix` stand under the one that is written.
* Anchors and aliases work. Tags and merge keys (`<<`) do not. A file has at most 8 MiB.
* Keys that end in `Ms` are milliseconds, in `Secs` seconds, in `KB` 1024 bytes, in
  `MB` 1024 of these.
* Where no reason is given and the default is linkerd 1.x's, that is the reason: a configuration means the same in both.
* Of a policy by prefix (`configs`), a default is what holds when no prefix that matches sets the key.
"""

_HEADER: Final = """\
| Key | Takes | Default | What it does | Why this default | As in |
|---|---|---|---|---|---|
"""


def render() -> str:
    """Return the whole page."""
    return _INTRODUCTION + "".join(_Page().section(AgentConfig, ""))


class _Page:
    """Sections, each before those below it; what was shown at one place is only pointed to at another."""

    def __init__(self) -> None:
        self._shown: dict[object, str] = {}
        self._paths: set[tuple[str, object]] = set()

    def section(self, section: type[Section], path: str, of: str = "") -> Iterator[str]:
        """A section; `of` tells its place apart from an equal path under another kind."""
        yield f"\n## {f'`{path}`{of}' if path else 'Top level'}\n\n"
        if section in self._shown:
            yield f"As `{self._shown[section]}`.\n"
            return
        self._shown[section] = path
        yield _prose(section)
        yield from _table(section)
        yield from _refused("Keys", section.absent)
        yield from self._below(section, path, of)

    def _family(self, kinds: Kinds, path: str) -> Iterator[str]:
        members = tuple(kinds.members.values())
        yield f"\n## `{path}`\n\n"
        if members in self._shown:
            yield f"As `{self._shown[members]}`.\n"
            return
        self._shown[members] = path
        yield _prose(_base(kinds))
        default = kinds.family.default_kind
        yield f"\nThe key `{kinds.tag}` says which"
        yield f"; `{default}` if it is not given.\n" if default else "; it must be given.\n"
        for name, member in kinds.members.items():
            yield from _kind(name, member, path)
        yield from _refused(f"{kinds.tag.capitalize()}s", kinds.family.absent_kinds)
        for member in members:
            yield from self._below(member, path)

    def _below(self, section: type[Section], path: str, of: str = "") -> Iterator[str]:
        kind = section.__struct_config__
        for key in keys_of(section).values():
            shape, below = key.shape, f"{path}.{key.name}" if path else key.name
            if isinstance(shape, Many):
                below = below if shape.or_one else f"{below}[]"
                shape = shape.item
            if not isinstance(shape, Keys | Kinds):
                continue
            what = shape.section if isinstance(shape, Keys) else tuple(shape.members.values())
            if (below, what) in self._paths:
                continue
            if kind.tag and any(below == known for known, _ in self._paths):
                of = f" of {kind.tag_field} `{kind.tag}`"
            self._paths.add((below, what))
            if isinstance(shape, Keys):
                yield from self.section(shape.section, below, of)
            else:
                yield from self._family(shape, below)


def _kind(name: str, member: type[Kinded], path: str) -> Iterator[str]:
    short = short_kind(name)
    yield f"\n### `{path}`: `{name}`{f' or `{short}`' if short != name else ''}\n\n"
    yield _prose(member)
    yield from _table(member)
    yield from _refused("Keys", member.absent)


def _base(kinds: Kinds) -> type[Kinded]:
    """What all members of a family inherit from."""
    members = kinds.members.values()
    return next(
        base
        for base in kinds.family.__mro__[1:]
        if issubclass(base, Kinded) and all(issubclass(member, base) for member in members)
    )


def _table(section: type[Section]) -> Iterator[str]:
    keys = keys_of(section).values()
    if keys:
        yield "\n" + _HEADER
    for key in keys:
        about = key.about
        cells = f"`{key.name}`", _takes(key), _default(section, key), about.text, about.why, about.like
        yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |\n"


def _takes(key: Key) -> str:
    if key.only:
        return f"{takes(key.shape)}; now only {' or '.join(f'`{_literal(value)}`' for value in key.only)}"
    match key.shape:
        case Many(item=item, or_one=or_one):
            return f"a list, each {takes(item)}{', or one alone' if or_one else ''}"
        case Text(longest=int(longest)):
            return f"{takes(key.shape)}, up to {longest} characters"
        case _:
            return takes(key.shape)


def _default(section: type[Section], key: Key) -> str:
    if key.about.unset:
        return key.about.unset
    if key.required:
        return "must be given"
    default = key.default if key.default is not None else getattr(_filled(section), key.field)
    match default:
        case Kinded():
            return f"`{default.kind}`"
        case Section():
            return "its defaults"
        case ():
            return "none"
        case tuple():
            return ", ".join(f"`{item.kind if isinstance(item, Kinded) else item}`" for item in default)
        case Dtab():
            return "empty"
        case _:
            return f"`{_literal(default)}`"


def _filled(section: type[Section]) -> object:
    """What fills the keys that are not set: of a policy, and of its retries."""
    if issubclass(section, ClientKeys):
        return GlobalClient.of(ClientParams())
    policy = GlobalService.of(ServiceParams())
    return policy.retries if section is Retries else policy


def _literal(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case Path():
            return value.show()
        case "":
            return '""'
        case _:
            return str(value)


def _refused(what: str, absent: Mapping[str, Absent]) -> Iterator[str]:
    for planned, when in ((True, "yet"), (False, "here")):
        names = [f"`{name}` ({each.feature})" for name, each in absent.items() if each.planned == planned]
        if names:
            yield f"\n{what} not provided {when}: {', '.join(names)}.\n"


def _prose(section: type[Section]) -> str:
    return (inspect.getdoc(section) or "") + "\n"


if __name__ == "__main__":
    sys.stdout.write(render())
