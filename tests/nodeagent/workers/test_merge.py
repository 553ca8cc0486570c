"""One document of those of all workers."""

from __future__ import annotations

from typing import Any

from nodeagent.workers import merge


def node(endpoint: str, health: str = "alive", pending: int = 0, **more: Any) -> dict[str, Any]:
    return {"endpoint": endpoint, "health": health, "load": 0.1, "pending": pending, "ejections": 0, **more}


def client(*nodes: dict[str, Any], connections: int = 1, router: str = "out") -> dict[str, Any]:
    health = [each["health"] for each in nodes]
    counts = {name: health.count(name) for name in ("alive", "dead", "probing")}
    return {"addr": "bound", "routers": {router: {"connections": connections, **counts, "endpoints": list(nodes)}}}


def test_names_are_told_once() -> None:
    assert merge.names([["/#/b", "/#/a"], [], ["/#/a", "/#/c"]]) == ["/#/a", "/#/b", "/#/c"]

    one = {"router": "out", "name": "/svc/a", "dtab": None}
    other = {**one, "dtab": "/svc => /x"}
    assert merge.logical_names([[one], [one, other]]) == [one, other]


def test_each_worker_wants_the_same_sources() -> None:
    source = {"source": "/#/fs", "what": "addr", "name": "/#/fs/a", "subscribers": 2, "age": 1.0}

    assert merge.namer_state([[source], [{**source, "subscribers": 1, "age": 3.0}]]) == [{**source, "subscribers": 3}]


def test_what_is_under_way_adds_up_and_endpoints_count_once() -> None:
    merged = merge.client_state([{"/#/a": client(node("e:1", pending=2))}, {"/#/a": client(node("e:1", pending=3))}])

    assert merged == {"/#/a": client(node("e:1", pending=5), connections=2)}


def test_a_name_or_router_that_only_one_worker_knows_is_there() -> None:
    one, two = {"/#/a": client(node("e:1"))}, {"/#/a": client(node("e:1"), router="in"), "/#/b": client()}
    merged = merge.client_state([one, two])

    assert set(merged) == {"/#/a", "/#/b"}
    assert set(merged["/#/a"]["routers"]) == {"out", "in"}


def test_who_probes_for_all_is_seen() -> None:
    following, probing = node("e:1", "dead", reason="failures"), node("e:1", "probing", pending=1, reason="failures")
    merged = merge.client_state([{"/#/a": client(following)}, {"/#/a": client(probing)}])
    shown = merged["/#/a"]["routers"]["out"]

    assert (shown["dead"], shown["probing"]) == (0, 1)
    assert shown["endpoints"] == [{**probing}]


def test_an_endpoint_that_one_worker_has_not_heard_of_yet_is_there() -> None:
    merged = merge.client_state([{"/#/a": client(node("e:1"))}, {"/#/a": client(node("e:1"), node("e:2"))}])

    assert merged["/#/a"]["routers"]["out"]["alive"] == 2


def test_an_explanation_has_the_state_that_any_worker_knows() -> None:
    without: dict[str, Any] = {"name": "/svc/a", "bound": [{"id": "/#/a"}]}
    having = {"name": "/svc/a", "bound": [{"id": "/#/a", "state": [node("e:1", pending=1)]}]}

    assert merge.explanation([without, having]) == having
    merged = merge.explanation([having, having])
    assert merged["bound"][0]["state"][0]["pending"] == 2


def record(time: int, **more: object) -> dict[str, object]:
    return {"id": "00000000000000aa", "time": f"2026-01-01T00:00:{time:02}.000Z", **more}


def test_requests_of_all_workers_in_the_order_of_time() -> None:
    documents = [[record(9), record(3)], [record(5)], []]
    assert [each["time"][17:19] for each in merge.requests(documents, 2)] == ["09", "05"]


def test_one_id_that_two_workers_had() -> None:
    documents = [record(3, earlier=[record(1)]), record(9, earlier=[record(2)])]
    merged = merge.request(documents)
    assert merged["time"] == record(9)["time"]
    assert [each["time"] for each in merged["earlier"]] == [record(time)["time"] for time in (3, 2, 1)]
