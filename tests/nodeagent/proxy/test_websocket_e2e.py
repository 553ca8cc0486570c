"""WebSockets of a real library on both sides, through a running agent."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trio
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection, serve

from tests.nodeagent.proxy.world import World

pytestmark = pytest.mark.e2e

MESSAGES = ("short", b"\x00\xff" * 100, "long " * 100_000)


@contextmanager
def echo_server() -> Iterator[int]:
    """A server that says everything again, in a thread; yields its port."""

    def echo(connection: ServerConnection) -> None:
        for message in connection:
            connection.send(message)

    with serve(echo, "127.0.0.1", 0, subprotocols=["chat"]) as server:  # type: ignore[list-item]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield int(server.socket.getsockname()[1])
        server.shutdown()
    thread.join()


def talk(port: int) -> tuple[list[bool], str | None, int | None]:
    """Say the messages by a WebSocket to the name `web`; whether each came back, the subprotocol, the close code."""
    sock = socket.create_connection(("127.0.0.1", port))
    with connect("ws://web/chat", sock=sock, subprotocols=["chat"], max_size=None) as client:  # type: ignore[list-item]
        same = []
        for message in MESSAGES:
            client.send(message)
            same.append(client.recv(timeout=20) == message)
        client.ping().wait(20)
        subprotocol = client.subprotocol
    return same, subprotocol, client.close_code


async def test_a_websocket_echoes_and_closes_properly() -> None:
    with echo_server() as backend:
        async with World(dtab=f"/svc/web => /$/inet/127.0.0.1/{backend}").running() as world:
            results = [await trio.to_thread.run_sync(talk, world.port) for _ in range(3)]
            (client,) = world.router.bindings.clients.values()

            assert results == [([True] * len(MESSAGES), "chat", 1000)] * 3
            with trio.fail_after(10):  # a tunnel is counted when the agent has seen both ends
                while client.stats.success < 3:
                    await trio.sleep(0.01)
