"""Whose word it is where a bound name is served: the table's, the request's, or a source's."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namer.binding import Namers, bind, shares
from namer.builtin import builtin_namers
from namer.dtab import Dtab
from namer.hosts import Hosts
from namer.inet import spelled_out
from namer.namer import Bound, Failure, Namer, Pending, Provenance
from namer.nametree import Leaf
from namer.path import Path
from namer.rewrite import rewrite_namer
from namer.transform.names import Const
from namer.transform.transformer import transformed_namers
from namer.watch import Watches
from tests.namer.fakes import FakeNamer

TABLE, REQUEST, FILE = Provenance.CONFIGURATION, Provenance.REQUEST, Provenance.FILE

BUILTIN = builtin_namers(Hosts(Watches(random.Random(7))))
QUICKSTART = "/ph => /$/io.buoyant.rinet ; /svc => /ph/80 ; /svc => /$/io.buoyant.porthostPfx/ph"


def configured() -> list[tuple[Path, Namer]]:
    fs = FakeNamer("/#/fs")
    fs.serve("web")
    return [(fs.prefix, fs), (Path.parse("/#/rewrite"), rewrite_namer("/{host}", "/$/inet/{host}/80"))]


def provenances(name: str, dtab: str, namers: Namers) -> list[Provenance]:
    state = bind(Path.parse(name), Dtab.parse(dtab), namers).state
    assert not isinstance(state, Pending | Failure)
    return [share.bound.provenance for share in shares(state)]


@pytest.mark.parametrize(
    ("name", "dtab", "expected"),
    [
        pytest.param("/svc/web", "/svc/web => /$/inet/h/80", TABLE, id="the table spells out the address"),
        pytest.param("/svc/web", "/svc => /host ; /host => /$/inet/h/80", TABLE, id="in two steps"),
        pytest.param("/svc/80", "/svc => /$/inet/h", TABLE, id="the host, and the request the port"),
        pytest.param("/svc/web", "/svc/web => /$/inet/8080", TABLE, id="a port of this host"),
        pytest.param("/svc/web", "/svc/web => /$/unix/run/app.sock", TABLE, id="a Unix socket"),
        pytest.param("/svc/app.sock", "/svc => /$/unix/run", REQUEST, id="a Unix socket that the request picks"),
        pytest.param("/svc/8080", "/svc => /$/inet", REQUEST, id="the request names a port of this host"),
        pytest.param("/svc/h/80", "/svc => /$/inet", REQUEST, id="the request spells out the address"),
        pytest.param("/svc/h", "/svc => /$/io.buoyant.rinet/80", REQUEST, id="the host, and the table the port"),
        pytest.param("/svc/h", "/svc/h => /$/io.buoyant.rinet/80/h", TABLE, id="the table repeats what was asked"),
        pytest.param("/svc/h", "/svc/* => /$/inet/i/80", TABLE, id="a wildcard drops what was asked"),
        pytest.param("/svc/h", QUICKSTART, REQUEST, id="the quickstart, without a port"),
        pytest.param("/svc/h:81", QUICKSTART, REQUEST, id="the quickstart, with a port: taken apart, still its own"),
        pytest.param(
            "/svc/web",
            "/svc/web => /$/io.buoyant.hostportPfx/x/h:80 ; /x => /$/inet",
            TABLE,
            id="the table's own word, taken apart",
        ),
        pytest.param("/svc/h", "/svc => /#/rewrite", REQUEST, id="a rewrite puts in what was asked"),
        pytest.param("/svc/web", "/svc/web => /#/rewrite/h", TABLE, id="a rewrite of what the table says"),
        pytest.param("/svc/web", "/svc => /#/fs", FILE, id="a source says the address"),
        pytest.param("/$/inet/h/80", "", REQUEST, id="a name that needs no table"),
    ],
)
def test_whose_word_a_host_is(name: str, dtab: str, expected: Provenance) -> None:
    assert provenances(name, dtab, Namers(configured(), BUILTIN)) == [expected]


def test_branches_are_told_apart() -> None:
    dtab = "/svc => /$/inet & /$/inet/h/80 & /#/fs/web"

    assert provenances("/svc/h/80", dtab, Namers(configured(), BUILTIN)) == [REQUEST, TABLE, FILE]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param([], REQUEST, id="the whole name is asked for"),
        pytest.param(["/svc"], REQUEST, id="dstPrefix is given, the rest is asked for"),
        pytest.param(["/svc", "/svc/h/80"], TABLE, id="an identifier names all requests so"),
        pytest.param(["/svc/h"], TABLE, id="dstPrefix reaches as far as the host"),
    ],
)
def test_what_the_configuration_puts_into_a_name_is_not_asked_for(given: list[str], expected: Provenance) -> None:
    namers = Namers(configured(), BUILTIN, given=[Path.parse(each) for each in given])

    assert provenances("/svc/h/80", "/svc => /$/inet", namers) == [expected]


def test_a_name_that_takes_the_place_of_all_others_is_configured() -> None:
    const = Const(Path(("const",)), Path.parse("/$/inet/127.0.0.1/4141"), BUILTIN)
    namers = transformed_namers(configured(), BUILTIN, [const])

    assert provenances("/svc/h", QUICKSTART, namers) == [TABLE]


def test_one_id_is_two_things_when_two_say_it() -> None:
    namers, dtab = Namers(configured(), BUILTIN), Dtab.parse("/svc => /$/inet ; /mine => /$/inet/h/80")
    bounds = [bind(Path.parse(name), dtab, namers).state for name in ("/svc/h/80", "/mine")]
    [asked, spelled] = [state.value for state in bounds if isinstance(state, Leaf) and isinstance(state.value, Bound)]

    assert asked.id == spelled.id
    assert asked.key != spelled.key


OURS = ["svc", "a", "b", "h", "80", "$", "inet", "io.buoyant.rinet", "io.buoyant.porthostPfx", "#", "rewrite", "fs"]
THEIRS = ["t", "t:80", "81", "t.example"]

prefixes = st.lists(st.sampled_from([*OURS, "*"]), min_size=1, max_size=3).map("/".join)
leaves = st.lists(st.sampled_from(OURS), min_size=1, max_size=5).map("/".join)
dentries = st.one_of(
    st.builds("/{} => /{}".format, prefixes, leaves),
    st.sampled_from(["/svc => /$/inet", "/svc => /#/rewrite", "/a => /$/io.buoyant.rinet/80"]),
    st.sampled_from(["/svc => /$/io.buoyant.porthostPfx/b", "/b => /$/io.buoyant.rinet"]),
)


@given(
    dtab=st.lists(dentries, min_size=1, max_size=6).map(" ; ".join),
    asked=st.lists(st.sampled_from(THEIRS), min_size=1, max_size=3),
)
def test_what_a_request_says_is_never_the_tables_word(dtab: str, asked: list[str]) -> None:
    namers = Namers(configured(), BUILTIN, given=[Path(("svc",))])
    state = bind(Path(("svc", *asked)), Dtab.parse(dtab), namers).state
    if isinstance(state, Pending | Failure):
        return
    for share in shares(state):
        spelled = spelled_out(share.bound.id)
        if spelled is not None and share.bound.provenance is TABLE:
            host, _ = spelled
            assert not host.startswith("t")
            assert "81" not in share.bound.id.labels or host != "127.0.0.1", "nor is the port of this host"
