"""The key `concurrency` of a service."""

from __future__ import annotations

import pytest

from conf import resolve
from conf.concurrency import FixedConcurrency, GradientConcurrency
from namer.path import Path
from tests.conf.texts import router, router_problems


def concurrency(keys: str) -> object:
    return resolve(router(f"service: {{{keys}}}").service, Path(("svc", "x"))).concurrency


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        pytest.param("", None, id="none unless it is asked for"),
        pytest.param("concurrency: {limit: 10}", FixedConcurrency(limit=10), id="a number"),
        pytest.param(
            "concurrency: {kind: fixed, limit: 10, maxWaiters: 5, maxWaitMs: 70}",
            FixedConcurrency(limit=10, max_waiters=5, max_wait_ms=70),
            id="with a queue",
        ),
        pytest.param(
            "concurrency: {kind: gradient}",
            GradientConcurrency(min_limit=5, max_limit=1000, initial_limit=20, tolerance=1.5),
            id="one that follows latency",
        ),
        pytest.param(
            "concurrency: {kind: gradient, minLimit: 1, maxLimit: 9, initialLimit: 2, tolerance: 2, maxWaiters: 3}",
            GradientConcurrency(min_limit=1, max_limit=9, initial_limit=2, tolerance=2.0, max_waiters=3),
            id="with bounds",
        ),
    ],
)
def test_kinds(keys: str, found: object) -> None:
    assert concurrency(keys) == found


def test_a_prefix_may_have_a_limit_of_its_own() -> None:
    policy = router(
        "service: {kind: static, configs: [{prefix: /svc, concurrency: {limit: 9}},"
        " {prefix: /svc/slow, concurrency: {limit: 2}}]}"
    ).service

    limits = [resolve(policy, Path.parse(name)).concurrency for name in ("/svc/web", "/svc/slow", "/other")]
    assert limits == [FixedConcurrency(limit=9), FixedConcurrency(limit=2), None]


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ("limit: 0", "limit: 0 is out of range"),
        ("maxWaiters: 1", "limit"),
        ("kind: gradient, minLimit: 30", "initialLimit: 20 is less than minLimit, 30"),
        ("kind: gradient, maxLimit: 10", "maxLimit: 10 is less than initialLimit, 20"),
        ("kind: gradient, minLimit: 50, maxLimit: 10", "maxLimit: 10 is less than minLimit, 50"),
        ("kind: gradient, tolerance: 0.5", "tolerance"),
        ("kind: aimd", "kind"),
    ],
)
def test_what_cannot_be(keys: str, problem: str) -> None:
    (line,) = router_problems(f"service: {{concurrency: {{{keys}}}}}")

    assert f"routers[0].service.concurrency.{problem}" in line or problem in line
