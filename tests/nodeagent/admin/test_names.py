"""`/delegator.json` and `/explain.json`: what they answer, and what they refuse."""

from __future__ import annotations

import json
from collections.abc import MutableMapping
from typing import Any

import pytest
import trio

from balancer.response_class import ResponseClass
from namer.cell import Cell
from namer.dtab import Dtab
from namer.dtabcell import DtabState, dtab_document
from namer.namer import PENDING, Failure
from namer.path import Path
from nodeagent.admin import names
from nodeagent.admin.app import admin_app
from tests.namer.fakes import FakeNamer
from tests.nodeagent.admin.fakes import MACHINE, FakeAgent, asking

STALLS, LEAVES = b"(nothing more comes)", b"(the sender leaves)"

WEB: dict[str, Any] = {
    "type": "leaf",
    "path": "/#/io.l5d.fs/web",
    "dentry": {"prefix": "/svc", "dst": "/#/io.l5d.fs"},
    "bound": {
        "addr": {
            "type": "bound",
            "addrs": [
                {"ip": "127.0.0.1", "port": 8081, "meta": {}},
                {"ip": "127.0.0.1", "port": 8082, "meta": {"endpoint_addr_weight": 2.0}},
            ],
            "meta": {},
        },
        "id": "/#/io.l5d.fs/web",
        "path": "/",
    },
}


async def test_the_delegation_has_linkerds_shape() -> None:
    async with asking(FakeAgent()) as client:
        answer = await client.get("/delegator.json", params={"path": "/svc/web"})
    assert answer.json() == {"type": "delegate", "path": "/svc/web", "delegate": WEB}


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        pytest.param({"path": "/svc/web"}, "delegate", id="the table of the first router"),
        pytest.param({"path": "/svc/web", "namespace": ""}, "delegate", id="no namespace is the first"),
        pytest.param({"path": "/svc", "namespace": "incoming"}, "delegate", id="the table of another router"),
        pytest.param({"path": "/svc/web", "dtab": ""}, "neg", id="a dtab stands in place of the router's own"),
        pytest.param({"path": "/x", "dtab": "/x => /svc/web"}, "delegate", id="another dtab"),
        pytest.param({"path": "/x", "dtab": "/x => /a | /b"}, "alt", id="alternatives"),
        pytest.param({"path": "/#/io.l5d.fs/web"}, "leaf", id="a concrete name"),
        pytest.param({"path": "/$/nil"}, "empty", id="/$/nil"),
        pytest.param({"path": "/$/unknown"}, "exception", id="an unknown built-in namer"),
    ],
)
async def test_the_delegator_takes_a_query_or_a_json_object(asked: dict[str, str], kind: str) -> None:
    async with asking(FakeAgent()) as client:
        queried = await client.get("/delegator.json", params=asked)
        posted = await client.post("/delegator.json", json=asked)
    assert (queried.status_code, queried.json()["type"]) == (200, kind)
    assert posted.text == queried.text


@pytest.mark.parametrize("page", ["/delegator.json", "/explain.json"])
@pytest.mark.parametrize(
    ("asked", "status", "error"),
    [
        pytest.param({}, 400, "no path is given", id="no path"),
        pytest.param({"path": ""}, 400, "path: line 1, column 1", id="an empty path"),
        pytest.param({"path": "users"}, 400, "path: line 1, column 1", id="a path that is none"),
        pytest.param({"path": "/svc/a b"}, 400, "path: line 1, column 8", id="a path with a blank"),
        pytest.param({"path": "/svc", "dtab": "/svc =>"}, 400, "dtab: line 1, column 8", id="half a dtab"),
        pytest.param({"path": "/svc", "dtab": "\n/svc => (("}, 400, "dtab: line 2", id="the line of a dtab"),
        pytest.param(
            {"path": "/svc", "namespace": "x", "router": "x"},
            404,
            "there is no router 'x'; there are outgoing, incoming",
            id="an unknown router",
        ),
    ],
)
async def test_what_cannot_be_asked(page: str, asked: dict[str, str], status: int, error: str) -> None:
    async with asking(FakeAgent()) as client:
        answer = await client.get(page, params=asked)
    assert answer.status_code == status
    assert error in answer.json()["error"]


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        pytest.param(b'{"path": "/svc/web"}', "application/json; charset=utf-8", 200, id="JSON"),
        pytest.param(b'{"path": "/svc/web", "more": 1}', "application/json", 200, id="more than is asked"),
        pytest.param(b'{"path": "/svc/web"}', "text/plain", 415, id="called text"),
        pytest.param(b'{"path": "/svc/web"}', "", 415, id="not called anything"),
        pytest.param(b"", "application/json", 400, id="empty"),
        pytest.param(b"[]", "application/json", 400, id="a list"),
        pytest.param(b'{"path": 1}', "application/json", 400, id="a number for a path"),
        pytest.param(b'{"dtab": ""}', "application/json", 400, id="no path"),
        pytest.param(b'{"path": "/\xff"}', "application/json", 400, id="no UTF-8"),
        pytest.param(b'{"path": "/svc", "x": ' + b"[" * 100_000, "application/json", 400, id="deep nesting"),
    ],
)
async def test_posted_questions(body: bytes, content_type: str, status: int) -> None:
    async with asking(FakeAgent()) as client:
        answer = await client.post("/delegator.json", content=body, headers={"content-type": content_type})
    assert answer.status_code == status
    assert ("error" in answer.json()) is (status != 200)


class TestBodies:
    """A body as the server hands it on, piece by piece."""

    async def test_it_may_come_in_pieces(self) -> None:
        assert await self.post(b'{"path": ', b'"/svc/web"}', b"") == 200

    async def test_one_that_is_too_long_is_not_read_to_its_end(self) -> None:
        assert await self.post(*[b"x" * 100_000] * 100) == 413

    async def test_one_that_does_not_come_is_waited_for_a_limited_time(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        assert await self.post(b"{", STALLS) == 408
        assert trio.current_time() == names.BODY_TIME

    async def test_one_whose_sender_leaves_is_no_bug(self) -> None:
        assert await self.post(b"{", LEAVES) == 400

    async def post(self, *pieces: bytes) -> int:
        """Post what is taken piece by piece, and return the status of the answer."""
        headers = [(b"content-type", b"application/json"), (b"host", b"localhost")]
        scope = {"type": "http", "method": "POST", "path": "/delegator.json", "query_string": b"", "headers": headers}
        coming = iter(pieces)
        statuses: list[int] = []

        async def receive() -> dict[str, Any]:
            piece = next(coming)
            if piece is STALLS:
                await trio.sleep_forever()
            if piece is LEAVES:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": piece, "more_body": piece != b""}

        async def send(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        await admin_app(FakeAgent(), MACHINE)(scope, receive, send)
        assert len(statuses) == 1
        return statuses[0]


class TestDiscoveryThatIsNotDone:
    async def test_the_delegator_gives_up(self, autojump_clock: trio.testing.MockClock) -> None:
        async with asking(FakeAgent()) as client:
            answer = await client.get("/delegator.json?path=/svc/slow")
        assert answer.status_code == 503
        assert answer.json() == {"error": "/svc/slow: discovery has not answered within 2 s"}
        assert trio.current_time() == names.PATIENCE

    async def test_the_delegator_waits_while_there_is_hope(self, autojump_clock: trio.testing.MockClock) -> None:
        agent = FakeAgent()
        cell = agent.namer.cell("slow")
        async with asking(agent) as client, trio.open_nursery() as nursery:

            @nursery.start_soon
            async def answer_late() -> None:
                await trio.sleep(1.0)
                cell.set(Failure("not today"), 1.0)

            answer = await client.get("/delegator.json?path=/svc/slow")
        assert answer.json()["delegate"]["message"] == "not today"
        assert cell.subscribers == 0

    async def test_an_explanation_says_what_is_not_known(self, autojump_clock: trio.testing.MockClock) -> None:
        async with asking(FakeAgent()) as client:
            answer = await client.get("/explain.json?path=/svc/slow")
        assert (answer.status_code, answer.json()["outcome"]) == (200, "error")
        assert answer.json()["error"] == "/svc/slow: discovery gave no answer within 2 s"


@pytest.mark.parametrize(
    ("asked", "name", "ids"),
    [
        pytest.param({"path": "/svc/web"}, "/svc/web", ["/#/io.l5d.fs/web"], id="the first router"),
        pytest.param({"path": "http://Web/a"}, "/svc/web", ["/#/io.l5d.fs/web"], id="a URL"),
        pytest.param(
            {"path": "/svc/x", "router": "incoming"}, "/svc/x", ["/$/inet/127.0.0.1/8080"], id="another router"
        ),
        pytest.param(
            {"path": "/svc/web", "dtab": "/svc/web => /$/inet/127.0.0.1/1"},
            "/svc/web",
            ["/$/inet/127.0.0.1/1"],
            id="a dtab goes before the router's own",
        ),
        pytest.param(
            {"path": "/svc/web", "dtab": "/svc => /#/none"}, "/svc/web", ["/#/io.l5d.fs/web"], id="which still stands"
        ),
        pytest.param({"path": "/svc/none"}, "/svc/none", [], id="bound to nothing"),
    ],
)
async def test_explanations(asked: dict[str, str], name: str, ids: list[str]) -> None:
    async with asking(FakeAgent()) as client:
        answer = await client.get("/explain.json", params=asked)
    assert answer.status_code == 200
    assert (answer.json()["name"], [bound["id"] for bound in answer.json()["bound"]]) == (name, ids)


async def test_an_explanation_has_the_live_state_of_endpoints_that_were_called() -> None:
    agent = FakeAgent()
    async with asking(agent) as client:
        [before] = (await client.get("/explain.json?path=/svc/web")).json()["bound"]
        assert "state" not in before
        agent.use("/svc/web")
        called = agent.routers[0].router.bindings.clients.named(Path.parse("/#/io.l5d.fs/web"))
        assert called is not None
        balancer = called.balancer
        node = balancer.nodes[1]
        for _ in range(5):
            balancer.begin(node, 0.0)
            balancer.end(node, 0.0, 0.0, ResponseClass.FAILURE)
        [bound] = (await client.get("/explain.json?path=/svc/web")).json()["bound"]
    assert bound["endpoints"] == ["127.0.0.1:8081", "127.0.0.1:8082"]
    assert [(each["endpoint"], each["health"], each["ejections"]) for each in bound["state"]] == [
        ("127.0.0.1:8081", "alive", 0),
        ("127.0.0.1:8082", "dead", 1),
    ]


class TestTables:
    """The router's table may fail, as for requests."""

    def an_agent(self) -> FakeAgent:
        agent = FakeAgent()
        unknown: DtabState = PENDING
        self.table: Cell[DtabState] = Cell(unknown)
        agent.routers = (agent.router("outgoing", self.table),)
        return agent

    async def test_one_that_was_never_good(self) -> None:
        async with asking(self.an_agent()) as client:
            dtab_document().unusable(self.table, "/etc/dtab: No such file or directory", 0.0)
            explained = (await client.get("/explain.json?path=/svc/web")).json()
            delegated = await client.get("/delegator.json?path=/svc/web")
            tried = await client.get("/delegator.json?path=/svc/web&dtab=/svc=>/$/nil")
        assert (explained["outcome"], explained["error"]) == ("error", "/etc/dtab: No such file or directory")
        assert (delegated.status_code, delegated.json()) == (503, {"error": "/etc/dtab: No such file or directory"})
        assert (tried.status_code, tried.json()["type"]) == (200, "delegate")

    async def test_one_that_was_good_before(self) -> None:
        async with asking(self.an_agent()) as client:
            self.table.set(Dtab.parse("/svc => /#/io.l5d.fs"), 0.0)
            dtab_document().unusable(self.table, "/etc/dtab:1:8: expected a path", 0.0)
            explained = (await client.get("/explain.json?path=/svc/web")).json()
            delegated = await client.get("/delegator.json?path=/svc/web")
        assert (explained["outcome"], explained["dtab_error"]) == ("bound", "/etc/dtab:1:8: expected a path")
        assert delegated.json()["type"] == "delegate"

    async def test_one_that_does_not_come(self, autojump_clock: trio.testing.MockClock) -> None:
        async with asking(self.an_agent()) as client:
            delegated = await client.get("/delegator.json?path=/svc/web")
            explained = await client.get("/explain.json?path=/svc/web")
        assert (delegated.status_code, delegated.json()) == (
            503,
            {"error": "the router's dtab was not there within 2 s"},
        )
        assert explained.json()["error"] == "/svc/web: the router's dtab was not there within 2 s"


async def test_a_tree_that_is_too_large_to_show_is_refused() -> None:
    doublings = " ; ".join(f"/d{n} => /d{n + 1} & /d{n + 1}" for n in range(10))
    path = "/d0/" + "x" * 10_000
    async with asking(FakeAgent()) as client:
        answer = await client.get("/delegator.json", params={"path": path, "dtab": doublings})
    assert answer.status_code == 400
    assert "too large to show" in answer.json()["error"]


async def test_a_name_of_bytes_that_are_no_text_is_shown_in_ascii() -> None:
    agent = FakeAgent()
    agent.namer = FakeNamer("/#/x")
    async with asking(agent) as client:
        answer = await client.get("/explain.json", params={"path": r"/svc/\xff\x00"})
    assert json.loads(answer.content)["name"] == r"/svc/\xff\x00"
