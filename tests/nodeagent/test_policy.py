"""Who may call what, on real sockets: refused before anything is looked up, counted, logged and told."""

from __future__ import annotations

import json
import os
import textwrap
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs

from namer.path import Path as Name
from nodeagent.proxy.messages import Request, RequestHead
from nodeagent.proxy.permits import MEMO
from tests.nodeagent.proxy.world import Answer, Backend, Caller
from tests.nodeagent.running import Running, running

ME = os.getuid()


def get(path: str = "/", *, host: str = "web", method: str = "GET", more: str = "") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n".encode()


@asynccontextmanager
async def guarded(backend: Backend, policy: str, *, router: str = "") -> AsyncIterator[Running]:
    """An agent whose `web` and `secret` are at `backend`."""
    async with AsyncExitStack() as stack:
        nursery = await stack.enter_async_context(trio.open_nursery())
        await nursery.start(backend.run)
        text = (
            f"- protocol: http\n  servers: [{{port: 0}}]\n"
            f"  dtab: /svc/web => /$/inet/127.0.0.1/{backend.port} ; /svc/secret => /svc/web\n{router}"
            "  policy:\n" + textwrap.indent(textwrap.dedent(policy), "    ")
        )
        yield await stack.enter_async_context(running(text))
        nursery.cancel_scope.cancel()


async def metrics(agent: Running) -> list[str]:
    page = (await agent.admin("/metrics")).body.decode()
    return [line for line in page.splitlines() if line.startswith("nodeagent_policy_decisions_total")]


def denied(answer: Answer) -> bool:
    return answer.status == 403 and answer.body == b"policy: denied\n"


async def test_who_is_refused_is_told_no_more_than_that() -> None:
    backend = Backend()
    policy = "rules: [{name: read only, what: {methods: [DELETE], services: [/svc/*]}, action: deny}]"
    async with guarded(backend, policy) as agent:
        assert (await agent.ask("router http", get())).status == 200
        with capture_logs() as logs:
            answer = await agent.ask("router http", get("/x", method="DELETE"))
        (record,) = json.loads((await agent.admin("/requests.json?limit=1")).body)[:1]
        counted = await metrics(agent)

    assert denied(answer)
    assert "error=http_request_denied" in str(answer.get("proxy-status"))
    assert answer.get("l5d-retryable") is None
    assert len(backend.seen) == 1
    (line,) = [line for line in logs if line["event"] == "policy refuses a request"]
    assert (line["rule"], line["name"], line["method"], line["caller"]) == (
        "read only",
        "/svc/web",
        "DELETE",
        f"uid {ME}",
    )
    assert record["policy"] == {"verdict": "deny", "rule": "read only"}
    assert (record["blame"], record["message"], record["status"]) == ("policy", "policy: denied", 403)
    assert counted == [
        'nodeagent_policy_decisions_total{router="http",rule="default",verdict="allow"} 1.0',
        'nodeagent_policy_decisions_total{router="http",rule="read only",verdict="deny"} 1.0',
    ]


async def test_a_refusal_does_not_tell_what_there_is() -> None:
    policy = "{default: deny, rules: [{what: {services: [/svc/web]}, action: allow}]}"
    async with guarded(Backend(), policy) as agent:
        known = await agent.ask("router http", get(host="secret"))
        unknown = await agent.ask("router http", get(host="nothing"))
        assert (await agent.ask("router http", get())).status == 200
        names = json.loads((await agent.admin("/names.json")).body)

    assert denied(known)
    assert denied(unknown)
    assert known.body == unknown.body
    assert "/svc/nothing" not in [each["name"] for each in names]


async def test_nothing_goes_out_but_to_hosts_that_are_listed() -> None:
    listed = "/svc/api.example.com, '/svc/api.example.com:443', '/svc/*.example.net', '/svc/*.example.net:443'"
    policy = f"{{default: deny, rules: [{{what: {{services: [{listed}]}}, action: allow}}]}}"
    asked = [("api.example.com", 200), ("www.example.net", 200), ("api.example.com.evil.example", 403)]
    dtab = "  dtab: /svc => /$/inet/127.0.0.1/{port}\n"
    backend = Backend()
    async with trio.open_nursery() as nursery:
        await nursery.start(backend.run)
        text = f"- protocol: http\n  servers: [{{port: 0}}]\n  policy: {policy}\n{dtab.format(port=backend.port)}"
        async with running(text) as agent:
            with capture_logs() as logs:
                for host, status in [*asked, ("evil.example", 403), ("10.0.0.1", 403)]:
                    answer = await agent.ask("router http", get(host=host))
                    assert answer.status == status, host
                    async with await agent.connect("router http") as stream:
                        caller = Caller(stream)
                        await caller.send(f"CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n".encode())
                        assert (await caller.answer("CONNECT")).status == status, host
        nursery.cancel_scope.cancel()
    told = [(line["name"], line["rule"]) for line in logs if line["event"] == "policy refuses a request"]
    assert [name for name, _ in told] == [
        "/svc/api.example.com.evil.example",
        "/svc/api.example.com.evil.example:443",
        "/svc/evil.example",
        "/svc/evil.example:443",
        "/svc/10.0.0.1",
        "/svc/10.0.0.1:443",
    ]
    assert {rule for _, rule in told} == {"default"}


async def test_a_connection_goes_on_after_a_refusal() -> None:
    policy = "rules: [{what: {paths: [/admin/**]}, action: deny}]"
    async with guarded(Backend(), policy) as agent, await agent.connect("router http") as stream:
        caller = Caller(stream)
        for path, status in [
            ("/", 200),
            ("/admin", 403),
            ("/", 200),
            ("/%61dmin/x", 403),
            ("/a/../admin", 403),
            ("/", 200),
        ]:
            await caller.send(get(path))
            assert (await caller.answer()).status == status


async def test_an_audit_lets_pass_and_tells() -> None:
    async with guarded(Backend(), "rules: [{name: trial, what: {paths: [/old/**]}, action: audit}]") as agent:
        with capture_logs() as logs:
            assert (await agent.ask("router http", get("/old/x"))).status == 200
        (record,) = json.loads((await agent.admin("/requests.json?limit=1")).body)[:1]
        assert await metrics(agent) == [
            'nodeagent_policy_decisions_total{router="http",rule="trial",verdict="audit"} 1.0'
        ]
    assert [(line["event"], line["rule"]) for line in logs if "policy" in line["event"]] == [
        ("policy would refuse a request", "trial")
    ]
    assert record["policy"] == {"verdict": "audit", "rule": "trial"}


async def test_a_local_caller_is_its_user() -> None:
    policy = f"{{default: deny, rules: [{{who: {{users: ['{ME}']}}, action: allow}}]}}"
    async with guarded(Backend(), policy) as agent:
        assert (await agent.ask("router http", get())).status == 200
    policy = f"{{default: deny, rules: [{{who: {{users: ['{ME + 1}']}}, action: allow}}]}}"
    async with guarded(Backend(), policy) as agent:
        assert denied(await agent.ask("router http", get()))


async def test_a_local_caller_has_an_address_too() -> None:
    policy = "{default: deny, rules: [{who: {networks: [127.0.0.1]}, action: allow}]}"
    async with guarded(Backend(), policy) as agent:
        assert (await agent.ask("router http", get())).status == 200
        async with await trio.open_tcp_stream(
            "127.0.0.1", agent.port("router http"), local_address="127.0.0.2"
        ) as stream:
            caller = Caller(stream)
            await caller.send(get())
            assert denied(await caller.answer())


async def test_own_dentries_lead_nobody_past_the_rules() -> None:
    """`web` is allowed, and whoever asks for it cannot say that it means `secret`."""
    policy = "{default: deny, rules: [{what: {services: [/svc/web]}, action: allow}]}"
    async with guarded(Backend(), policy) as agent:
        assert denied(await agent.ask("router http", get(more="l5d-dtab: /svc/web => /svc/secret\r\n")))
        assert (await agent.ask("router http", get(more="l5d-dtab: \r\n"))).status == 200


async def test_a_field_that_is_not_sent_on_is_not_there() -> None:
    policy = "{default: deny, rules: [{what: {headers: {x-team: blue}}, action: allow}]}"
    async with guarded(Backend(), policy) as agent:
        assert (await agent.ask("router http", get(more="X-Team: blue\r\n"))).status == 200
        assert denied(await agent.ask("router http", get(more="X-Team: blue\r\nConnection: x-team\r\n")))
        assert denied(await agent.ask("router http", get(more="X-Team: blue\r\nX-Team: red\r\n")))


async def test_the_path_is_judged_as_it_is_sent_on() -> None:
    """The identifier takes the name off the path before it is judged."""
    router = "  identifier: {kind: io.l5d.path, consume: true}\n"
    backend = Backend()
    async with guarded(backend, "rules: [{what: {paths: [/admin]}, action: deny}]", router=router) as agent:
        assert denied(await agent.ask("router http", get("/web/admin")))
        assert (await agent.ask("router http", get("/web/web/admin"))).status == 200
    assert backend.seen[0].startswith(b"GET /web/admin ")


@pytest.mark.parametrize(
    ("policy", "status"),
    [
        ("{default: deny, rules: [{what: {services: ['/svc/web:*']}, action: allow}]}", 403),
        ("{default: deny, rules: [{what: {services: ['/svc/web', '/svc/web:*']}, action: allow}]}", 200),
        ("{default: deny, rules: [{what: {services: ['/svc/web']}, action: allow}]}", 200),
        ("{default: deny, rules: [{what: {services: ['/svc/secret']}, action: allow}]}", 403),
        ("rules: [{what: {methods: [DELETE]}, action: deny}]", 403),
        ("rules: [{what: {methods: [CONNECT]}, action: allow}, {what: {methods: [DELETE]}, action: deny}]", 200),
    ],
)
async def test_tunnels(policy: str, status: int) -> None:
    """`web:443` is what discovery knows as /svc/web."""
    async with guarded(Backend(), policy) as agent:
        stream = await agent.connect("router http")
        async with stream:
            caller = Caller(stream)
            await caller.send(b"CONNECT web:443 HTTP/1.1\r\nHost: web:443\r\n\r\n")
            assert (await caller.answer("CONNECT")).status == status


async def test_a_connection_through_a_tcp_router_is_reset() -> None:
    backend = Backend()
    async with trio.open_nursery() as nursery:
        await nursery.start(backend.run)
        text = (
            f"- {{protocol: tcp, servers: [{{port: 0, name: db}}], dtab: /svc/db => /$/inet/127.0.0.1/{backend.port}, "
            "policy: {rules: [{name: nobody, what: {services: [/svc/db]}, action: deny}]}}"
        )
        async with running(text) as agent:
            async with await agent.connect("router tcp") as stream:
                with pytest.raises(trio.BrokenResourceError):
                    await stream.receive_some()
            assert await metrics(agent) == [
                'nodeagent_policy_decisions_total{router="tcp",rule="nobody",verdict="deny"} 1.0'
            ]
        nursery.cancel_scope.cancel()
    assert backend.connections == 0


async def test_a_caller_on_a_unix_socket_is_its_user(tmp_path: Path) -> None:
    path = tmp_path / "agent"
    policy = f"{{rules: [{{who: {{users: ['{ME}']}}, what: {{paths: [/x]}}, action: deny}}]}}"
    text = f"- {{protocol: http, servers: [{{path: {path}}}], policy: {policy}, dtab: /svc/web => $}}"
    async with running(text), await trio.open_unix_socket(str(path)) as stream:
        caller = Caller(stream)
        await caller.send(get("/x"))
        assert denied(await caller.answer())
        await caller.send(get("/y"))
        assert (await caller.answer()).status == 502


async def test_why_nobody_has_allowed_it_is_in_the_log() -> None:
    policy = """
        default: deny
        rules:
        - {name: a, what: {methods: [PUT]}, action: allow}
        - {name: b, what: {methods: [POST]}, action: allow}
        - {name: c, what: {methods: [HEAD]}, action: allow}
        - {name: d, what: {methods: [TRACE]}, action: allow}
    """
    async with guarded(Backend(), policy) as agent:
        with capture_logs() as logs:
            assert denied(await agent.ask("router http", get()))
    (line,) = [line for line in logs if line["event"] == "policy refuses a request"]
    assert line["why"] == (
        "a wants methods PUT: the method is GET; b wants methods POST: the method is GET; "
        "c wants methods HEAD: the method is GET"
    )


async def test_many_names_make_what_is_remembered_start_over() -> None:
    backend = Backend()
    policy = "rules: [{what: {services: [/svc/secret]}, action: deny}]"
    async with guarded(backend, policy) as agent:
        permits = agent.agent.routers[0].router.permits
        assert permits is not None
        for number in range(2 * MEMO + 1):
            request = Request(RequestHead(b"GET", b"", b"/", 11, b"", {}), b"", 0.0, "10.0.0.7:1")
            await permits.check(request, Name(("svc", str(number))))
        assert permits.remembered <= MEMO
        assert denied(await agent.ask("router http", get(host="secret")))
