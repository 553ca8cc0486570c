"""What the supervisor says of its workers."""

from __future__ import annotations

import pytest

import conf
from nodeagent.workers.supervisor import Supervisor, ending

TEXT = "workers: 2\nrouters: [{protocol: http, servers: [{}]}]"


@pytest.mark.parametrize(
    ("code", "said"), [(0, "exit code 0"), (1, "exit code 1"), (-9, "SIGKILL"), (-11, "SIGSEGV"), (-99, "signal 99")]
)
def test_how_a_process_ended(code: int, said: str) -> None:
    assert ending(code) == said


async def test_it_is_not_ready_while_a_worker_is_missing() -> None:
    supervisor = Supervisor(conf.load(TEXT, "test"), TEXT)

    assert supervisor.readiness() == "worker 0: is replaced"
    assert supervisor.standing()[1] == {"worker": 1, "pid": None, "unready": "is replaced", "deaths": 0}
    assert await supervisor.survey() == {0: "worker 0: is replaced", 1: "worker 1: is replaced"}

    supervisor.shutdown()
    assert supervisor.readiness() == "shutting down"
