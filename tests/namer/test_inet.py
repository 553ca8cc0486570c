import pytest

from namer.addr import Addr, AddrBound, AddrFailed, AddrPending, Endpoint
from namer.cell import Cell
from namer.dns.course import MAX_DELAY
from namer.inet import InetNamer, RinetNamer, UnixNamer, spelled_out
from namer.namer import Bound, NameState
from namer.nametree import NEG, Leaf
from namer.path import Path
from tests.namer.contract_namer import NamerContract, Source
from tests.namer.fakes import Live


def pending(host: str, port: int) -> Cell[Addr]:
    return Cell.constant(AddrPending())


INET = InetNamer(Path.parse("/$/inet"), pending)
RINET = RinetNamer(Path.parse("/$/io.buoyant.rinet"), pending)


def bound(id_: str, residual: str = "/") -> NameState:
    return Leaf(Bound(Path.parse(id_), Path.parse(residual), pending("", 0)))


@pytest.mark.parametrize(
    ("name", "state"),
    [
        pytest.param("/example.org/80", bound("/$/inet/example.org/80"), id="host and port"),
        pytest.param("/example.org/80/a/b", bound("/$/inet/example.org/80", "/a/b"), id="a residual"),
        pytest.param("/8080", bound("/$/inet/8080"), id="a port of this host"),
        pytest.param("/8080/a", bound("/$/inet/8080", "/a"), id="a port of this host, and a residual"),
        pytest.param("/80/90", bound("/$/inet/80/90"), id="a host that looks like a port"),
        pytest.param("/::1/80", bound("/$/inet/::1/80"), id="an IPv6 address"),
        pytest.param("/example.org", NEG, id="no port"),
        pytest.param("/example.org/http", NEG, id="no number"),
        pytest.param("/", NEG, id="nothing"),
    ],
)
def test_inet_names(name: str, state: NameState) -> None:
    assert INET.lookup(Path.parse(name)).value == state


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("/80/example.org", bound("/$/io.buoyant.rinet/80/example.org")),
        ("/80/example.org/a", bound("/$/io.buoyant.rinet/80/example.org", "/a")),
        ("/80", NEG),
        ("/", NEG),
    ],
)
def test_rinet_names(name: str, state: NameState) -> None:
    assert RINET.lookup(Path.parse(name)).value == state


@pytest.mark.parametrize(
    ("name", "spelled"),
    [
        ("/$/inet/example.org/80", ("example.org", 80)),
        ("/$/fixedinet/::1/80", ("::1", 80)),
        ("/$/inet/8080", ("127.0.0.1", 8080)),
        ("/$/io.buoyant.rinet/80/example.org", ("example.org", 80)),
        ("/$/inet/example.org/0", None),
        ("/$/inet/example.org/" + "9" * 5000, None),
        ("/$/io.buoyant.http.status/200", None),
        ("/#/io.l5d.fs/80", None),
        ("/", None),
    ],
)
def test_what_a_concrete_name_spells_out(name: str, spelled: tuple[str, int] | None) -> None:
    assert spelled_out(Path.parse(name)) == spelled


def test_brackets_are_no_part_of_a_host() -> None:
    assert spelled_out(Path(("$", "inet", "[::1]", "80"))) == ("::1", 80)


def addr(namer: InetNamer | RinetNamer, name: str) -> Addr:
    state = namer.lookup(Path.parse(name)).value
    assert isinstance(state, Leaf)
    assert isinstance(state.value, Bound)
    return state.value.addr.value


@pytest.mark.parametrize(
    ("namer", "name", "port"),
    [
        (INET, "/h/0", "0"),
        (INET, "/h/65536", "65536"),
        (INET, "/99999", "99999"),
        (INET, "/h/" + "9" * 5000, "9" * 5000),
        (RINET, "/http/h", "http"),
    ],
)
def test_a_port_that_is_none_fails_the_address_not_the_name(
    namer: InetNamer | RinetNamer, name: str, port: str
) -> None:
    assert addr(namer, name) == AddrFailed(f"port {port!r} is not a number from 1 to 65535")


def test_where_the_address_is_taken_from() -> None:
    def echo(host: str, port: int) -> Cell[Addr]:
        return Cell.constant(AddrBound((Endpoint(host, port),)))

    assert addr(InetNamer(Path(), echo), "/h/80") == AddrBound((Endpoint("h", 80),))
    assert addr(InetNamer(Path(), echo), "/80") == AddrBound((Endpoint("127.0.0.1", 80),))
    assert addr(RinetNamer(Path(), echo), "/80/h") == AddrBound((Endpoint("h", 80),))


class InetSource(Source):
    """A host that a resolver knows, or not."""

    def __init__(self, live: Live) -> None:
        self._resolver = live.resolver
        self.namer = InetNamer(Path.parse("/$/inet"), live.hosts.addr)
        self.name = Path.parse("/web/80")
        self.id = Path.parse("/$/inet/web/80")

    def serve(self, *hosts: str) -> None:
        self._resolver.known["web"] = hosts

    def break_(self) -> None:
        self._resolver.known["web"] = OSError("the resolver is down")

    def remove(self) -> None:
        del self._resolver.known["web"]


class TestInetKeepsTheContract(NamerContract):
    settled = MAX_DELAY

    def source(self, live: Live) -> Source:
        return InetSource(live)


@pytest.mark.parametrize(
    ("path", "endpoint"),
    [
        pytest.param("/$/unix/run/app.sock", "unix:/run/app.sock", id="a path"),
        pytest.param("/$/unix/run/a/b", "unix:/run/a/b", id="all of it, there is no residual"),
        pytest.param("/$/unix", None, id="no path"),
        pytest.param("/$/unix/run/\\x2e\\x2e/app.sock", None, id="a way up"),
        pytest.param("/$/unix/run\\x2fapp.sock", None, id="a slash in a label"),
        pytest.param("/$/unix/run\\x00", None, id="NUL"),
        pytest.param("/$/unix/" + "x" * 107, None, id="too long for an address"),
    ],
)
def test_a_name_may_be_the_path_of_a_socket(path: str, endpoint: str | None) -> None:
    state = UnixNamer(Path.parse("/$/unix")).lookup(Path.parse(path)[2:]).value

    if endpoint is None:
        assert state is NEG
    else:
        assert isinstance(state, Leaf)
        assert isinstance(state.value, Bound)
        assert (state.value.id.show(), state.value.residual.show()) == (path, "/")
        addr = state.value.addr.value
        assert isinstance(addr, AddrBound)
        assert [each.show() for each in addr.endpoints] == [endpoint]
