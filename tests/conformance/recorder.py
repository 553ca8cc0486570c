"""A backend that reads with another reader than the agent's, and finds fault with what two readers could differ on."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import h11
import trio

from nodeagent.proxy.messages import HOP_BY_HOP
from tests.nodeagent.proxy.world import OK, Backend

_PLAIN = re.compile(
    rb"[A-Z-]+ [!-~]+ HTTP/1\.1\r\nHost: [0-9A-Za-z_.;=:\[\]-]+\r\n"
    rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*\r\n)*\r\n"
)
_OWN = re.compile(rb"(?m)^(?:Via: 1\.1 nodeagent|l5d-dst-service: [!-~]+|l5d-dst-client: [!-~]+)\r\n")


@dataclass
class Recorder(Backend):
    """Answers 200 to each request that it can read; `seen` has them as they came, `faults` what was wrong with them."""

    faults: list[str] = field(default_factory=list)

    async def _serve(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        buffer = b""
        async with stream:
            while (found := await self._next(stream, buffer)) is not None:
                request, buffer = found
                self.seen.append(request)
                self.faults += faults_of(request)
                await stream.send_all(OK if not request.startswith(b"HEAD") else OK.removesuffix(b"ok"))

    async def _next(self, stream: trio.SocketStream, buffer: bytes) -> tuple[bytes, bytes] | None:
        """Return a whole request and what is behind it; None at the end, also where a request is torn."""
        machine = h11.Connection(h11.SERVER)
        if buffer:
            machine.receive_data(buffer)
        while True:
            try:
                event = machine.next_event()
            except h11.RemoteProtocolError as error:
                self.faults.append(f"{error}: {buffer!r}")
                return None
            if isinstance(event, h11.EndOfMessage):
                rest = machine.trailing_data[0]
                return buffer[: len(buffer) - len(rest)], rest
            if event is h11.NEED_DATA:
                try:
                    data = await stream.receive_some()
                except trio.BrokenResourceError:
                    return None
                if not data:
                    return None
                buffer += data
                machine.receive_data(data)


def faults_of(request: bytes) -> list[str]:
    """Say what in a whole request is not in its one plain form."""
    end = request.index(b"\r\n\r\n") + 4
    head = request[:end]
    names = [line.partition(b":")[0].lower().replace(b"_", b"-") for line in head.split(b"\r\n")[1:-2]]
    faults = []
    if not _PLAIN.fullmatch(head):
        faults.append(f"the head is not plain: {head!r}")
    if names.count(b"host") != 1:
        faults.append(f"Host is not there once: {head!r}")
    if names.count(b"content-length") + names.count(b"transfer-encoding") > 1:
        faults.append(f"the framing is ambiguous: {head!r}")
    if left := HOP_BY_HOP.intersection(names) - {b"transfer-encoding"}:
        faults.append(f"{left} belong to another hop: {head!r}")
    return faults


def without_own(request: bytes) -> bytes:
    """Return a request without the fields that the agent adds to every one."""
    head, _, body = request.partition(b"\r\n\r\n")
    return _OWN.sub(b"", head + b"\r\n") + b"\r\n" + body
