"""The pages of profiles: their forms, their limits, and who hangs up."""

from __future__ import annotations

import signal

import pytest
import trio

from nodeagent.telemetry.profile import Sampler, sampling
from tests.nodeagent.admin.fakes import FakeAgent, asking
from tests.nodeagent.admin.test_hostile import OWN, on_a_port
from tests.nodeagent.telemetry.test_profile import burn


@pytest.mark.parametrize(("form", "excerpt"), [("collapsed", ";tests.nodeagent"), ("top", "samples, 100 for each")])
async def test_where_the_time_goes(form: str, excerpt: str) -> None:
    async with asking(FakeAgent()) as client, trio.open_nursery() as nursery:

        async def work() -> None:
            await trio.sleep(0.05)
            burn(0.2)

        nursery.start_soon(work)
        answer = await client.get(f"/profile?seconds=0.2&format={form}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; charset=utf-8")
        assert excerpt in answer.text
        assert "burn" in answer.text


@pytest.mark.parametrize(
    ("method", "target", "status", "message"),
    [
        ("GET", "/profile?seconds=0", 400, "seconds='0': expected a number of seconds, at most 120"),
        ("GET", "/profile?seconds=121", 400, "at most 120"),
        ("GET", "/profile?seconds=nan", 400, "at most 120"),
        ("GET", "/profile?seconds=long", 400, "seconds='long'"),
        ("GET", "/profile?format=pprof", 400, "expected one of collapsed, top"),
        ("POST", "/profile", 405, "Method Not Allowed"),
        ("POST", "/heap.json?allocations=61", 400, "at most 60"),
        ("PUT", "/heap.json", 405, "Method Not Allowed"),
    ],
)
async def test_what_is_refused(method: str, target: str, status: int, message: str) -> None:
    async with asking(FakeAgent()) as client:
        answer = await client.request(method, target)
    assert answer.status_code == status
    assert message in answer.text


async def test_one_at_a_time() -> None:
    with sampling(Sampler()):
        async with asking(FakeAgent()) as client:
            assert (await client.get("/profile?seconds=1")).status_code == 409


async def test_none_without_diagnostics() -> None:
    async with asking(FakeAgent("{diagnosticsEnabled: false}")) as client:
        assert [(await client.get(path)).status_code for path in ("/profile", "/heap.json")] == [404, 404]


async def test_what_is_in_memory() -> None:
    async with asking(FakeAgent()) as client:
        assert (await client.get("/heap.json")).json()["types"][0]["count"] > 0
        traced = (await client.post("/heap.json?allocations=0.1")).json()
        assert "twice as slow" in traced["cost"]
        foreign = await client.post("/heap.json", headers={"origin": "http://evil.org"})
        assert foreign.status_code == 403


async def test_who_hangs_up_ends_it() -> None:
    async with on_a_port(FakeAgent()) as port:
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(b"GET /profile?seconds=60 HTTP/1.1\r\n%b\r\n" % OWN)
            while not signal.getitimer(signal.ITIMER_PROF)[0]:
                await trio.sleep(0.01)
        while signal.getitimer(signal.ITIMER_PROF)[0]:
            await trio.sleep(0.01)


async def test_it_may_take_longer_than_a_connection_may_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nodeagent.admin.serve.IDLE", 0.1)
    async with on_a_port(FakeAgent()) as port, await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(b"GET /profile?seconds=0.5 HTTP/1.1\r\n%b\r\n" % OWN)
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 200")
