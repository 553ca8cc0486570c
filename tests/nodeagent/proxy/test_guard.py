"""Where the agent connects for names that come from outside: judged by what they resolve to, whenever that changes."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from ipaddress import ip_network

import pytest
import trio
from structlog.testing import capture_logs

from balancer.checks import CheckSchedule
from namer.addr import Addr, AddrBound, AddrNeg, AddrPending, Endpoint
from namer.cell import Cell
from namer.namer import Bound, Provenance
from namer.path import Path
from nodeagent.proxy.balance import ClientPolicy
from nodeagent.proxy.checks import CheckParams
from nodeagent.proxy.guard import Guard, GuardPolicy
from tests.namer.dns.server import response, wire_server
from tests.nodeagent.proxy.world import Answer, Backend, World, free_port

QUICKSTART = "/ph => /$/io.buoyant.rinet ; /svc => /ph/80 ; /svc => /$/io.buoyant.porthostPfx/ph"

REQUEST, REGISTRY, FILE, TABLE = (
    Provenance.REQUEST,
    Provenance.REGISTRY,
    Provenance.FILE,
    Provenance.CONFIGURATION,
)


def policy(*, allow: Iterable[str] = (), deny: Iterable[str] = (), discovery: bool = False) -> GuardPolicy:
    return GuardPolicy(allow=tuple(map(ip_network, allow)), deny=tuple(map(ip_network, deny)), discovery=discovery)


def judged(guard: Guard, provenance: Provenance, host: str, port: int = 80) -> str | None:
    """Why the address is refused, None when it is not."""
    addr: Cell[Addr] = Cell.constant(AddrBound((Endpoint(host, port),)))
    value = guard.guarded(Bound(Path(), Path(), addr, provenance=provenance)).addr.value
    assert isinstance(value, AddrBound)
    assert len(value.endpoints) + len(value.refused) == 1
    return value.refused[0].why if value.refused else None


# What is refused, and to whom


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("127.0.0.1", "127.0.0.0/8 is loopback"),
        ("127.255.255.254", "127.0.0.0/8 is loopback"),
        ("0.0.0.0", "0.0.0.0/8 is this host"),
        ("0.1.2.3", "0.0.0.0/8 is this host"),
        ("169.254.169.254", "169.254.0.0/16 is link-local"),
        ("224.0.0.1", "224.0.0.0/4 is multicast"),
        ("255.255.255.255", "255.255.255.255/32 is broadcast"),
        ("100.100.100.200", "100.100.100.200/32 is the metadata service of Alibaba Cloud"),
        ("168.63.129.16", "168.63.129.16/32 is the platform channel of Azure"),
        ("::1", "::1/128 is loopback"),
        ("::1%lo", "::1/128 is loopback"),
        ("::", "::/128 is this host"),
        ("fe80::1%eth0", "fe80::/10 is link-local"),
        ("ff02::1", "ff00::/8 is multicast"),
        ("fd00:ec2::254", "fc00::/7 is unique local"),
        ("::ffff:127.0.0.1", "127.0.0.0/8 is loopback"),
        ("::127.0.0.1", "127.0.0.0/8 is loopback"),
        ("64:ff9b::a9fe:a9fe", "169.254.0.0/16 is link-local"),
        ("2002:7f00:1::", "127.0.0.0/8 is loopback"),
        ("/run/web.sock", "it is no IP address"),
        ("10.0.0.1", None),
        ("192.168.1.1", None),
        ("100.64.0.1", None),
        ("198.51.100.1", None),
        ("2001:db8::1", None),
        ("2002:c633:6401::", None),
    ],
)
def test_what_names_of_requests_may_not_lead_to(host: str, why: str | None) -> None:
    said = judged(Guard(policy()), REQUEST, host)

    assert (said is None) if why is None else str(said).startswith(why)
    assert said is None or why == "it is no IP address" or "addressGuard.allow" in said


@pytest.mark.parametrize(
    ("provenance", "discovery", "refused"),
    [
        pytest.param(TABLE, False, "", id="what the table spells out is its author's choice"),
        pytest.param(TABLE, True, "", id="always"),
        pytest.param(FILE, False, "", id="so is a file of this host"),
        pytest.param(FILE, True, "loopback link-local metadata", id="unless the operator says otherwise"),
        pytest.param(REGISTRY, False, "link-local", id="a registry has many writers"),
        pytest.param(REGISTRY, True, "loopback link-local metadata", id="who are judged as requests are"),
        pytest.param(REQUEST, False, "loopback link-local metadata", id="a request"),
    ],
)
def test_who_is_judged(provenance: Provenance, discovery: bool, refused: str) -> None:
    guard = Guard(policy(discovery=discovery))
    hosts = {"loopback": "127.0.0.1", "link-local": "169.254.1.1", "metadata": "100.100.100.200"}

    assert " ".join(what for what, host in hosts.items() if judged(guard, provenance, host)) == refused


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        pytest.param("127.0.0.1", True, id="listed"),
        pytest.param("127.0.0.2", False, id="denied within what is listed"),
        pytest.param("::ffff:127.0.0.1", True, id="listed, in another form"),
        pytest.param("2002:7f00:2::", False, id="denied, in another form"),
        pytest.param("10.1.1.1", False, id="denied"),
        pytest.param("10.2.1.1", True, id="listed within what is denied"),
        pytest.param("10.2.2.2", False, id="and denied within that"),
        pytest.param("10.3.0.1", False, id="denied where both say the same"),
        pytest.param("fd00::1", True, id="listed, IPv6"),
        pytest.param("fd00:0:0:1::1", False, id="as by default"),
        pytest.param("198.51.100.1", True, id="nothing is said of it"),
    ],
)
def test_the_narrowest_entry_counts(host: str, allowed: bool) -> None:
    lists = policy(
        allow=["127.0.0.0/8", "10.2.0.0/16", "10.3.0.0/16", "fd00::/64"],
        deny=["127.0.0.2", "10.0.0.0/8", "10.2.2.0/24", "10.3.0.0/16"],
    )

    assert (judged(Guard(lists), REQUEST, host) is None) is allowed


def test_a_registry_is_allowed_what_is_listed_and_not_denied_where_services_live() -> None:
    guard = Guard(policy(allow=["169.254.20.10"], deny=["10.0.0.0/8"]))

    assert [judged(guard, REGISTRY, host) for host in ("169.254.20.10", "10.0.0.1")] == [None, None]
    assert judged(guard, REGISTRY, "10.0.0.1", port=25) is None
    assert judged(Guard(policy(deny=["10.0.0.0/8"], discovery=True)), REGISTRY, "10.0.0.1") == (
        "addressGuard.deny lists 10.0.0.0/8"
    )


def test_a_guard_that_is_off_judges_nothing() -> None:
    guard = Guard(GuardPolicy(enabled=False))

    assert [judged(guard, REQUEST, "127.0.0.1", port) for port in (80, 25)] == [None, None]


def test_the_agents_own_ports_are_told_apart_and_no_list_allows_them() -> None:
    guard = Guard(policy(allow=["0.0.0.0/0"]), lambda it: it.port == 4140, lambda it: it.port == 9990)
    addr: Cell[Addr] = Cell.constant(AddrBound(tuple(Endpoint("10.0.0.1", port) for port in (80, 4140, 9990))))
    value = guard.guarded(Bound(Path(), Path(), addr, provenance=REQUEST)).addr.value

    assert isinstance(value, AddrBound)
    assert [each.port for each in value.endpoints] == [80]
    assert [(each.why, each.loop) for each in value.refused] == [
        ("that is the agent itself", True),
        ("that is the admin port of the agent", False),
    ]


def test_an_address_is_judged_anew_whenever_it_changes() -> None:
    pending: Addr = AddrPending()
    source: Cell[Addr] = Cell(pending)
    cell = Guard(policy()).guarded(Bound(Path(), Path(), source, provenance=REQUEST)).addr
    cell.subscribe(lambda: None)
    values: list[Addr] = [cell.value]
    public, loopback = Endpoint("198.51.100.1", 80), Endpoint("127.0.0.1", 80)
    for addr in (AddrBound((public,)), AddrBound((public, loopback)), AddrBound((loopback,)), AddrNeg()):
        source.set(addr, 0.0)
        values.append(cell.value)

    assert [each.endpoints if isinstance(each, AddrBound) else each for each in values] == [
        AddrPending(),
        (public,),
        (public,),
        (),
        AddrNeg(),
    ]


# Through a router


def is_refused(answer: Answer) -> bool:
    error = answer.get("proxy-status") or ""
    return answer.status == 403 and "error=destination_ip_prohibited;" in error


def a_get(host: str) -> bytes:
    return f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()


def a_connect(authority: str) -> bytes:
    return f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode()


@contextmanager
def trap(address: str) -> Iterator[socket.socket]:
    """A listener, on any port, that nobody should ever connect to; see `is_untouched`."""
    with socket.socket() as sock:
        sock.bind((address, 0))
        sock.listen()
        sock.setblocking(False)
        yield sock


def is_untouched(sock: socket.socket) -> bool:
    try:
        sock.accept()
    except BlockingIOError:
        return True
    return False


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.1", "2130706433", "0x7f.1", "017700000001", "127.0.0.1.", "0.0.0.0", "0", "localhost"),
        *("a.localhost", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]"),
        *("169.254.169.254", "[fd00::1]", "[64:ff9b::7f00:1]"),
    ],
)
async def test_loopback_in_any_form_is_refused_and_never_dialled(host: str) -> None:
    async with World(dtab=QUICKSTART).running(Backend()) as world:
        backend = world.backends[0]
        for request_to in (a_get, a_connect):
            answer = await world.ask(request_to(f"{host}:{backend.port}"))
            assert is_refused(answer), answer

    assert backend.connections == 0


async def test_a_refusal_names_the_address_the_rule_and_the_key() -> None:
    async with World(dtab=QUICKSTART).running() as world:
        answer = await world.ask(a_get("localhost:8081"))

    assert answer.body.decode() == (
        "dial 127.0.0.1:8081: 127.0.0.0/8 is loopback, and not for names that requests spell out; "
        "addressGuard.allow can list the address\n"
    )


async def test_a_listed_address_is_dialled() -> None:
    async with World(dtab=QUICKSTART, guard=policy(allow=["127.0.0.0/8"])).running(Backend()) as world:
        answer = await world.ask(a_get(f"127.0.0.1:{world.backends[0].port}"))

    assert answer.status == 200


async def test_what_the_table_spells_out_is_dialled_and_nobody_else_gets_its_connection() -> None:
    dtab = "/svc => /$/io.buoyant.rinet/{0} ; /svc/web => /$/io.buoyant.rinet/{0}/127.0.0.1"
    async with World(dtab=dtab).running(Backend()) as world:
        spelled = await world.ask(a_get("web"))
        asked = await world.ask(a_get("127.0.0.1"))

    assert (spelled.status, is_refused(asked)) == (200, True)
    assert len(world.backends[0].seen) == 1


async def test_a_dtab_of_the_callers_own_is_a_table_too() -> None:
    async with World(dtab=QUICKSTART).running(Backend()) as world:
        header = b"l5d-dtab: /svc/web => /$/inet/127.0.0.1/%d\r\n" % world.backends[0].port
        answer = await world.ask(b"GET / HTTP/1.1\r\nHost: web\r\n%b\r\n" % header)

    assert answer.status == 200


@pytest.mark.parametrize("request_to", [a_get, a_connect])
async def test_the_port_for_mail_is_refused_on_any_address(request_to: Callable[[str], bytes]) -> None:
    async with World(dtab=QUICKSTART).running() as world:
        answer = await world.ask(request_to("198.51.100.1:25"))

    assert is_refused(answer)
    assert b"198.51.100.1:25: addressGuard.denyPorts lists port 25" in answer.body


async def test_for_a_port_that_is_refused_the_dns_is_not_asked() -> None:
    asked: list[bytes] = []

    def reply(query: bytes) -> list[bytes]:
        asked.append(query)
        return []

    async with (
        wire_server(reply) as dns,
        World(dtab="/svc => /$/io.buoyant.rinet/25", dns=dns.where).running() as world,
    ):
        answer = await world.ask(a_get("mail.example"))

    assert is_refused(answer)
    assert answer.body == b"dial mail.example:25: addressGuard.denyPorts lists port 25\n"
    assert asked == []


async def test_a_name_that_leads_to_the_agent_itself_is_a_loop() -> None:
    port = free_port()
    async with World(dtab=QUICKSTART, own=lambda host, p: p == port).running() as world:
        answer = await world.ask(a_get(f"127.0.0.1:{port}"))

    assert (answer.status, "error=proxy_loop_detected;" in str(answer.get("proxy-status"))) == (502, True)


async def test_a_request_picks_no_unix_socket() -> None:
    async with World(dtab="/svc => /$/unix/run").running() as world:
        answer = await world.ask(a_get("docker.sock"))

    assert is_refused(answer)


async def test_another_alternative_takes_over() -> None:
    dtab = "/svc => /$/inet/127.0.0.1/{0} ; /svc => /$/io.buoyant.rinet/{0}"
    async with World(dtab=dtab).running(Backend()) as world:
        answer = await world.ask(a_get("localhost"))

    assert answer.status == 200
    assert b"l5d-dst-client: /$/inet/127.0.0.1/" in world.backends[0].seen[0]


# Rebinding: the DNS is whoever owns the name


async def test_a_name_that_moves_to_loopback_is_refused_from_then_on() -> None:
    here = ["127.0.0.2"]

    def reply(query: bytes) -> list[bytes]:
        return [response(query, *(f"rebind.example. 0 IN A {address}" for address in here))]

    async with wire_server(reply) as dns:
        world = World("/svc => /$/io.buoyant.rinet/{0}", guard=policy(allow=["127.0.0.2"]), dns=dns.where)
        with trap("127.0.0.1") as loopback:
            backend = Backend(address="127.0.0.2", port=loopback.getsockname()[1])
            async with world.running(backend):
                before = await world.ask(a_get("rebind.example"))
                assert before.status == 200
                here[:] = ["127.0.0.1"]
                with trio.fail_after(10):
                    while (after := await world.ask(a_get("rebind.example"))).status == 200:
                        await trio.sleep(0.02)
                served = len(backend.seen)
                again = [await world.ask(a_get("rebind.example")) for _ in range(5)]
                tunnel = await world.ask(a_connect("rebind.example:80"))

                assert all(is_refused(answer) for answer in (after, *again, tunnel))
                assert is_untouched(loopback)
                assert len(backend.seen) == served, "the connection of before is not used either"


async def test_of_an_answer_with_both_the_public_address_is_used_and_the_other_never_dialled() -> None:
    def reply(query: bytes) -> list[bytes]:
        return [response(query, "both.example. 60 IN A 127.0.0.1", "both.example. 60 IN A 127.0.0.2")]

    checked = ClientPolicy(check=CheckParams(CheckSchedule(0.02), timeout=1.0))
    async with wire_server(reply) as dns:
        world = World(
            "/svc => /$/io.buoyant.rinet/{0}", client=checked, guard=policy(allow=["127.0.0.2"]), dns=dns.where
        )
        with trap("127.0.0.1") as loopback:
            backend = Backend(address="127.0.0.2", port=loopback.getsockname()[1])
            async with world.running(backend):
                answers = [await world.ask(a_get("both.example")) for _ in range(20)]
                client = world.router.bindings.clients.named(
                    Path.parse(f"/$/io.buoyant.rinet/{backend.port}/both.example")
                )
                assert client is not None
                with trio.fail_after(10):
                    while not client.stats.checks["passed"]:
                        await trio.sleep(0.02)

                assert {answer.status for answer in answers} == {200}
                assert is_untouched(loopback), "neither by a request nor by a health check"
                assert client.stats.checks["failed"] == 0
                assert [node.endpoint.host for node in client.balancer.nodes] == ["127.0.0.2"]


# What is told of it


async def test_refusals_are_counted_and_logged() -> None:
    async with World(dtab=QUICKSTART).running() as world:
        with capture_logs() as logs:
            for number in range(3):
                assert is_refused(await world.ask(a_get(f"127.0.0.{number + 1}:81")))

    lines = [line for line in logs if line["event"] == "an address is refused"]
    assert world.stats.errors("test")["destination_ip_prohibited"] == 3
    assert [(line["router"], line["name"]) for line in lines] == [("test", f"/svc/127.0.0.{n}:81") for n in (1, 2, 3)]
