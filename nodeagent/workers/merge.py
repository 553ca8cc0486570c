"""One document of the answers of all workers. Pure.

What is known of the world (names, addresses, health) is the same for all but for moments, and told once: as the first
worker that knows it tells it. What is under way adds up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias

Json: TypeAlias = dict[str, Any]

RECENT: Final = 100
"""Lines of the log that are shown, as one process remembers."""

_HEALTHS: Final = ("alive", "dead", "probing")


def names(documents: Iterable[Sequence[str]]) -> list[str]:
    """All names, each once, in order."""
    return sorted({name for document in documents for name in document})


def logical_names(documents: Iterable[Sequence[Json]]) -> list[Json]:
    """All logical names, each once."""
    found = {(each["router"], each["name"], each["dtab"]): each for document in documents for each in document}
    return list(found.values())


def namer_state(documents: Iterable[Sequence[Json]]) -> list[Json]:
    """All sources of discovery, each once: each worker follows them itself."""
    found: dict[tuple[str, str, str], Json] = {}
    for document in documents:
        for each in document:
            known = found.setdefault((each["source"], each["what"], each["name"]), {**each, "subscribers": 0})
            known["subscribers"] += each["subscribers"]
    return list(found.values())


def recent(documents: Iterable[Sequence[Json]]) -> list[Json]:
    """The last lines of the log, whoever wrote them."""
    return sorted((line for document in documents for line in document), key=lambda line: line["timestamp"])[-RECENT:]


def client_state(documents: Iterable[dict[str, Json]]) -> dict[str, Json]:
    """All concrete names with their endpoints."""
    found: dict[str, Json] = {}
    for document in documents:
        for name, state in document.items():
            known = found.setdefault(name, {**state, "routers": {}})
            for router, balancing in state["routers"].items():
                before = known["routers"].get(router)
                known["routers"][router] = balancing if before is None else _balancing(before, balancing)
    return found


def explanation(documents: Sequence[Json]) -> Json:
    """What a name resolves to, as the first worker explains it, with what all know of its endpoints."""
    first, *others = documents
    for leaf in first.get("bound", ()):
        states = [
            twin["state"]
            for other in others
            for twin in other.get("bound", ())
            if twin["id"] == leaf["id"] and "state" in twin
        ]
        for state in states:
            leaf["state"] = endpoints(leaf["state"], state) if "state" in leaf else state
    return first


def requests(documents: Iterable[Sequence[Json]], count: int) -> list[Json]:
    """The last `count` of all requests, the last first."""
    found = (record for document in documents for record in document)
    return sorted(found, key=lambda record: str(record["time"]), reverse=True)[:count]


def request(documents: Sequence[Json]) -> Json:
    """The requests of one id, which more than one worker may have had."""
    last, *others = sorted(documents, key=lambda record: str(record["time"]), reverse=True)
    earlier = [record for other in others for record in (other, *other.pop("earlier"))]
    last["earlier"] = requests([last["earlier"], earlier], len(last["earlier"]) + len(earlier))
    return last


def endpoints(first: Sequence[Json], second: Sequence[Json]) -> list[Json]:
    """What two workers know of the same endpoints."""
    others = {each["endpoint"]: each for each in second}
    merged = [_endpoint(each, others.pop(each["endpoint"], None)) for each in first]
    return merged + list(others.values())


def _endpoint(first: Json, second: Json | None) -> Json:
    if second is None:
        return first
    probing = "probing" in (first["health"], second["health"]) and first["health"] != "alive"
    return first | {
        "health": "probing" if probing else first["health"],
        "pending": first["pending"] + second["pending"],
        "ejections": first["ejections"] + second["ejections"],
    }


def _balancing(first: Json, second: Json) -> Json:
    merged = endpoints(first["endpoints"], second["endpoints"])
    health = [each["health"] for each in merged]
    counts = {name: health.count(name) for name in _HEALTHS}
    return first | counts | {"connections": first["connections"] + second["connections"], "endpoints": merged}
