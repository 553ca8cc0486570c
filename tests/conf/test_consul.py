"""Consul's sections."""

from __future__ import annotations

import pytest

import conf
from conf.consul import ConsulNamer, TagWeight
from conf.tls import ApiTlsKeys
from namer.path import Path
from tests.conf.texts import MINIMAL, problems

PREFIX = Path(("io.l5d.consul",))


@pytest.mark.parametrize(
    ("keys", "namer"),
    [
        pytest.param("", ConsulNamer(prefix=PREFIX), id="nothing but the kind"),
        pytest.param(
            ", host: c, port: 8501, includeTag: true, useHealthCheck: true, healthStatuses: [passing, warning], "
            "token: t, setHost: true, consistencyMode: stale, failFast: true, preferServiceAddress: false, "
            "weights: [{tag: primary, weight: 100}], fixedLengthStreamedAfterKB: 1, transferMetadata: true, "
            "tls: {commonName: c}, tokenFile: f",
            ConsulNamer(
                prefix=PREFIX,
                host="c",
                port=8501,
                include_tag=True,
                use_health_check=True,
                health_statuses=("passing", "warning"),
                token="t",
                token_file="f",
                set_host=True,
                consistency_mode="stale",
                fail_fast=True,
                prefer_service_address=False,
                weights=(TagWeight(tag="primary", weight=100),),
                fixed_length_streamed_after_kb=1,
                transfer_metadata=True,
                tls=ApiTlsKeys(common_name="c"),
            ),
            id="everything",
        ),
    ],
)
def test_keys(keys: str, namer: ConsulNamer) -> None:
    assert conf.load(MINIMAL + f"namers: [{{kind: io.l5d.consul{keys}}}]", "l5d").namers == (namer,)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ("consistencyMode: eventual", "expected one of default, stale, consistent"),
        ("healthStatuses: [fine]", "expected one of passing, warning, critical, maintenance, any"),
        ("healthStatuses: []", "healthStatuses"),
        ("weights: [{tag: a, weight: 0}]", "0 is out of range"),
        ("includeTags: true", 'did you mean "includeTag"?'),
        ('tls: {commonName: "{host}"}', "no capture {host}"),
    ],
)
def test_problems(keys: str, says: str) -> None:
    (line,) = problems(MINIMAL + f"namers: [{{kind: consul, {keys}}}]")

    assert says in line
