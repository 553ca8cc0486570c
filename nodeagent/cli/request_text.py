"""The decision record of a request for people: what it was, why it went where it did, and how that went. Pure.

    0000000000000abc  2026-11-28 16:02:11.512 UTC
    GET http://users/a?b, of 127.0.0.1:50000, by router outgoing on 127.0.0.1:4140
    200 after 12.1 ms: success

    name      /svc/users
              /svc => /#/io.l5d.fs                     /#/io.l5d.fs/users     bound
    goes to   /#/io.l5d.fs/users
    attempt 1 127.0.0.1:8081, the least load of those drawn: 0.004 against 127.0.0.1:8082 0.5
              at 0.3 ms, connected in 0.2 ms, answered in 11.2 ms: 200, success
    limits    no deadline, 100 retries in the budget
    times     bind 0.3 ms, connect 0.2 ms, wait 11 ms, answer 11.6 ms, total 12.1 ms

The records come as JSON of `/requests/ID.json`; what is missing in one is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nodeagent.telemetry.decision import why
from nodeagent.telemetry.exchange import Transport

INDENT = " " * 10

TIMES = ("bind", "connect", "wait", "answer", "total")


def story(record: Mapping[str, Any]) -> str:
    """The whole record, as lines."""
    return "\n".join(_lines(record))


def _lines(record: Mapping[str, Any]) -> Iterator[str]:
    yield f"{record['id'] or 'without an id'}  {record['time'].replace('T', ' ').replace('Z', ' UTC')}"
    asked = f"{record['method']} {record['url']}" if record["method"] else "no request"
    yield f"{asked}, of {record['caller']}, by router {record['router']} on {record['server']}"
    yield _outcome(record)
    yield ""
    yield from _name(record)
    if (policy := record.get("policy")) is not None:
        said = f": {policy['said']}" if policy.get("said") else ""
        yield f"{'policy':10}{policy['verdict']} by {policy['rule']}{said}"
    for number, attempt in enumerate(record["attempts"], 1):
        yield f"{f'attempt {number}':10}{attempt['endpoint']}, {why(attempt)}{_kind(attempt)}"
        yield INDENT + _course(attempt)
        if transport := attempt.get("transport"):
            yield INDENT + Transport(**transport).show()
    yield f"{'limits':10}{_limits(record)}"
    times = ((name, record["timings_ms"][name]) for name in TIMES)
    yield f"{'times':10}{', '.join(f'{name} {_ms(value)}' for name, value in times if value is not None)}"
    if record["trace"]:
        yield f"{'trace':10}{record['trace']}"
    for other in record.get("earlier", ()):
        yield f"{'earlier':10}{other['time']}  {other['method']} {other['url']}  {_outcome(other)}"


def _outcome(record: Mapping[str, Any]) -> str:
    total = _ms(record["timings_ms"]["total"])
    status = f"{record['status']} after {total}" if record["status"] else f"no answer, {total}"
    fault = "" if record["blame"] is None else f", by {record['blame']}"
    cut = "" if record["whole"] else ", cut off"
    reason = f": {record['message']}" if record["message"] else ""
    return f"{status}: {record['classification']}{cut}{fault}{reason}"


def _name(record: Mapping[str, Any]) -> Iterator[str]:
    yield f"{'name':10}{record['name'] or 'none: nobody could identify it'}"
    if record["dtab"]:
        yield f"{INDENT}with the caller's own dtab {record['dtab']}"
    steps = record["steps"]
    width = max((len(step["dentry"]) for step in steps), default=0)
    target = max((len(step["to"]) for step in steps), default=0)
    for step in steps:
        yield f"{INDENT}{step['dentry']:{width}}   {step['to']:{target}}   {step['result']}"
    branches = record["branches"]
    for number, branch in enumerate(branches):
        share = "" if len(branches) == 1 else f"  {branch['weight']:.1%} of the traffic"
        yield f"{'goes to' if number == 0 else '':10}{branch['id']}{share}"


def _kind(attempt: Mapping[str, Any]) -> str:
    return "; the second copy of a slow attempt" if attempt["copy"] else ""


def _course(attempt: Mapping[str, Any]) -> str:
    at = f"at {_ms(attempt['start_ms'])}"
    connect = attempt["connect_ms"]
    if connect is None:
        connected = "no connection"
    else:
        connected = f"connected in {_ms(connect)}" if connect else "by a kept connection"
    took = _ms(attempt["duration_ms"])
    if attempt["error"] is not None:
        return f"{at}, {connected}, over after {took}: {attempt['error']}"
    if attempt["status"] is None:
        return f"{at}, {connected}: a tunnel"
    return f"{at}, {connected}, answered in {took}: {attempt['status']}, {attempt['classification']}"


def _limits(record: Mapping[str, Any]) -> str:
    deadline = record["deadline_ms"]
    until = "no deadline" if deadline is None else f"a deadline at {_ms(deadline)}"
    budget = record["retry_budget"]
    return until if budget is None else f"{until}, {budget} retries in the budget"


def _ms(value: float) -> str:
    return f"{value:.3g} ms" if value < 100 else f"{value:.0f} ms"
