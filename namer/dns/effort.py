"""What it would cost to read a DNS message, found out before it is read. Pure.

dnspython needs seconds for 64 KB made to that end, and tens of milliseconds for as much as anybody else sends. It is

    names of many labels    in the data of records, whose hash goes over all parents of a name; a record of 14 bytes can
                            point at 127 labels
    many owners             whose hashes can be made to collide
    many types              that nobody asked for: data of any make, each type looked for on disk once

So a message is first gone over with dnspython's reader of names alone. The bill is the number of records, the square of
the labels of each name, the square of the number of owners, and for other types the worst. Its unit is at most 0.2 us.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import dns.name
import dns.wire
from dns.rdataclass import IN
from dns.rdatatype import AAAA, CNAME, NS, SOA, SRV, A

from namer.dns.answers import ServerFailed

MAX_WORK: Final = 1_600_000
"""1,000 SRV records with names of 20 labels, or a hundred names of 127 labels: a third of a second."""

_RECORD: Final = 200  # each
_OWNERS: Final = 4  # each pair
_OTHER: Final = 2 * 127**2  # the worst data of 255 bytes
_HEADER: Final = 12
_NAMES: Final[Mapping[int, tuple[int, int]]] = {
    A: (0, 0),
    AAAA: (0, 0),
    CNAME: (0, 1),
    NS: (0, 1),
    SOA: (0, 2),
    SRV: (6, 1),
}
"""Where in the data of a type its names begin, and how many they are."""


class TooMuchWorkError(ServerFailed):
    """Nobody who means well sends such a message."""


def without_additional(data: bytes) -> tuple[bytes, int]:
    """A message without its additional section, which is not used, and the work to read it.

    Raises TooMuchWorkError, or DNSException if it is no message.
    """
    parser = dns.wire.Parser(data)
    _, _, questions, answers, authorities, additional = parser.get_struct("!HHHHHH")
    for _ in range(questions):
        dns.name.from_wire_parser(parser)
        parser.get_struct("!HH")
    work, owners = 0, set()
    for _ in range(answers + authorities):
        owner = dns.name.from_wire_parser(parser)
        owners.add(owner.labels)
        work += _RECORD + len(owner) ** 2 + _work_of_data(parser)
        if work + _OWNERS * len(owners) ** 2 > MAX_WORK:
            raise TooMuchWorkError("made no sense: too much work to read")
    if additional:
        data = data[: _HEADER - 2] + b"\0\0" + data[_HEADER : parser.current]
    return data, work + _OWNERS * len(owners) ** 2


def _work_of_data(parser: dns.wire.Parser) -> int:
    """Goes on to the next record."""
    kind, space, _, length = parser.get_struct("!HHIH")
    end = parser.current + length
    if space == IN and kind in _NAMES:
        start, names = _NAMES[kind]
        parser.seek(parser.current + start)
        work = sum(len(dns.name.from_wire_parser(parser)) ** 2 for _ in range(names))
    else:
        work = _OTHER * (1 + length // 255)
    parser.seek(end)
    return work
