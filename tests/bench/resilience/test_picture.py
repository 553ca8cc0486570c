"""The pictures are well-formed SVG, small, and have one panel for each proxy."""

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from bench.resilience.picture import PANEL, Scale, picture
from bench.resilience.scenario import FIRST, SECOND
from tests.bench.resilience.some import SOME

SVG = "{http://www.w3.org/2000/svg}"
RESULTS = {f"proxy-{number}": SOME for number in range(5)}


def test_it_is_well_formed_and_small() -> None:
    text = picture(FIRST, RESULTS)
    assert ElementTree.fromstring(text).tag == f"{SVG}svg"
    assert len(text) < 60_000


def test_each_proxy_has_a_panel_with_its_name_and_two_lines() -> None:
    root = ElementTree.fromstring(picture(FIRST, RESULTS))
    panels = root.findall(f"{SVG}g")
    assert ["".join(panel.itertext()).split("proxy-")[1][0] for panel in panels] == list("01234")
    assert all(len(panel.findall(f"{SVG}polyline")) == 2 for panel in panels)


def test_failures_and_the_slow_time_are_marked() -> None:
    (panel,) = ElementTree.fromstring(picture(FIRST, {"agent": SOME})).findall(f"{SVG}g")
    assert [each.get("class") for each in panel.findall(f"{SVG}rect")] == ["slow", "bad"]


def test_without_slowness_or_failures_nothing_is_marked() -> None:
    fine = replace(SOME, by_second=tuple(replace(each, failures=0) for each in SOME.by_second))
    (panel,) = ElementTree.fromstring(picture(SECOND, {"agent": fine})).findall(f"{SVG}g")
    assert panel.findall(f"{SVG}rect") == []


def test_everything_lies_inside() -> None:
    text = picture(FIRST, RESULTS)
    for line in re.findall(r'points="([^"]+)"', text):
        for x, y in (map(float, point.split(",")) for point in line.split()):
            assert 0 <= x <= 860
            assert 0 <= y <= PANEL


def test_names_are_escaped() -> None:
    ElementTree.fromstring(picture(FIRST, {"a<b&c": SOME}))


def test_a_run_of_zero_latency_has_a_scale() -> None:
    still = replace(SOME, by_second=tuple(replace(each, p50_ms=0.0, p99_ms=0.0) for each in SOME.by_second))
    ElementTree.fromstring(picture(FIRST, {"agent": still}))


@pytest.mark.parametrize(("milliseconds", "y"), [(0.0, PANEL), (1.0, PANEL), (10.0, PANEL / 2), (100.0, 0), (999.0, 0)])
def test_latency_is_logarithmic(milliseconds: float, y: float) -> None:
    assert Scale(60.0, 1.0, 100.0).y(milliseconds) == pytest.approx(y)


def test_ticks_are_the_powers_of_ten_in_the_panel() -> None:
    assert Scale(60.0, 10.0, 2500.0).ticks() == [10.0, 100.0, 1000.0]
