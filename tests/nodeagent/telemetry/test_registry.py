"""The number of series is bounded, idle ones go away, and nothing that was counted is lost."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise

import pytest
import trio

from nodeagent.telemetry.histogram import STEPS
from nodeagent.telemetry.registry import AT_A_TIME, EARNED, IDLE_SECONDS, OTHER, SWEEP_SECONDS, Registry
from nodeagent.telemetry.stats import ServiceStats
from tests.nodeagent.telemetry.readings import balancer_reading

Reader = Callable[[], float]


def budget() -> float:
    return 1.0


def use(registry: Registry, name: str, times: int = 1, reader: Reader = budget) -> ServiceStats:
    service = registry.services.acquire("out", name, reader)
    service.success += times
    return service


def shown(registry: Registry) -> dict[str, int]:
    return {service.name: service.success for service in registry.services.series()}


def test_a_name_is_one_object_for_all_who_hold_it_and_routers_are_apart() -> None:
    registry = Registry()
    one = registry.services.acquire("out", "/svc/web", budget)

    assert registry.services.acquire("out", "/svc/web", budget) is one
    assert registry.services.acquire("in", "/svc/web", budget) is not one
    assert registry.server("out", "127.0.0.1", 4140) is registry.server("out", "127.0.0.1", 4140)
    assert registry.namer("/#/io.l5d.fs") is registry.namer("/#/io.l5d.fs")
    assert registry.errors("out") is registry.errors("out")


def test_the_first_request_of_a_name_is_seen_under_its_name() -> None:
    registry = Registry()
    use(registry, "/svc/web")

    assert shown(registry) == {"/svc/web": 1}


async def test_ten_thousand_hosts_once_each_leave_a_few_names_and_the_rest_in_other() -> None:
    registry = Registry()
    for host in range(10_000):
        use(registry, f"/svc/{host}")
    for sweep in range(3):
        await registry.sweep(sweep * SWEEP_SECONDS)

    series = shown(registry)

    assert len(series) == 17
    assert sum(series.values()) == 10_000


async def test_a_name_that_is_really_used_earns_its_series_and_other_never_goes_back() -> None:
    registry = Registry(eager=1)
    use(registry, "/svc/first")
    late = use(registry, "/svc/late", EARNED - 1)
    await registry.sweep(0.0)
    assert shown(registry) == {"/svc/first": 1, OTHER: EARNED - 1}

    late.success += 1
    await registry.sweep(20.0)
    late.success += 5

    assert shown(registry) == {"/svc/first": 1, "/svc/late": 5, OTHER: EARNED}


async def test_beyond_the_limit_names_share_other() -> None:
    registry = Registry(limit=2, eager=2)
    use(registry, "/svc/a")
    use(registry, "/svc/b")
    c, d = use(registry, "/svc/c"), use(registry, "/svc/d")

    assert c is d
    assert shown(registry) == {"/svc/a": 1, "/svc/b": 1, OTHER: 2}

    registry.services.release(c, budget)
    registry.services.release(d, budget)
    await registry.sweep(10 * IDLE_SECONDS)
    assert shown(registry)[OTHER] == 2


async def test_an_idle_series_goes_away_ten_minutes_after_its_last_use() -> None:
    registry = Registry()
    web = use(registry, "/svc/web")
    registry.services.release(web, budget)

    await registry.sweep(100.0)
    await registry.sweep(100.0 + IDLE_SECONDS - 1)
    assert shown(registry) == {"/svc/web": 1}

    await registry.sweep(100.0 + IDLE_SECONDS)
    assert shown(registry) == {}


async def test_a_series_that_goes_is_not_added_to_other_where_a_rate_would_see_it_a_second_time() -> None:
    registry = Registry(eager=1, idle=60.0)
    web = use(registry, "/svc/web", 1000)
    use(registry, "/svc/flood")
    registry.services.release(web, budget)
    assert shown(registry) == {"/svc/web": 1000, OTHER: 1}

    await registry.sweep(100.0)
    await registry.sweep(160.0)

    assert shown(registry)[OTHER] == 1
    assert "/svc/web" not in shown(registry)


async def test_use_between_sweeps_starts_the_ten_minutes_again() -> None:
    registry = Registry()
    web = use(registry, "/svc/web")
    registry.services.release(web, budget)
    await registry.sweep(0.0)
    web.success += 1

    await registry.sweep(IDLE_SECONDS)
    assert shown(registry) == {"/svc/web": 2}


async def test_a_held_series_stays_however_idle() -> None:
    registry = Registry()
    web = use(registry, "/svc/web")
    await registry.sweep(0.0)
    await registry.sweep(100 * IDLE_SECONDS)
    web.success += 1

    assert shown(registry) == {"/svc/web": 2}


@pytest.mark.parametrize("shown_by_name", [True, False], ids=["with a series of its own", "within other"])
async def test_a_request_still_open_when_its_name_is_released_is_counted(shown_by_name: bool) -> None:
    registry = Registry(eager=1 if shown_by_name else 0)
    web = registry.services.acquire("out", "/svc/web", budget)
    web.pending += 1
    registry.services.release(web, budget)
    await registry.sweep(0.0)
    await registry.sweep(10 * IDLE_SECONDS)

    web.pending -= 1
    web.success += 1
    await registry.sweep(11 * IDLE_SECONDS)

    assert sum(shown(registry).values()) == 1


async def test_one_holder_of_two_may_leave_and_the_name_stays_held() -> None:
    def another() -> float:
        return 5.0

    registry = Registry()
    web = use(registry, "/svc/web")
    use(registry, "/svc/web", reader=another)
    registry.services.release(web, budget)
    await registry.sweep(0.0)
    await registry.sweep(IDLE_SECONDS)

    (service,) = registry.services.series()
    assert service is web
    assert service.retry_budget() == 5.0


def test_releasing_what_is_not_held_is_a_bug_that_shows() -> None:
    registry = Registry()
    web = use(registry, "/svc/web")
    registry.services.release(web, budget)

    with pytest.raises(ValueError, match="not in list"):
        registry.services.release(web, budget)


async def test_a_hidden_name_that_is_released_leaves_its_counts_and_makes_room() -> None:
    registry = Registry(limit=1, eager=0)
    first = use(registry, "/svc/first")
    registry.services.release(first, budget)
    await registry.sweep(0.0)
    second = use(registry, "/svc/second")

    assert second.name == "/svc/second"
    assert shown(registry) == {OTHER: 2}


async def test_a_free_place_is_given_to_a_name_that_waits() -> None:
    registry = Registry(eager=1)
    first = use(registry, "/svc/first")
    waiting = use(registry, "/svc/waiting")
    registry.services.release(first, budget)
    await registry.sweep(0.0)
    await registry.sweep(IDLE_SECONDS)
    waiting.success += 3

    assert shown(registry) == {"/svc/waiting": 3, OTHER: 1}


def test_the_gauges_of_hidden_clients_are_summed_in_other() -> None:
    registry = Registry(eager=0)
    for endpoints in (1, 2):
        reading = balancer_reading(endpoints, 0, 0, 0, "none")
        client = registry.clients.acquire("out", f"/#/fs/{endpoints}", partial(replace, reading))
        client.pending += 1
        client.connections += endpoints

    (other,) = registry.clients.series()

    assert (other.name, other.pending, other.connections) == (OTHER, 2, 3)
    assert sum(reading.balancer.alive for reading in other.balancers()) == 3


async def test_windows_move_on_with_every_sweep_for_named_and_other_alike() -> None:
    registry = Registry(eager=1)
    for name in ("/svc/a", "/svc/b"):
        use(registry, name).duration.observe(0.1)

    counts = []
    for step in range(5):
        await registry.sweep(step * SWEEP_SECONDS)
        counts.append([service.duration.window().count for service in registry.services.series()])

    assert counts == [[1, 1], [1, 1], [0, 0], [0, 0], [0, 0]]


def test_the_namers_are_brought_up_to_date_for_who_looks() -> None:
    registry = Registry()

    def survey() -> None:
        registry.namer("/#/io.l5d.fs").updates += 1

    registry.survey_namers = survey

    assert [namer.updates for namer in registry.namers()] == [1]
    assert [namer.updates for namer in registry.namers()] == [2]


async def test_a_sweep_over_many_names_gives_others_their_turn() -> None:
    registry = Registry(eager=1000)
    stats = [use(registry, f"n{number}") for number in range(4 * AT_A_TIME)]
    swept: list[int] = []

    async def look() -> None:
        while True:
            swept.append(sum(each.duration.window().count == 0 for each in stats))
            await trio.lowlevel.checkpoint()

    for each in stats:
        each.duration.observe(0.1)
    for _ in range(STEPS - 1):
        await registry.sweep(0.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(look)
        await registry.sweep(0.0)
        nursery.cancel_scope.cancel()

    assert max(after - before for before, after in pairwise(swept)) <= 2 * AT_A_TIME
    assert swept[0] < swept[-1]
