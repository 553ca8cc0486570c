"""Configurations out of the schema, as plain data: right ones, and ones with anything anywhere."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from hypothesis import strategies as st

from conf.access import AccessPolicy, AccessRule, Callers, Calls
from conf.accesslog import AccessLog
from conf.admin import Admin
from conf.agent import AgentConfig
from conf.router import HttpRouter, TcpRouter
from conf.schema import Key, Keys, Kinds, Many, Number, Shape, Table, Text, Truth, keys_of
from conf.section import Section, short_kind
from conf.server import Listener, TcpServer
from conf.tls import ClientTlsKeys, ServerTlsKeys

Data = st.SearchStrategy[object]

_TEXTS: Final = [
    "/a",
    "/a/*/{x}",
    "/{x}/b",
    "/a => /b",
    "/$/inet/h/1",
    "Host",
    "127.0.0.1",
    "::1",
    "^/x$",
    "mesh_",
    "a label",
    "TLSv1.2",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "GET",
    "200-399",
    "{x}.example",
    "flag",
    "stale",
    "passing",
    "health",
    "refuse",
    "tryAll",
    "0660",
    "info",
    "v1",
    "stdout",
    "json",
    "all",
    "never",
    "http://127.0.0.1:4318",
    "ca.example:4150",
    "DEBUG",
    "allow",
    "root",
    "strict",
    "spiffe://mesh.example/host/{node}",
    "RS256",
    "identity",
    "mesh/authz",
]

_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10)
anything: Data = st.recursive(
    _scalars,
    lambda items: st.lists(items, max_size=4) | st.dictionaries(st.text(max_size=8), items, max_size=4),
)


def configurations(*, wild: bool) -> st.SearchStrategy[dict[str, object]]:
    """Configurations with known keys. The wild ones have anything as a value now and then."""
    return _section(AgentConfig, wild)


def _section(section: type[Section], wild: bool) -> st.SearchStrategy[dict[str, object]]:
    keys = keys_of(section).values()
    found = st.fixed_dictionaries(
        {key.name: _later(key, wild) for key in keys if key.required},
        optional={key.name: _later(key, wild) for key in keys if not key.required},
    )
    return found if wild else found.map(lambda given: _in_harmony(section, given))


def _in_harmony(section: type[Section], given: dict[str, object]) -> dict[str, object]:
    """The same without keys that cannot stand together, or nearly every configuration would be refused."""
    left_out: Collection[str] = ()
    if issubclass(section, Listener | Admin):
        left_out = ("callers", *(("ip", "port") if "path" in given else ("mode", "allowUids")))
    if issubclass(section, TcpServer) and "path" not in given:
        given = {"port": 0, **given}
    if issubclass(section, ServerTlsKeys):
        left_out = ("ciphers",) if "caCertPath" in given else ("ciphers", "requireClientAuth", "crlPath")
    if issubclass(section, ClientTlsKeys):
        left_out = ("plainIfRefused", "disableValidation", "trustCerts", "protocols")
        if "agents" in given:
            own = {"certPath": "cert.pem", "keyPath": "key.pem"}
            given = {"identity": "spiffe://mesh.example/host/{node}", "clientAuth": own, **given}
            left_out += ("commonName",)
        if "identity" in given:
            given = {"trustCertsBundle": "ca.pem", **given}
    if issubclass(section, AccessLog):
        left_out = ("slowMs",)
    if issubclass(section, Callers):
        left_out = ("claims",)
        given = {"users": ["root"], **given}
    if issubclass(section, Calls):
        left_out = ("services",)
        given = {"methods": ["GET"], **given}
    if issubclass(section, AccessRule):
        left_out = ("name", "authorizer", "whenDown")
        given = {**given, "action": "deny"}
    if issubclass(section, AccessPolicy):
        left_out = ("authorizers", "tokens", "rules" if "from" in given else "")
    if issubclass(section, HttpRouter):
        left_out = ("httpAccessLog",)
    if issubclass(section, TcpRouter):
        left_out = ("client", "service", "policy")
    return {key: value for key, value in given.items() if key not in left_out}


def _later(key: Key, wild: bool) -> Data:
    if key.only and not wild:
        return st.sampled_from(key.only)
    right = st.deferred(lambda: _value(key.shape, wild))
    return st.one_of(right, right, right, right, anything) if wild else right


def _value(shape: Shape, wild: bool) -> Data:
    match shape:
        case Truth():
            return st.booleans()
        case Number(low, high, whole):
            return st.integers(int(low), int(high)) if whole else st.floats(low, high)
        case Text():
            return st.sampled_from(_TEXTS) if wild else st.sampled_from([text for text in _TEXTS if _fits(text, shape)])
        case Many(item=item, fewest=fewest):
            return st.lists(_value(item, wild), min_size=0 if wild else fewest, max_size=2)
        case Table(key=key, item=item):
            return st.dictionaries(st.sampled_from([text for text in _TEXTS if _fits(text, key)]), _value(item, wild))
        case Keys(section):
            return _section(section, wild)
        case Kinds(tag, members):
            return st.one_of([_of_kind(tag, name, member, wild) for name, member in members.items()])


def _of_kind(tag: str, name: str, member: type[Section], wild: bool) -> Data:
    names = st.sampled_from([name, short_kind(name)])
    return st.builds(lambda keys, kind: {**keys, tag: kind}, _section(member, wild), names)


def _fits(text: str, shape: Text) -> bool:
    if shape.reader is None:
        return True
    try:
        shape.reader.read(text)
    except ValueError:
        return False
    return True
