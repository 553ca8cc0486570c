"""The arithmetic of a comparison: medians, ratios within a round, and the tables that show them."""

import pytest

from bench.results import (
    METRICS,
    Metric,
    Spread,
    brief,
    figures,
    figures_table,
    losses,
    ratio_table,
    ratios,
    spread,
    summary,
    summary_table,
    with_added_latency,
)

CPU = Metric("cpu_us", "CPU us/request", 1)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([], None, id="nothing measured"),
        pytest.param([5.0], Spread(5.0, 5.0, 5.0), id="one round"),
        pytest.param([9.0, 1.0, 2.0], Spread(1.0, 2.0, 9.0), id="the median of three is the middle one"),
        pytest.param([4.0, 1.0, 2.0, 9.0], Spread(1.0, 3.0, 9.0), id="an even number of rounds"),
    ],
)
def test_spread(values: list[float], expected: Spread | None) -> None:
    assert spread(values) == expected


@pytest.mark.parametrize(
    ("value", "digits", "shown"),
    [
        pytest.param(Spread(1.0, 2.0, 9.0), 1, "2.0 (1.0..9.0)", id="with its neighbours"),
        pytest.param(Spread(2.0, 2.0, 2.0), 2, "2.00", id="alone when all are the same"),
        pytest.param(Spread(2.001, 2.002, 2.003), 2, "2.00", id="alone when the digits shown are the same"),
        pytest.param(Spread(9_999, 18_700, 20_000), 0, "18,700 (9,999..20,000)", id="thousands"),
    ],
)
def test_spread_shows_what_differs(value: Spread, digits: int, shown: str) -> None:
    assert value.show(digits) == shown


def test_a_ratio_is_taken_within_a_round() -> None:
    """A machine that is twice as slow in the second round changes the figures, not the ratio."""
    agent = [{"cpu_us": 40.0}, {"cpu_us": 80.0}]
    envoy = [{"cpu_us": 50.0}, {"cpu_us": 100.0}]

    assert ratios(agent, envoy, CPU) == Spread(0.8, 0.8, 0.8)
    assert figures(agent, CPU) == Spread(40.0, 60.0, 80.0)


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        pytest.param([{}], [{"cpu_us": 5.0}], None, id="we do not have it"),
        pytest.param([{"cpu_us": 5.0}], [{}], None, id="they do not have it"),
        pytest.param([{"cpu_us": 5.0}], [{"cpu_us": 0.0}], None, id="nothing to divide by"),
        pytest.param([{"cpu_us": 5.0}], [{"cpu_us": -0.1}], None, id="less than the backend alone is noise"),
        pytest.param(
            [{"cpu_us": 5.0}, {"cpu_us": 6.0}],
            [{"cpu_us": 0.0}, {"cpu_us": 2.0}],
            Spread(3.0, 3.0, 3.0),
            id="one round of two tells",
        ),
    ],
)
def test_a_ratio_that_means_nothing_is_left_out(
    ours: list[dict[str, float]], theirs: list[dict[str, float]], expected: Spread | None
) -> None:
    assert ratios(ours, theirs, CPU) == expected


def test_added_latency_is_over_the_backend_alone_in_the_same_round() -> None:
    samples = {
        "direct": [{"p50_ms": 0.5, "p99_ms": 1.0}, {"p50_ms": 0.25, "p99_ms": 2.0}],
        "agent": [{"p50_ms": 0.75, "p99_ms": 3.0}, {"p50_ms": 0.75, "p99_ms": 2.5}],
    }

    added = with_added_latency(samples)

    assert [row["p50_added_ms"] for row in added["agent"]] == [0.25, 0.5]
    assert [row["p99_added_ms"] for row in added["agent"]] == [2.0, 0.5]
    assert added["direct"] == samples["direct"]


def test_lost_requests_are_named_with_their_round() -> None:
    samples = {"envoy": [{"errors": 0}, {"errors": 0}], "agent": [{"errors": 0}, {"errors": 12}]}
    assert losses(samples) == ["agent lost 12 requests in round 2"]


def test_the_figures_table_has_the_columns_that_somebody_has() -> None:
    samples = {"direct": [{"rate": 80_000.0}], "agent": [{"rate": 16_000.0, "cpu_us": 61.04}]}
    assert figures_table(samples).splitlines() == [
        "|        | CPU us/request | requests/s |",
        "| ------ | -------------- | ---------- |",
        "| direct | -              | 80,000     |",
        "| agent  | 61.0           | 16,000     |",
    ]


def test_the_ratio_table_leaves_out_its_reference_and_the_backend_alone() -> None:
    samples = {
        "direct": [{"rate": 80_000.0}] * 2,
        "agent": [{"cpu_us": 40.0}, {"cpu_us": 60.0}],
        "envoy": [{"cpu_us": 50.0}, {"cpu_us": 50.0}],
    }
    assert ratio_table(samples, "envoy").splitlines() == [
        "| over envoy | CPU us/request    |",
        "| ---------- | ----------------- |",
        "| agent      | 1.00 (0.80..1.20) |",
    ]


def test_the_summary_holds_samples_figures_and_ratios() -> None:
    samples = {"agent": [{"cpu_us": 40.0}], "envoy": [{"cpu_us": 50.0}]}

    whole = summary(samples, ["envoy"])

    assert whole["samples"] == samples
    assert whole["figures"] == {
        "agent": {"cpu_us": {"min": 40.0, "median": 40.0, "max": 40.0}},
        "envoy": {"cpu_us": {"min": 50.0, "median": 50.0, "max": 50.0}},
    }
    assert whole["ratios"] == {
        "envoy": {
            "agent": {"cpu_us": {"min": 0.8, "median": 0.8, "max": 0.8}},
            "envoy": {"cpu_us": {"min": 1.0, "median": 1.0, "max": 1.0}},
        }
    }


def test_metric_keys_are_different() -> None:
    assert len({metric.key for metric in METRICS}) == len(METRICS)


def test_the_summary_table_sets_the_agent_beside_each_of_the_others() -> None:
    results = {
        "small": {"agent": [{"cpu_us": 40.0, "rate": 9.0}], "nginx": [{"cpu_us": 20.0, "rate": 18.0}]},
        "down1g": {"agent": [{"mb_s": 900.0}], "haproxy": [{"mb_s": 1000.0}]},
    }

    table = summary_table(results, {"small": ["cpu_us"], "down1g": ["mb_s"]}, ["haproxy", "nginx"])

    assert table.splitlines()[2:] == [
        "| small    | CPU us/request | 40.0  | -            | 2.00       |",
        "| down1g   | MB/s           | 900   | 0.90         | -          |",
    ]


def test_a_measurement_in_a_few_words() -> None:
    assert brief({"rate": 12_345.0, "p50_ms": 1.0, "errors": 0.0}) == "12,345 requests/s"
    assert brief({"cpu_ms_gib": 800.0, "mb_s": 1000.4}) == "1,000 MB/s, 800 CPU ms/GiB"
