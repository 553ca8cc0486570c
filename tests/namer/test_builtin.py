import random

import pytest

from namer.builtin import builtin_namers
from namer.hosts import Hosts
from namer.namer import Bound, NameState
from namer.nametree import EMPTY, FAIL, NEG, Leaf, show
from namer.path import Path
from namer.watch import Watches

NAMERS = builtin_namers(Hosts(Watches(random.Random(7))))


def lookup(name: str) -> NameState:
    path = Path.parse(name)
    return NAMERS[path[1]].lookup(path[2:]).value


@pytest.mark.parametrize(
    ("name", "to"),
    [
        ("/$/io.buoyant.hostportPfx/p/h:80", "/p/h/80"),
        ("/$/io.buoyant.porthostPfx/p/h:80", "/p/80/h"),
        ("/$/io.buoyant.http.anyMethod/GET/a", "/a"),
        ("/$/io.buoyant.http.anyMethodPfx/p/GET/a", "/p/a"),
        ("/$/io.buoyant.http.anyHost/h/a", "/a"),
        ("/$/io.buoyant.http.anyHostPfx/p/h/a", "/p/a"),
        ("/$/io.buoyant.http.subdomainOf/b.c/a.b.c", "/a"),
        ("/$/io.buoyant.http.subdomainOfPfx/b.c/p/a.b.c", "/p/a"),
        ("/$/io.buoyant.http.domainToPath/a.b", "/b/a"),
        ("/$/io.buoyant.http.domainToPathPfx/p/a.b", "/p/b/a"),
    ],
)
def test_each_rewriting_namer_has_its_name(name: str, to: str) -> None:
    assert lookup(name) == Leaf(Path.parse(to))


@pytest.mark.parametrize(
    "id_",
    [
        "/$/inet/h/80",
        "/$/fixedinet/h/80",
        "/$/io.buoyant.rinet/80/h",
        "/$/io.buoyant.http.status/418",
    ],
)
def test_each_binding_namer_puts_its_prefix_into_the_id(id_: str) -> None:
    state = lookup(f"{id_}/x")

    assert isinstance(state, Leaf)
    assert isinstance(state.value, Bound)
    assert show(state) == id_


def test_nil_and_fail() -> None:
    assert lookup("/$/nil/x") == EMPTY
    assert lookup("/$/fail/x") == FAIL
    assert lookup("/$/io.buoyant.http.status/x") == NEG
