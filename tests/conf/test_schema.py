"""The view of the schema; and what must hold for every key and kind of it."""

from __future__ import annotations

import pytest

from conf.agent import AgentConfig
from conf.balancing import Ewma, SuccessRate
from conf.router import HttpRouter
from conf.schema import Key, Kinds, Many, Number, Shape, Text, keys_of, places_of, sections_under
from conf.section import Section, short_kind
from conf.service import ServicePrefix

SECTIONS = sorted({section for _, section in sections_under(AgentConfig)}, key=lambda section: section.__name__)
KEYS = [
    pytest.param(section, key, id=f"{section.__name__}.{key.name}")
    for section in SECTIONS
    for key in keys_of(section).values()
]


def innermost(shape: Shape) -> Shape:
    return innermost(shape.item) if isinstance(shape, Many) else shape


@pytest.mark.parametrize(("section", "key"), KEYS)
def test_every_key_is_described_and_bounded(section: type[Section], key: Key) -> None:
    assert key.about.text.endswith(".")
    match innermost(key.shape):
        case Number(low, high):
            assert low <= high
        case Text(longest=longest, reader=reader):
            assert longest is not None or reader is not None


@pytest.mark.parametrize(("section", "key"), KEYS)
def test_every_default_is_one_that_a_file_could_give(section: type[Section], key: Key) -> None:
    if isinstance(key.shape, Number) and key.default is not None:
        assert isinstance(key.default, int | float)
        assert key.shape.low <= key.default <= key.shape.high
    if key.only:
        assert key.default in key.only or key.default is None


@pytest.mark.parametrize(("section", "key"), KEYS)
def test_no_two_kinds_of_a_family_have_one_name(section: type[Section], key: Key) -> None:
    shape = innermost(key.shape)
    if isinstance(shape, Kinds):
        kinds = [*shape.members, *shape.family.absent_kinds]
        names = {name for kind in kinds for name in {kind, short_kind(kind)}}

        assert len(names) == sum(len({kind, short_kind(kind)}) for kind in kinds)


@pytest.mark.parametrize("section", SECTIONS)
def test_what_is_provided_is_not_absent(section: type[Section]) -> None:
    assert not keys_of(section).keys() & section.absent.keys()


def test_keys_have_linkerds_names() -> None:
    assert list(keys_of(HttpRouter)) == [
        "dtab",
        "dstPrefix",
        "interpreter",
        "service",
        "client",
        "addressGuard",
        "policy",
        "originator",
        "failover",
        "bindingTimeoutMs",
        "bindingCache",
        "accessLog",
        "experimental",
        "label",
        "servers",
        "identifier",
        "maxHeadersKB",
        "maxInitialLineKB",
        "maxErrResponseKB",
        "streamingEnabled",
        "streamAfterContentLengthKB",
        "compressionLevel",
        "tracePropagator",
        "httpAccessLog",
        "httpAccessLogRollPolicy",
        "httpAccessLogAppend",
        "httpAccessLogRotateCount",
    ]


def test_shapes() -> None:
    assert keys_of(Ewma)["maxEffort"].shape == Number(1, 1000, whole=True)
    assert keys_of(SuccessRate)["successRate"].shape == Number(0.0, 1.0, whole=False)
    assert keys_of(SuccessRate)["successRate"].required
    assert "origins" not in keys_of(AgentConfig)
    identifier = keys_of(HttpRouter)["identifier"].shape
    assert isinstance(identifier, Many)
    assert (identifier.or_one, identifier.fewest) == (True, 1)


def test_a_key_is_found_where_it_belongs() -> None:
    assert places_of("responseClassifier", AgentConfig) == [
        "routers[].service of kind io.l5d.global",
        "routers[].service.configs[]",
    ]
    assert places_of("pattern", AgentConfig) == ["namers[] of kind io.l5d.rewrite"]
    assert places_of("nothing", AgentConfig) == []


def test_all_sections_are_walked() -> None:
    paths = {path for path, _ in sections_under(AgentConfig)}

    assert {"", "admin.security", "routers[].identifier", "routers[].servers[].addForwardedHeader.by"} <= paths
    assert ServicePrefix in SECTIONS
