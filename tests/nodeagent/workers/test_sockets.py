"""The sockets of all workers."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

import conf
from nodeagent.listen import ListenError, listen
from nodeagent.workers.sockets import Ports, open_ports


def ports(*numbers: int, workers: int = 3, options: str = "{}", inherited: list[socket.socket] | None = None) -> Ports:
    servers = ", ".join(f"{{port: {number}, socketOptions: {options}}}" for number in numbers)
    text = f"workers: {workers}\nadmin: {{port: 0}}\nrouters: [{{protocol: http, servers: [{servers}]}}]"
    return open_ports(conf.load(text, "test"), [] if inherited is None else inherited)


def test_each_worker_has_its_own_socket_on_the_same_port() -> None:
    opened = ports(0, 0)
    ((one, two),) = opened.numbers()
    sockets = [opened.sockets_of(worker) for worker in range(3)]

    assert one != two
    assert [[sock.getsockname()[1] for sock in own] for own in sockets] == [[one, two]] * 3
    assert len({sock.fileno() for own in sockets for sock in own}) == 6
    assert [each.port for each in opened.listening()] == [one, two]
    opened.close()
    assert all(sock.fileno() == -1 for own in sockets for sock in own)


def test_one_that_was_inherited_is_shared() -> None:
    given = listen("given", "127.0.0.1", 0)
    inherited = [given]
    opened = ports(given.getsockname()[1], inherited=inherited)

    assert inherited == []
    assert [opened.sockets_of(worker) for worker in range(3)] == [[given]] * 3
    opened.close()


def test_another_agent_on_the_port_is_noticed_unless_it_is_meant() -> None:
    first = ports(0)
    ((number,),) = first.numbers()

    with pytest.raises(ListenError, match="the port is taken"):
        ports(number)
    ports(number, options="{reusePort: true}").close()
    first.close()


def test_all_or_nothing() -> None:
    taken = listen("taken", "127.0.0.1", 0)
    free = listen("free", "127.0.0.1", 0)
    number = free.getsockname()[1]
    free.close()

    with pytest.raises(ListenError):
        ports(number, taken.getsockname()[1])

    listen("free again", "127.0.0.1", number).close()
    taken.close()


def test_a_unix_socket_is_shared_and_its_file_goes_with_it(tmp_path: Path) -> None:
    path = tmp_path / "agent.sock"
    text = f"workers: 3\nadmin: {{port: 0}}\nrouters: [{{protocol: http, servers: [{{path: {path}}}]}}]"
    opened = open_ports(conf.load(text, "test"), [])

    assert len({sock.fileno() for worker in range(3) for sock in opened.sockets_of(worker)}) == 1
    assert path.is_socket()
    opened.close()
    assert not path.exists()
