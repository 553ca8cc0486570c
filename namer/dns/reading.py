"""What a DNS message says of the name that was asked for. Pure.

Only the chain of CNAMEs that begins at that name counts, whatever else the message holds (RFC 5452, section 6); its TTL
is the least in the chain. "No" comes with the SOA of the zone, and holds for the lesser of its TTL and its minimum (RFC
2308, section 5). Without a SOA nobody says for how long, so it is believed for the few seconds after which finagle asks
again.
"""

from __future__ import annotations

from typing import Final, cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rdtypes.IN.A
import dns.rdtypes.IN.SRV
from dns.rdata import Rdata

from namer.dns.answers import MAX_RECORDS, Record, Reply, ServerFailed, Srv

TTL_WITHOUT_SOA: Final = 5


def read_reply(message: dns.message.Message) -> Reply:
    """What a response says. Raises ServerFailed when that is nothing, or makes no sense."""
    code = message.rcode()
    if code not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        raise ServerFailed(f"says {dns.rcode.to_text(code)}")
    assert isinstance(message, dns.message.QueryMessage)
    try:
        chain = message.resolve_chaining()
    except dns.exception.DNSException as problem:
        raise ServerFailed(f"made no sense: {problem or type(problem).__name__}") from None
    if chain.answer is not None:
        records = sorted({_record(rdata) for rdata in chain.answer}, key=_order)
        return Reply(tuple(records[:MAX_RECORDS]), chain.minimum_ttl, surplus=max(0, len(records) - MAX_RECORDS))
    exists = code == dns.rcode.NOERROR
    if exists and not message.flags & (dns.flags.AA | dns.flags.RA):
        raise ServerFailed("does not answer for others, nor for that name itself")
    ttl = chain.minimum_ttl if _has_soa(message, chain.canonical_name) else min(chain.minimum_ttl, TTL_WITHOUT_SOA)
    return Reply((), ttl, exists=exists)


def _has_soa(message: dns.message.Message, name: dns.name.Name) -> bool:
    return any(each.rdtype == dns.rdatatype.SOA and name.is_subdomain(each.name) for each in message.authority)


def _record(rdata: Rdata) -> Record:
    if rdata.rdtype == dns.rdatatype.SRV:
        srv = cast("dns.rdtypes.IN.SRV.SRV", rdata)
        return Srv(srv.priority, srv.weight, srv.port, srv.target.to_text().lower())
    return str(cast("dns.rdtypes.IN.A.A", rdata).address)


def _order(record: Record) -> tuple[int, int, int, str]:
    match record:
        case Srv(priority, weight, port, target):
            return priority, weight, port, target
        case str():
            return 0, 0, 0, record
