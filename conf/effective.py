"""The configuration as it holds, for people: every key with its value, and where that comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

from conf.admin import Admin
from conf.agent import AgentConfig, Origins
from conf.client import ClientParams, ClientPrefix, GlobalClient
from conf.errors import KeyPath
from conf.fields import show_pattern
from conf.router import FOR_REQUESTS, TcpRouter
from conf.schema import keys_of
from conf.section import Kinded, Section
from conf.server import Listener
from conf.service import GlobalService, ServiceParams, ServicePrefix
from namer.dtab import Dtab
from namer.path import Path
from namer.pattern import PathPattern

Json: TypeAlias = dict[str, "Json"] | list["Json"] | str | int | float | bool | None

REDACTED: Final = "redacted"


def effective(config: AgentConfig) -> dict[str, Json]:
    """Return the configuration by linkerd's keys; each value is `{"value": ..., "origin": ...}`.

    The origin is `FILE:LINE` or `default`; what is secret is shown as "redacted". A policy for all names is shown
    with the defaults that fill it; of a policy by prefix, what is set.
    """
    return _section(config, (), config.origins)


def _section(section: Section, at: KeyPath, origins: Origins) -> dict[str, Json]:
    shown: dict[str, Json] = {}
    tag = section.__struct_config__.tag_field
    if isinstance(section, Kinded) and tag:
        shown[tag] = _leaf(section.kind, (*at, tag), origins)
    filled = _filled(section)
    for key in keys_of(type(section)).values():
        value = getattr(filled, key.field)
        if value is None and isinstance(section, ServicePrefix | ClientPrefix):
            continue
        if isinstance(section, Listener | Admin) and key.name in section.without_effect:
            continue
        shown[key.name] = _value(_redacted(value) if key.secret else value, (*at, key.name), origins)
    if isinstance(section, TcpRouter):
        for policy, names in FOR_REQUESTS.items():
            inside = shown[str(policy)]
            assert isinstance(inside, dict)
            for name in names:
                inside.pop(name, None)
    return shown


def _redacted(value: object) -> object:
    """What may be shown of a secret: whether it is there, and the names of several."""
    return dict.fromkeys(value, REDACTED) if isinstance(value, Mapping) else REDACTED if value else value


def _value(value: object, at: KeyPath, origins: Origins) -> Json:
    if isinstance(value, Section):
        return _section(value, at, origins)
    if isinstance(value, Mapping):
        return {name: _value(item, (*at, name), origins) for name, item in value.items()}
    if isinstance(value, tuple) and any(isinstance(item, Section) for item in value):
        alone = at in origins.lines and (*at, 0) not in origins.lines
        return [_value(item, at if alone else (*at, index), origins) for index, item in enumerate(value)]
    return _leaf(_plain(value), at, origins)


def _leaf(value: Json, at: KeyPath, origins: Origins) -> Json:
    line = origins.lines.get(at)
    return {"value": value, "origin": "default" if line is None else f"{origins.origin}:{line}"}


def _plain(value: object) -> Json:
    match value:
        case None | bool() | int() | float() | str():
            return value
        case Path() | Dtab():
            return value.show()
        case PathPattern():
            return show_pattern(value)
        case tuple():
            return [_plain(item) for item in value]
        case _:
            raise AssertionError(f"no key holds {value!r}")


def _filled(section: Section) -> Section:
    """A policy for all names with the defaults that fill it; anything else as it is."""
    match section:
        case GlobalService():
            return GlobalService.of(section.over(ServiceParams()))
        case GlobalClient():
            return GlobalClient.of(section.over(ClientParams(), captured={}))
        case _:
            return section
