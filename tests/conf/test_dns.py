"""The DNS, and its namer."""

from __future__ import annotations

import pytest

import conf
from conf.dns import Dns, DnsSrvNamer
from namer.path import Path
from tests.conf.texts import MINIMAL, problems


def dns(keys: str) -> Dns:
    return conf.load(MINIMAL + f"dns: {keys}", "l5d").dns


def test_unset_the_files_of_the_host_say() -> None:
    assert conf.load(MINIMAL, "l5d").dns == Dns()
    assert (Dns().hosts, Dns().search, Dns().ndots, Dns().timeout_ms, Dns().attempts) == (None,) * 5


def test_all_keys() -> None:
    text = (
        "{hosts: [10.0.0.2, '10.0.0.2:8600', '[::1]:5353'], search: [Svc.cluster.local., corp], ndots: 2, "
        "timeoutMs: 500, attempts: 3, minTtlSecs: 2, maxTtlSecs: 60, maxNegativeTtlSecs: 10, maxStaleSecs: 3600}"
    )
    assert dns(text) == Dns(
        hosts=("10.0.0.2", "10.0.0.2:8600", "[::1]:5353"),
        search=("svc.cluster.local", "corp"),
        ndots=2,
        timeout_ms=500,
        attempts=3,
        min_ttl_secs=2,
        max_ttl_secs=60,
        max_negative_ttl_secs=10,
        max_stale_secs=3600,
    )


def test_an_empty_search_list_is_none() -> None:
    assert dns("{search: []}").search == ()


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ("{hosts: [ns.example.org]}", "dns.hosts[0]: expected an IP address, with or without a port: 10.0.0.2, "),
        ("{hosts: ['10.0.0.2:99999']}", "dns.hosts[0]: expected an IP address, with or without a port: 10.0.0.2, "),
        ("{hosts: []}", "dns.hosts: expected at least one item, found an empty list"),
        ("{search: ['a b']}", "dns.search[0]: expected a domain such as svc.cluster.local"),
        ("{ndots: 16}", "dns.ndots: "),
        ("{timeoutMs: 30001}", "dns.timeoutMs: "),
        ("{attempts: 0}", "dns.attempts: "),
        ("{minTtlSecs: 0}", "dns.minTtlSecs: "),
        ("{minTtlSecs: 400}", "dns.minTtlSecs: is above maxTtlSecs, which is 300"),
    ],
)
def test_what_is_refused(keys: str, problem: str) -> None:
    (line,) = problems(MINIMAL + f"dns: {keys}")

    assert problem in line


def test_the_namer_of_srv_records() -> None:
    text = MINIMAL + "namers: [{kind: dnssrv}, {kind: io.l5d.dnssrv, refreshIntervalSeconds: 5, dnsHosts: ['::1']}]"

    assert conf.load(text, "l5d").namers == (
        DnsSrvNamer(prefix=Path(("dnssrv",))),
        DnsSrvNamer(prefix=Path(("io.l5d.dnssrv",)), refresh_interval_seconds=5, dns_hosts=("::1",)),
    )


def test_a_server_of_that_namer_is_an_address() -> None:
    (line,) = problems(MINIMAL + "namers: [{kind: io.l5d.dnssrv, dnsHosts: [ns.example.org]}]")

    assert "namers[0].dnsHosts[0]: expected an IP address" in line
