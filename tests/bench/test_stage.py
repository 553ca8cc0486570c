"""Starting a peer: its files, its readiness, and what is said when it is missing or fails."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench.load import WORKLOADS
from bench.peers import Peer, Site
from bench.processes import BenchError, free_ports
from bench.stage import check_reply, ground, missing, started, version

CORE = min(os.sched_getaffinity(0))

SERVER = """
import http.server, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"s" * int(sys.argv[2])
        self.send_response(200 if self.headers["Host"] in ("web", "127.0.0.1") else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        if self.path == "/die":
            self.wfile.flush()
            import os
            os._exit(3)

http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""

STAND_IN = Peer(
    name="stand-in",
    install="pip install stand-in",
    find=lambda: (sys.executable,),
    version=("--version",),
    files=lambda _: {"deep/serve.py": SERVER},
    arguments=lambda site: (str(site.directory / "deep/serve.py"), str(site.port), "130"),
    ready=lambda site: (site.port, "/"),
)
ABSENT = replace(STAND_IN, find=lambda: None)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    port, admin, one, two = free_ports(4)
    return Site(tmp_path, port, admin, (one, two))


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two cores are needed")
def test_the_ground_is_left_as_it_was() -> None:
    before = os.sched_getaffinity(0)
    with ground() as it:
        assert os.sched_getaffinity(0) == {it.load_core}
        assert it.proxy_core in before - {it.load_core}
        (it.directory / "something").write_text("written")
    assert not it.directory.exists()
    assert os.sched_getaffinity(0) == before


def test_a_peer_is_started_found_ready_and_stopped(site: Site) -> None:
    with started(STAND_IN, site, core=CORE) as it:
        assert it.port == site.port
        assert it.ready_seconds > 0.0
        check_reply(it.port, WORKLOADS["small"])
    assert it.process.exit_code() is not None


def test_a_reply_of_another_size_is_an_error(site: Site) -> None:
    with (
        started(STAND_IN, site, core=CORE) as it,
        pytest.raises(BenchError, match="wanted 200 and 1024 bytes"),
    ):
        check_reply(it.port, WORKLOADS["body1k"])


def test_no_reply_is_an_error() -> None:
    (port,) = free_ports(1)
    with pytest.raises(BenchError, match=f"no reply for /small through port {port}"):
        check_reply(port, WORKLOADS["small"])


def test_a_peer_that_ends_at_once_is_an_error_with_what_it_said(site: Site) -> None:
    broken = replace(STAND_IN, arguments=lambda _: ("-c", "raise SystemExit('no such option')"))
    with (
        pytest.raises(BenchError, match=r"stand-in ended with 1 before it was ready\nno such option"),
        started(broken, site, core=CORE),
    ):
        pass


def test_a_failure_in_the_block_is_blamed_on_a_peer_that_has_ended(site: Site) -> None:
    dies = replace(WORKLOADS["body1k"], path="/die")

    def use() -> None:
        with started(STAND_IN, site, core=CORE) as it:
            try:
                check_reply(it.port, dies)
            finally:
                it.process.wait(20.0)

    with pytest.raises(BenchError, match="stand-in ended with 3 while it was used"):
        use()


def test_a_missing_peer_says_how_to_get_it(site: Site) -> None:
    assert missing(ABSENT) == "stand-in: not here: pip install stand-in"
    with pytest.raises(BenchError, match="not here: pip install stand-in"), started(ABSENT, site, core=CORE):
        pass


def test_version_is_the_first_with_three_numbers() -> None:
    assert version(STAND_IN) == ".".join(str(part) for part in sys.version_info[:3])
    assert version(replace(STAND_IN, version=("-c", "print('python3.11 tool v1.40.0')"))) == "1.40.0"
    assert version(replace(STAND_IN, version=("-c", "pass"))) == "unknown"
    assert version(ABSENT) == "not here"
