"""What StatsD is told adds up to what was counted, in packets that fit."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.telemetry import linkerd_names
from nodeagent.telemetry.histogram import Histogram
from nodeagent.telemetry.linkerd_names import Gauge, Metric, Stat, metrics
from nodeagent.telemetry.registry import Registry
from nodeagent.telemetry.statsd import MOST, PACKET, Lines, key, packets
from tests.nodeagent.telemetry.readings import balancer_reading

LATENCY = ("rt", "out", "service", "svc/web", "request_latency_ms")


def tell(lines: Lines, *metrics: Metric) -> list[str]:
    told = [line for metric in metrics for line in lines.of(metric)]
    lines.next_round()
    return told


def requests(count: int) -> Metric:
    return Metric(("rt", "out", "service", "svc/web", "requests"), linkerd_names.Counter(count))


def weights(told: list[str]) -> float:
    """How many observations the lines stand for."""
    found = 0.0
    for line in told:
        matched = re.fullmatch(r"[^:]+:[0-9.]+\|ms(?:\|@([0-9.e-]+))?", line)
        assert matched, line
        found += 1 / float(matched[1] or 1)
    return found


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (("rt", "out", "service", "svc/web", "requests"), "rt.out.service.svc.web.requests"),
        (("rt", "out", "server", "127.0.0.1/4140", "requests"), "rt.out.server.127_0_0_1.4140.requests"),
        (("rt", "http", "client", "#/io.l5d.fs/web", "success"), "rt.http.client._.io_l5d_fs.web.success"),
        (("rt", "a:b|c", "service", "svc/x\n#@é", "requests"), "rt.a_b_c.service.svc.x____.requests"),
        (("rt", "out", "service", "/svc//web", "requests"), "rt.out.service.svc.web.requests"),
    ],
)
def test_names_are_linkerds_and_hostile_ones_end_no_line(path: tuple[str, ...], name: str) -> None:
    assert key(path) == name


def test_a_counter_tells_what_is_new_and_nothing_when_there_is_nothing() -> None:
    lines = Lines("linkerd", 1.0)

    assert tell(lines, requests(3)) == ["linkerd.rt.out.service.svc.web.requests:3|c"]
    assert tell(lines, requests(3)) == []
    assert tell(lines, requests(10)) == ["linkerd.rt.out.service.svc.web.requests:7|c"]
    assert tell(lines, requests(2)) == ["linkerd.rt.out.service.svc.web.requests:2|c"], "it was begun anew"
    assert tell(lines) == []
    assert tell(lines, requests(1)) == ["linkerd.rt.out.service.svc.web.requests:1|c"], "it had gone, and came back"


def test_a_gauge_is_told_each_time() -> None:
    lines = Lines("", 1.0)
    pending = Metric(("pending",), Gauge(2.0))

    assert [tell(lines, pending), tell(lines, pending)] == [["pending:2|g"], ["pending:2|g"]]
    assert tell(lines, Metric(("budget",), Gauge(0.12345))) == ["budget:0.123|g"]


def test_latencies_are_milliseconds_and_only_the_new_ones() -> None:
    lines, histogram = Lines("l", 1.0), Histogram()
    latency = Metric(LATENCY, Stat(histogram, 1000.0))
    histogram.observe(0.1)
    first = tell(lines, latency)
    histogram.observe(2.0)
    histogram.observe(2.0)
    second = tell(lines, latency)

    assert [float(line.split(":")[1].split("|")[0]) for line in first] == pytest.approx([100], rel=0.05)
    assert [float(line.split(":")[1].split("|")[0]) for line in second] == pytest.approx([2000, 2000], rel=0.05)
    assert tell(lines, latency) == []


@given(
    st.lists(st.floats(0.00001, 100.0), max_size=300),
    st.sampled_from([1.0, 0.5, 0.01]),
    st.integers(0, 300),
)
def test_the_weights_of_what_is_sent_add_up_to_all_of_it(values: list[float], rate: float, cut: int) -> None:
    lines, histogram = Lines("l", rate), Histogram()
    latency = Metric(LATENCY, Stat(histogram, 1000.0))
    told = 0.0
    for part in (values[:cut], values[cut:]):
        for value in part:
            histogram.observe(value)
        told += weights(tell(lines, latency))

    assert told == pytest.approx(len(values), rel=1e-4)


def test_a_flood_of_latencies_is_few_lines_whatever_the_rate() -> None:
    lines, histogram = Lines("l", 1.0), Histogram()
    for _ in range(10_000):
        histogram.observe(0.1)
    told = tell(lines, Metric(LATENCY, Stat(histogram, 1000.0)))

    assert len(told) == MOST
    assert weights(told) == pytest.approx(10_000)


@given(st.lists(st.text("abc.:|", min_size=1, max_size=60)), st.integers(60, 200))
def test_packets_hold_all_lines_in_order_and_none_is_too_long(lines: list[str], size: int) -> None:
    made = list(packets(lines, size))

    assert all(0 < len(packet) <= size for packet in made)
    assert [line for packet in made for line in packet.decode().split("\n")] == lines


def test_a_line_that_fits_into_no_packet_is_left_out() -> None:
    assert list(packets(["a:1|c", "b" * PACKET + ":1|c", "c:1|c"])) == [b"a:1|c\nc:1|c"]


def test_everything_that_is_counted_is_told_once() -> None:
    registry = Registry()
    registry.server("out", "127.0.0.1", 4140).statuses[2] = 4
    registry.services.acquire("out", "/svc/web", lambda: 1.0).retries["status"] = 2
    registry.clients.acquire("out", "/#/web", lambda: balancer_reading(3, ejections=1)).failure = 5
    registry.namer("/#/io.l5d.fs").updates = 6

    told = Counter(line.split(":")[0] for line in tell(Lines("l", 1.0), *metrics(registry)))

    assert {"l.rt.out.service.svc.web.retries.total", "l.namer._.io_l5d_fs.updates"} <= set(told)
    assert {"l.rt.out.client._.web.loadbalancer.available", "l.rt.out.server.127_0_0_1.4140.requests"} <= set(told)
    assert set(told.values()) == {1}
