"""Two services of one user: what one may, the other may not. With programs in cgroups of this host."""

from __future__ import annotations

import json
import os
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs

from nodeagent.proxy.cgroups import mounted
from tests.nodeagent.proxy.world import Backend
from tests.nodeagent.running import Running, running

PATIENCE = 10.0

ASK = """
import os, socket, sys
cgroup, where = sys.argv[1:]
with open(cgroup + "/cgroup.procs", "w") as procs:
    procs.write(str(os.getpid()))
if where.startswith("/"):
    sock = socket.socket(socket.AF_UNIX)
else:
    sock = socket.socket()
sock.settimeout(10)
sock.connect(where if where.startswith("/") else ("127.0.0.1", int(where)))
try:
    sock.sendall(b"GET / HTTP/1.1\\r\\nHost: web\\r\\n\\r\\n")
    print((sock.recv(1000).split() or [b"", b"closed"])[1].decode())
except ConnectionError:
    print("closed")
"""


@pytest.fixture
def tree() -> Iterator[Path]:
    """A cgroup with `billing`, `billing/worker` and `other` in it, of this host's own tree."""
    mount = mounted()
    if os.getuid() != 0 or mount is None or mount.path != "/":
        pytest.skip("needs root and a tree of cgroups v2, to put programs into cgroups")
    top = Path(mount.point, f"nodeagent-test-{os.getpid()}")
    made = [top, top / "billing", top / "billing" / "worker", top / "other"]
    try:
        try:
            for each in made:
                each.mkdir()
        except OSError as error:
            pytest.skip(f"needs a tree of cgroups v2 that can be written: {error}")
        yield top
    finally:
        deadline = time.monotonic() + PATIENCE
        for each in reversed(made):
            while each.exists():  # a program that has just ended may count for a moment
                with suppress(OSError):
                    each.rmdir()
                assert time.monotonic() < deadline, f"{each} is still used"


async def ask(cgroup: Path, where: object) -> str:
    """The status that a program in a cgroup is answered, or "closed"."""
    with trio.fail_after(2 * PATIENCE):
        done = await trio.run_process([sys.executable, "-c", ASK, str(cgroup), str(where)], capture_stdout=True)
    return bytes(done.stdout).decode().strip()


async def explained(agent: Running, caller: str) -> str:
    page = await agent.admin(f"/explain.json?path=http://web/&as={caller}")
    return str(json.loads(page.body)["policy"]["verdict"])


async def test_one_service_may_and_the_other_may_not(tree: Path, tmp_path: Path) -> None:
    backend, name = Backend(), f"/{tree.name}"
    text = textwrap.dedent(f"""
        - protocol: http
          servers:
          - {{port: 0}}
          - {{path: {tmp_path}/agent.sock}}
          dtab: /svc/web => /$/inet/127.0.0.1/{{port}}
          policy:
            default: deny
            rules:
            - {{name: billing, who: {{cgroups: ["{name}/billing"]}}, what: {{services: [/svc/web]}}, action: allow}}
        - protocol: http
          label: closed
          servers: [{{port: 0, callers: {{cgroups: ["{name}/billing/**"]}}}}]
          dtab: /svc/web => /$/inet/127.0.0.1/{{port}}
    """)
    async with trio.open_nursery() as nursery:
        await nursery.start(backend.run)
        async with running(text.replace("{port}", str(backend.port))) as agent:
            with capture_logs() as logs:
                for where in (agent.port("router http"), tmp_path / "agent.sock"):
                    assert await ask(tree / "billing", where) == "200"
                    assert await ask(tree / "other", where) == "403"
                    assert await ask(tree / "billing" / "worker", where) == "403", "just that cgroup"
                closed = agent.port("router closed")
                assert await ask(tree / "billing" / "worker", closed) == "200", "and those below it"
                assert await ask(tree / "other", closed) == "closed"
            assert await explained(agent, f"cgroup:{name}/billing") == "allow"
            assert await explained(agent, f"uid:0,cgroup:{name}/other") == "deny"
            assert await explained(agent, "uid:0") == "deny"
        nursery.cancel_scope.cancel()

    assert len(backend.seen) == 3
    refused = [line for line in logs if line["event"] == "policy refuses a request"]
    assert [line["caller"] for line in refused] == [f"uid 0 in {name}/{of}" for of in ("other", "billing/worker")] * 2
    assert refused[0]["why"] == f"billing wants cgroups {name}/billing: the caller is in {name}/other"
    (turned_away,) = [line for line in logs if line["event"] == "policy refuses a connection"]
    assert turned_away["why"] == f"cgroups {name}/billing/**: the caller is in {name}/other"
