"""The pages: for each, its status, its form and what stands on it."""

from __future__ import annotations

import json

import pytest

from nodeagent import __version__
from tests.nodeagent.admin.fakes import FakeAgent, asking
from tests.nodeagent.telemetry.exchanges import exchange

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
HTML = "text/html; charset=utf-8"


@pytest.mark.parametrize(
    ("path", "content_type", "excerpt"),
    [
        ("/", HTML, "<title>nodeagent</title>"),
        ("/admin/ping", TEXT, "pong"),
        ("/live", TEXT, "pong"),
        ("/ready", TEXT, "ready\n"),
        (
            "/metrics",
            "text/plain; version=0.0.4; charset=utf-8",
            f'nodeagent_build_info{{version="{__version__}"}} 1.0',
        ),
        (
            "/metrics?name[]=nodeagent_server_connections",
            "text/plain; version=0.0.4; charset=utf-8",
            "# TYPE nodeagent_server_connections gauge",
        ),
        ("/admin/metrics/prometheus", "text/plain; version=0.0.4; charset=utf-8", "# HELP nodeagent_build_info"),
        ("/scrape-me", "text/plain; version=0.0.4; charset=utf-8", "# TYPE nodeagent_build_info gauge"),
        ("/admin/metrics/influxdb", TEXT, "rt=outgoing,server=127.0.0.1/4140 requests=0,"),
        ("/admin/metrics.json", JSON, '"rt/outgoing/server/127.0.0.1/4140/requests":0'),
        ("/admin/metrics.json?pretty=1", JSON, '  "rt/outgoing/server/127.0.0.1/4140/requests": 0'),
        ("/admin/metrics.json?tree=1", JSON, '{"rt":{"outgoing":{"server":'),
        ("/admin/metrics.json?q=rt/incoming", JSON, '{"server/127.0.0.1/4141/requests":0'),
        ("/config.json", JSON, '"label":{"value":"outgoing","origin":"agent.yaml:9"}'),
        ("/routers.json", JSON, '[{"router":"outgoing","prefix":"/svc","servers":["127.0.0.1:4140"]'),
        ("/names.json", JSON, "[]"),
        ("/bound-names.json", JSON, "[]"),
        ("/client_state.json", JSON, "{}"),
        ("/namer_state.json", JSON, "[]"),
        ("/explain.json?path=/svc/web", JSON, '{"name":"/svc/web","outcome":"bound"'),
        ("/delegator.json?path=/svc/web", JSON, '{"type":"delegate","path":"/svc/web"'),
    ],
)
async def test_pages(path: str, content_type: str, excerpt: str) -> None:
    async with asking(FakeAgent()) as client:
        answer = await client.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (200, content_type)
        assert excerpt in answer.text
        head = await client.head(path)
        assert (head.status_code, head.content) == (200, b"")


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/nowhere", 404, "Not Found\n"),
        ("GET", "/nowhere.json", 404, '{"error":"Not Found"}'),
        ("GET", "/admin/shutdown", 405, "Method Not Allowed\n"),
        ("POST", "/metrics", 405, "Method Not Allowed\n"),
        ("DELETE", "/config.json", 405, '{"error":"Method Not Allowed"}'),
        ("GET", "/admin/metrics.json?q=nothing", 404, """{"error":"there is no metric 'nothing', nor any below it"}"""),
        ("GET", "/explain.json?path=/a&dtab=" + "x" * 40_000, 400, '{"error":"the query is longer than 32768 bytes"}'),
    ],
)
async def test_errors(method: str, path: str, status: int, body: str) -> None:
    async with asking(FakeAgent()) as client:
        answer = await client.request(method, path)
        assert (answer.status_code, answer.text) == (status, body)


async def test_who_is_ready_says_what_to_see_to_all_the_same() -> None:
    agent = FakeAgent()
    agent.troubles = ["the certificate in cert.pem expires on 2026-03-02 00:00:00 UTC, and was not replaced"]
    async with asking(agent) as client:
        answer = await client.get("/ready")
        assert (answer.status_code, answer.text) == (200, f"ready\nwarning: {agent.troubles[0]}\n")


async def test_the_certificate_of_this_host_has_a_page_where_the_agent_keeps_it() -> None:
    class Kept:
        def to_json(self) -> dict[str, object]:
            return {"identity": "spiffe://mesh.example/host/web-1"}

    agent = FakeAgent()
    async with asking(agent) as client:
        assert (await client.get("/identity.json")).status_code == 404
        agent.identity = Kept()
        assert (await client.get("/identity.json")).json() == {"identity": "spiffe://mesh.example/host/web-1"}


async def test_the_agent_is_ready_when_it_says_so() -> None:
    agent = FakeAgent()
    agent.unready = "trying /svc/web of router outgoing"
    async with asking(agent) as client:
        answer = await client.get("/ready")
        assert (answer.status_code, answer.text) == (503, "trying /svc/web of router outgoing\n")
        assert (await client.get("/live")).status_code == 200
        agent.unready = None
        assert (await client.get("/ready")).status_code == 200


async def test_metrics_come_as_openmetrics_to_who_prefers_them() -> None:
    async with asking(FakeAgent()) as client:
        answer = await client.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
        assert answer.headers["content-type"].startswith("application/openmetrics-text")
        assert answer.text.endswith("# EOF\n")


async def test_shutdown_begins_the_drain() -> None:
    agent = FakeAgent()
    async with asking(agent) as client:
        answer = await client.post("/admin/shutdown")
        assert (answer.status_code, answer.text) == (200, "shutting down\n")
    assert agent.stopped.is_set()


@pytest.mark.parametrize(
    ("headers", "security", "status"),
    [
        pytest.param({"origin": "http://evil.org"}, "{}", 403, id="from a page elsewhere"),
        pytest.param({"host": "evil.org"}, "{}", 403, id="under a rebound name"),
        pytest.param({}, "{controlEnabled: false}", 404, id="switched off"),
        pytest.param({}, "{pathBlacklist: ['/admin/.*']}", 404, id="on the blacklist"),
        pytest.param({}, "{controlEnabled: false, pathWhitelist: [/admin/shutdown]}", 200, id="on the whitelist"),
        pytest.param(
            {"origin": "http://127.0.0.1:9990"}, "{uiEnabled: false, diagnosticsEnabled: false}", 200, id="own"
        ),
    ],
)
async def test_shutdown_is_guarded(headers: dict[str, str], security: str, status: int) -> None:
    agent = FakeAgent(security)
    async with asking(agent) as client:
        answer = await client.post("/admin/shutdown", headers=headers)
        assert answer.status_code == status
    assert agent.stopped.is_set() is (status == 200)


async def test_the_machine_may_be_asked_by_its_name() -> None:
    async with asking(FakeAgent()) as client:
        assert (await client.get("/live", headers={"host": "node-7:9990"})).status_code == 200


async def test_the_configuration_is_shown_with_its_origins() -> None:
    async with asking(FakeAgent("{pathBlacklist: [/x]}")) as client:
        shown = json.loads((await client.get("/config.json")).text)
    assert shown["admin"]["port"] == {"value": 9990, "origin": "agent.yaml:1"}
    assert shown["admin"]["ip"] == {"value": "127.0.0.1", "origin": "default"}


async def test_recent_requests() -> None:
    agent = FakeAgent()
    assert agent.recent is not None
    for number in (1, 2, 1):
        agent.recent.record(exchange(number, name=f"/svc/{len(agent.recent)}"))
    async with asking(agent) as client:
        shown = (await client.get("/requests.json")).json()
        assert [(each["id"], each["name"]) for each in shown] == [
            ("0000000000000001", "/svc/2"),
            ("0000000000000002", "/svc/1"),
            ("0000000000000001", "/svc/0"),
        ]
        assert len((await client.get("/requests.json?limit=1")).json()) == 1
        one = (await client.get("/requests/0000000000000001.json")).json()
        assert (one["name"], [each["name"] for each in one["earlier"]]) == ("/svc/2", ["/svc/0"])


@pytest.mark.parametrize(
    ("path", "status", "error"),
    [
        ("/requests.json?limit=0", 400, "limit='0': expected a number of requests, 1 to 1000"),
        ("/requests.json?limit=x", 400, "limit='x': expected a number of requests, 1 to 1000"),
        ("/requests/7.json", 400, "'7' is no id: expected the 16 hexadecimal digits of an l5d-reqid"),
        (
            "/requests/00000000000000ff.json",
            404,
            "no request 00000000000000ff is known: it was not here, or is forgotten; /requests.json has the last",
        ),
    ],
)
async def test_requests_that_cannot_be_shown(path: str, status: int, error: str) -> None:
    async with asking(FakeAgent()) as client:
        answer = await client.get(path)
        assert (answer.status_code, answer.json()) == (status, {"error": error})


async def test_requests_where_none_are_kept() -> None:
    agent = FakeAgent()
    agent.recent = None
    async with asking(agent) as client:
        answer = await client.get("/requests.json")
        assert (answer.status_code, "capacity 0" in answer.text) == (404, True)
