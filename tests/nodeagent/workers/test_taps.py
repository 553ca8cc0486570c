"""The tap over several workers: what each saw, in one stream."""

from __future__ import annotations

import json
import os
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from nodeagent.telemetry.exchange import Exchanges
from nodeagent.telemetry.filter import Filter
from nodeagent.workers.channel import Seen, Watch
from nodeagent.workers.taps import Taps, watching
from tests.nodeagent.cli.processes import backend
from tests.nodeagent.telemetry.exchanges import exchange
from tests.nodeagent.workers.running import CONFIG, WAIT, ask, eventually, running


class Workers:
    """Two workers that saw three requests each, and a third that is silent."""

    def __init__(self) -> None:
        self.seen = {0: [b"0a", b"0b", b"0c"], 1: [b"1a", b"1b", b"1c"]}
        self.closed: list[int] = []

    async def watch(self, tap: int, filter_: str, most: int) -> tuple[dict[int, Seen], dict[int, str]]:
        assert filter_ == "status>=500"
        told = {number: Seen(tap, self.seen[number][:most], number) for number in self.seen}
        self.seen = {number: records[most:] for number, records in self.seen.items()}
        return told, {2: "worker 2: gives no answer"}

    def unwatch(self, tap: int) -> None:
        self.closed.append(tap)


async def test_the_supervisor_tells_what_all_saw_and_no_more_than_is_asked_for() -> None:
    workers = Workers()
    with watching(workers, Filter("status>=500")) as look:
        first, second, third = await look(2), await look(2), await look(10)
    assert first == ([b"0a", b"0b"], 1, ("worker 2: gives no answer",))
    assert second.records == [b"1a", b"1b"]
    assert third.records == [b"0c", b"1c"]
    assert len(workers.closed) == 1


def test_a_worker_watches_from_the_first_question_until_it_is_told() -> None:
    exchanges = Exchanges()
    taps = Taps(exchanges)
    tap = taps.open(Watch(1, 7, "status>=500", 10))
    exchanges.tell(exchange(status=503))
    assert taps.open(Watch(2, 7, "status>=500", 10)) is tap
    assert len(tap.take(10)[0]) == 1
    other = taps.open(Watch(3, 8, "", 10))
    taps.close(7)
    exchanges.tell(exchange(status=503))
    assert (len(tap.take(10)[0]), len(other.take(10)[0])) == (0, 1)
    taps.close(8)
    taps.close(8)
    assert exchanges.watchers == ()


@pytest.mark.e2e
def test_the_requests_of_all_workers_are_told_and_those_of_a_replacement(tmp_path: Path) -> None:
    with (
        backend(lambda _: (200, "hi")) as port,
        running(tmp_path, CONFIG.format(workers=2, backend=port)) as agent,
        closing(HTTPConnection("127.0.0.1", agent.admin, timeout=WAIT)) as admin,
    ):
        admin.request("GET", "/tap?filter=service~users")
        stream = admin.getresponse()
        assert stream.readline() == b": watching\n"

        def next_record() -> tuple[str, int]:
            while not (line := stream.readline()).startswith(b'data: {"'):
                assert line
            record = json.loads(line.removeprefix(b"data: "))
            return record["name"], record["status"]

        for worker in (0, 1):
            assert ask(agent.connection_to(worker)) == (200, "hi")
            assert next_record() == ("/svc/users", 200)

        dead = agent.pids()[1]
        os.kill(dead, 9)
        assert eventually(lambda: dead not in agent.pids() and len(agent.pids()) == 2)
        connection = agent.connection_to(1)
        told = False
        while not told:  # the tap is open in it once it was asked
            assert ask(connection) == (200, "hi")
            line = stream.readline()
            told = b'"name":"/svc/users"' in line
