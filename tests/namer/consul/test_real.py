"""With a real Consul: what operators do to it, and what requests through a running agent see of that."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path as File

import pytest
import trio

from namer.consul.api import Access, Consul
from namer.consul.kv import ConsulDtabStore, Place
from namer.consul.namer import ConsulNamer, ConsulParams
from namer.dtabstore import StoreConflict
from namer.hosts import Hosts
from namer.namer import Bound
from namer.nametree import NEG, Leaf
from namer.path import Path
from namer.watch import Watches
from tests.namer.consul.real import RealConsul, needs_consul, real_consul
from tests.nodeagent.cli.processes import Answer, backend, fetch, ports, started

pytestmark = [pytest.mark.e2e, needs_consul]

CONFIG = """
admin: {{port: 0}}
namers:
- {{kind: io.l5d.consul, port: {port}}}
routers:
- protocol: http
  interpreter: {{kind: io.l5d.consul.interpreter, port: {port}}}
  servers: [{{port: 0}}]
"""

RULE = "/svc => /#/io.l5d.consul/.local"


@contextmanager
def agent(consul: RealConsul, directory: File) -> Iterator[int]:
    (directory / "agent.yaml").write_text(CONFIG.format(port=consul.port))
    with started("run", "agent.yaml", cwd=directory) as process:
        found = ports(process, 2)
        found.pop("admin")
        yield found.popitem()[1]
        process.signal(signal.SIGTERM)
        code, _, err = process.end()
        assert (code, "Traceback" in err) == (0, False), err


def who(proxy: int, host: str, times: int = 12) -> Counter[str]:
    """Which instances answered so many requests, and how often."""
    answers = [fetch(proxy, host) for _ in range(times)]
    return Counter(text if response.status == 200 else str(response.status) for response, text in answers)


def answering(name: str) -> Answer:
    return lambda _: (200, name)


def within(seconds: float, condition: Callable[[], bool]) -> float:
    """Wait until it holds; how long that took."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() < begun + seconds
        time.sleep(0.02)
    return time.monotonic() - begun


def test_what_requests_see(tmp_path: File) -> None:
    with real_consul() as consul, ExitStack() as running:
        one, two, three = (running.enter_context(backend(answering(name))) for name in ("one", "two", "three"))
        consul.put("/v1/kv/namerd/dtabs/default", RULE)
        consul.register("users", one, "u1", Tags=["v1"])
        consul.register("users", two, "u2", Tags=["v2"])
        consul.register("users", three, "u3", Meta={"v": "3"})
        consul.register("web", three, "w1")
        proxy = running.enter_context(agent(consul, tmp_path))

        assert set(who(proxy, "users")) <= {"one", "two", "three"}
        subsets = {name: who(proxy, name) for name in ("users;v=1", "users;v=2", "users;v=3")}
        assert subsets == {"users;v=1": {"one": 12}, "users;v=2": {"two": 12}, "users;v=3": {"three": 12}}
        response, text = fetch(proxy, "users;v=9")
        assert response.status in (502, 503)
        assert "no instance of users has v=9; 3 others have not" in text, text
        assert fetch(proxy, "nobody")[0].status == 502

        consul.put("/v1/agent/service/deregister/u1", "")
        within(1.0, lambda: set(who(proxy, "users;v=1")) == {"503"})
        assert set(who(proxy, "users")) <= {"two", "three"}
        consul.put("/v1/agent/check/fail/check-u2", "")
        within(1.0, lambda: set(who(proxy, "users;v=2")) == {"503"})
        response, text = fetch(proxy, "users;v=2")
        assert "the only instance of users with v=2 may not serve: 1 critical" in text, text
        assert set(who(proxy, "users")) == {"three"}
        consul.put("/v1/agent/check/pass/check-u2", "")
        within(1.0, lambda: set(who(proxy, "users;v=2")) == {"two"})

        consul.put("/v1/kv/namerd/dtabs/default", f"{RULE} ; /svc/users => /svc/web")
        within(1.0, lambda: set(who(proxy, "users")) == {"three"})
        consul.put("/v1/kv/namerd/dtabs/default", f"{RULE} ; /svc/users => ")
        time.sleep(0.5)
        assert set(who(proxy, "users")) == {"three"}


async def test_what_happens_to_consul_happens_to_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("namer.consul.guard.HOLD", 3.0)
    with real_consul() as real:
        real.register("users", 81, "u1")
        async with trio.open_nursery() as nursery:
            watches = Watches(random.Random(1))
            await nursery.start(watches.run)
            access = Access("127.0.0.1", real.port)
            namer = ConsulNamer(
                Path.parse("/#/c"), Consul(access, random.Random(1)), ConsulParams(), watches, Hosts(watches)
            )
            name = namer.lookup(Path.parse("/.local/users"))
            name.subscribe(lambda: None)
            await until(5, lambda: isinstance(name.value, Leaf))
            assert isinstance(name.value, Leaf)
            assert isinstance(name.value.value, Bound)
            addr = name.value.value.addr
            addr.subscribe(lambda: None)

            def served() -> set[int]:
                return {each.port for each in getattr(addr.value, "endpoints", ())}

            await until(5, lambda: served() == {81})
            real.signal(signal.SIGSTOP)
            await trio.sleep(0.5)
            assert served() == {81}
            real.signal(signal.SIGCONT)
            real.register("users", 82, "u2")
            await until(2, lambda: served() == {81, 82})

            real.signal(signal.SIGKILL)
            await until(2, lambda: addr.error is not None)
            assert served() == {81, 82}
            await trio.to_thread.run_sync(real.start)  # with empty data, and indexes from the beginning
            await until(8, lambda: "Consul names only 0 instances" in str(addr.error))
            assert served() == {81, 82}
            await until(8, lambda: name.value == NEG)
            real.register("users", 83, "u3")
            await until(5, lambda: served() == {83})
            nursery.cancel_scope.cancel()


async def test_a_store_compares_and_sets() -> None:
    with real_consul() as real:
        store = ConsulDtabStore(Consul(Access("127.0.0.1", real.port), random.Random(1)), Place())
        assert (await store.list(), await store.get("default")) == ([], None)
        await store.set("default", "/svc => /a", None)
        found = await store.get("default")
        assert found is not None
        assert (found.text, await store.list()) == ("/svc => /a", ["default"])
        await store.set("default", "/svc => /b", found.version)
        with pytest.raises(StoreConflict):
            await store.set("default", "/svc => /c", found.version)


async def until(seconds: float, condition: Callable[[], bool]) -> None:
    with trio.fail_after(seconds):
        while not condition():
            await trio.sleep(0.02)
