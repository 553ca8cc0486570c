"""The page in InfluxDB's line protocol, as linkerd writes it."""

from __future__ import annotations

import re

import pytest

from nodeagent.telemetry.influxdb import render
from nodeagent.telemetry.registry import Registry
from tests.nodeagent.telemetry.readings import balancer_reading

LINE = re.compile(r"[\w:]+(?:,\w+=(?:[^\\,= \n]|\\[,= ])+)+ \w+=-?[0-9.]+(?:,\w+=-?[0-9.]+)*\n")


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    registry.server("out", "127.0.0.1", 4140).statuses[2] = 4
    service = registry.services.acquire("out", "/svc/web", lambda: 100.0)
    service.success, service.retries["status"] = 3, 2
    service.duration.observe(0.1)
    client = registry.clients.acquire("out", "/#/io.l5d.fs/web", lambda: balancer_reading(3))
    client.connect_failures["connection_refused"] = 2
    registry.namer("/#/io.l5d.fs").updates = 6
    return registry


@pytest.mark.parametrize(
    "part",
    [
        "rt:server,host=h,rt=out,server=127.0.0.1/4140 requests=4,",
        "rt:service,host=h,rt=out,service=/svc/web requests=3,success=3,failures=0,pending=0.0,request_latency_ms_",
        "rt:service:retries,host=h,rt=out,service=/svc/web total=2,",
        "rt:client:failures,client=/#/io.l5d.fs/web,host=h,rt=out connection_refused=2\n",
        "rt:client:loadbalancer,client=/#/io.l5d.fs/web,host=h,rt=out size=3.0,available=3.0,",
        "request_latency_ms_p999=",
        "namer,host=h,namer=/#/io.l5d.fs updates=6,errors=0\n",
    ],
)
def test_everything_has_linkerds_measurement_tags_and_fields(registry: Registry, part: str) -> None:
    assert part in render(registry, "h")


def test_each_line_is_one_of_the_protocol(registry: Registry) -> None:
    registry.originators.add("out")
    registry.services.acquire("o t,=", '/svc/a b,c=d\n\\"x', lambda: 1.0).success = 1
    page = render(registry, "h")

    assert all(LINE.fullmatch(line) for line in page.splitlines(keepends=True)), page
    assert 'service=/svc/a\\ b\\,c\\=d__"x ' in page


def test_a_distribution_without_observations_has_no_fields(registry: Registry) -> None:
    client = next(line for line in render(registry, "h").splitlines() if line.startswith("rt:client,"))

    assert "request_latency_ms" not in client


def test_an_agent_that_is_called_nothing_is_none(registry: Registry) -> None:
    assert "namer,host=none," in render(registry, "")
    assert render(Registry(), "h") == ""
