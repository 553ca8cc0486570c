"""The rules of naming by example: fifty tables, what linkerd 1.x makes of them, and so do we."""

import pytest

from namer.addr import Endpoint
from namer.binding import Namers, bind
from namer.dtab import Dtab
from namer.grammar import NameSyntaxError
from namer.health import Assess, by_addresses
from namer.path import Path
from tests.namer.binding_shorthand import BUILTIN, FS, described, full
from tests.namer.fakes import FakeNamer

TWO_HOSTS = "/a=>/$/inet/h1/1; /b=>/$/inet/h2/2"
PORT_HOST = "/ph=>/$/io.buoyant.rinet; /svc=>/ph/80; /svc=>/$/io.buoyant.porthostPfx/ph"
OVERRIDE = "/svc=>fs; /svc/web=>/svc/web-v1"
LOCAL = "/svc=>fs ;; /svc/web=>/svc/web-v2"  # what is behind ;; is the local table

EXAMPLES = [
    # number, table, name, files, outcome
    (1, "/svc=>fs", "/svc/web", "web", "fs/web"),
    (2, "/svc=>fs", "/svc/web/a/b", "web", "fs/web +/a/b"),
    (3, "/svc=>fs", "/svc/none", "web", "neg"),
    (4, "", "/svc/x", "", "neg"),
    (5, "", "/$/inet/8080/a", "", "/$/inet/8080 +/a"),
    (6, f"/svc=>/a; /svc=>/b; {TWO_HOSTS}", "/svc/x", "", "/$/inet/h2/2 +/x"),
    (7, "/svc=>/a; /svc=>/b; /a=>/$/inet/h1/1", "/svc/x", "", "/$/inet/h1/1 +/x"),
    (8, "/svc=>/a; /svc=>!; /a=>/$/inet/h1/1", "/svc/x", "", "fail"),
    (9, "/svc=>/a; /svc=>~; /a=>/$/inet/h1/1", "/svc/x", "", "/$/inet/h1/1 +/x"),
    (10, "/svc=>/a; /svc=>$; /a=>/$/inet/h1/1", "/svc/x", "", "empty"),
    (11, "/svc=>/$/inet/h/80", "/svc/x/y", "", "/$/inet/h/80 +/x/y"),
    (12, "/svc/*=>/$/inet/h/80", "/svc/x/y", "", "/$/inet/h/80 +/y"),
    (13, "/svc/*=>/$/inet/h/80", "/svc", "", "neg"),
    (14, "/http/1.1/*/web=>fs/web", "/http/1.1/GET/web", "web", "fs/web"),
    (15, "/svc=>fs/a | fs/b", "/svc", "b", "fs/b"),
    (16, "/svc=>fs/a | ! | fs/b", "/svc", "b", "fail"),
    (17, "/svc=>fs/a | $ | fs/b", "/svc", "b", "empty"),
    (18, "/svc=>9*fs/a & 1*fs/b", "/svc", "a b", "0.9 fs/a, 0.1 fs/b"),
    (19, "/svc=>9*fs/a & 1*fs/b", "/svc", "b", "fs/b"),
    (20, "/svc=>9*fs/a & 1*/$/nil", "/svc", "a", "0.9 fs/a"),
    (21, "/svc=>9*fs/a & 1*/$/fail", "/svc", "a", "fs/a"),
    (22, "/svc=>fs/a & ! | fs/b", "/svc", "b", "fs/b"),
    (23, "/svc=>fs/a | fs/b & fs/c", "/svc", "b c", "0.5 fs/b, 0.5 fs/c"),
    (24, "/svc=>(/a | /b) & /c; /b=>/$/inet/h/1; /c=>/$/inet/h/2", "/svc", "", "0.5 /$/inet/h/1, 0.5 /$/inet/h/2"),
    (25, "/svc=>/a & /b; /a=>~; /b=>!", "/svc", "", "neg"),
    (26, "/a=>/b; /b=>/a", "/a/x", "", "error"),
    (27, "/s=>/s/srv", "/s/x", "", "error"),
    (28, "/svc/web=>/svc/web-v1", "/svc/web", "web-v1", "neg"),
    (29, OVERRIDE, "/svc/web", "web web-v1", "fs/web-v1"),
    (30, OVERRIDE, "/svc/web", "web", "fs/web"),
    (31, LOCAL, "/svc/web", "web web-v2", "fs/web-v2"),
    (32, LOCAL, "/svc/web", "web", "fs/web"),
    (33, "/svc/web=>fs/blue ;; fs/blue=>fs/green", "/svc/web", "blue green", "fs/green"),
    (34, "fs/web=>~", "fs/web", "web", "fs/web"),
    (35, "fs/web=>!", "fs/web", "web", "fail"),
    (36, "/=>!; /svc=>fs", "/svc/web", "web", "fail"),
    (37, "/svc=>/#/nope | /$/inet/h/80", "/svc", "", "/$/inet/h/80"),
    (38, "/svc=>/$/nope.Class/x | /$/inet/h/80", "/svc", "", "error"),
    (39, "/svc=>/$/nope.Class/x & /$/inet/h/80", "/svc", "", "/$/inet/h/80"),
    (40, "/svc=>/$/inet/no-such-host/80 | /$/inet/backup/80", "/svc", "", "/$/inet/no-such-host/80"),
    (41, "/svc=>/$/io.buoyant.http.domainToPathPfx/p; /p/com/acme=>/$/inet/gw/80", "/svc/api.acme.com/x", "",
     "/$/inet/gw/80 +/api/x"),
    (42, "/svc=>/$/io.buoyant.http.subdomainOfPfx/service.consul/c; /c=>fs", "/svc/web.service.consul:9000", "web",
     "fs/web"),
    (43, "/svc=>/$/io.buoyant.hostportPfx/hp; /hp=>/$/inet", "/svc/h:8080", "", "/$/inet/h/8080"),
    (44, PORT_HOST, "/svc/ex.com", "", "/$/io.buoyant.rinet/80/ex.com"),
    (45, PORT_HOST, "/svc/ex.com:81", "", "/$/io.buoyant.rinet/81/ex.com"),
    (46, "/svc=>/foo/", "/svc", "", "syntax error"),
    (47, "/svc=>/a b", "/svc", "", "syntax error"),
    (48, "/svc=>1.2.3*/a", "/svc", "", "syntax error"),
    (49, "/foo/*bar=>!", "/svc", "", "syntax error"),
    (50, "/svc=>/a # note\n;", "/svc/x", "", "neg"),
]  # fmt: skip


@pytest.mark.parametrize("assess", [None, by_addresses], ids=["names", "health"])
@pytest.mark.parametrize(
    ("tables", "name", "files", "outcome"),
    [pytest.param(*example, id=f"{number}") for number, *example in EXAMPLES],
)
def test_worked_example(tables: str, name: str, files: str, outcome: str, assess: Assess | None) -> None:
    """Where every endpoint is healthy, fallback by health is the same."""
    base, _, local = full(tables).partition(";;")
    fs = FakeNamer(FS)
    for file in files.split():
        fs.serve(file, Endpoint("127.0.0.1", 80))
    namers = Namers([(fs.prefix, fs)], BUILTIN)
    if outcome == "syntax error":
        with pytest.raises(NameSyntaxError):
            Dtab.parse(base)
        return

    found = bind(Path.parse(full(name)), Dtab.parse(base) + Dtab.parse(local), namers, assess)

    assert described(found) == full(outcome)
