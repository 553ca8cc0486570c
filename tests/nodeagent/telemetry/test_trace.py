"""Trace contexts survive the way through in every form, and a hostile one is no worse than none."""

from base64 import b64encode
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.telemetry.trace import (
    HEADERS,
    Trace,
    carried,
    child_lines,
    continued_lines,
    is_recorded,
    is_sampled,
    parse_b3,
    parse_b3_fields,
    parse_l5d,
    parse_sample,
    parse_traceparent,
    parse_tracestate,
    request_id,
    root_lines,
    sample_threshold,
    short_id,
    write_b3,
    write_b3_fields,
    write_l5d,
    write_traceparent,
)

NEVER, ALWAYS = sample_threshold(0.0), sample_threshold(1.0)
ROOT_ID, SPAN_ID = 0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331
TRACEPARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
HALF_EMPTY = b"00-00000000000000090000000000000000-b7ad6b7169203331-01"
ZEROS = b"0" * 32

IDS = st.integers(min_value=1, max_value=(1 << 64) - 1)
LONG_IDS = st.integers(min_value=1, max_value=(1 << 128) - 1)
DECISIONS = st.sampled_from([None, True, False])
FIELD_NAMES = st.sampled_from(sorted(HEADERS))
SOUND_VALUES = st.sampled_from(
    [
        TRACEPARENT,
        HALF_EMPTY,
        write_l5d(Trace(5, 6, 7, True)),
        b"0",
        b"1",
        b"d",
        b"7" * 16,
        b"8" * 32,
        b"0.5",
        b"a=b",
        b"true",
    ]
)
FIELDS = st.lists(st.tuples(FIELD_NAMES, st.one_of(SOUND_VALUES, st.binary(max_size=80))), max_size=12)


def traces(ids: st.SearchStrategy[int]) -> st.SearchStrategy[Trace]:
    parents = st.one_of(st.none(), IDS)
    return st.builds(Trace, ids, IDS, parents, DECISIONS).filter(lambda trace: trace.parent_id != trace.span_id)


def sent(lines: bytes) -> dict[bytes, bytes]:
    assert lines.endswith(b"\r\n")
    return dict(line.split(b": ", 1) for line in lines.split(b"\r\n")[:-1])


def continued(*headers: tuple[bytes, bytes], threshold: bytes = NEVER, seed: int = 1) -> dict[bytes, bytes]:
    return sent(continued_lines(headers, Random(seed), threshold))


# -- each form ------------------------------------------------------------------------------------------------


@given(traces(IDS))
def test_linkerds_form_round_trips(trace: Trace) -> None:
    assert parse_l5d(write_l5d(trace)) == trace
    assert parse_l5d(write_l5d(trace).rstrip(b"=")) == trace


@given(traces(LONG_IDS))
def test_b3_round_trips_in_both_forms(trace: Trace) -> None:
    assert parse_b3(write_b3(trace)) == trace
    assert parse_b3_fields(dict(write_b3_fields(trace))) == trace


@given(traces(LONG_IDS))
def test_traceparent_round_trips_but_for_the_parent_it_cannot_hold(trace: Trace) -> None:
    expected = Trace(trace.trace_id, trace.span_id, sampled=bool(trace.sampled))

    assert parse_traceparent(write_traceparent(trace)) == expected


def test_linkerds_form_is_base64_of_span_parent_trace_and_flags() -> None:
    words = [(2).to_bytes(8, "big"), (3).to_bytes(8, "big"), (1).to_bytes(8, "big"), (6).to_bytes(8, "big")]

    assert write_l5d(Trace(1, 2, 3, True)) == b64encode(b"".join(words))


@pytest.mark.parametrize(
    ("flags", "sampled", "debug"),
    [(0, None, False), (2, False, False), (4, None, False), (6, True, False), (7, True, True), (1, None, True)],
)
def test_finagles_flags(flags: int, sampled: bool | None, debug: bool) -> None:
    raw = b"".join(word.to_bytes(8, "big") for word in (2, 3, 1, flags))

    assert parse_l5d(b64encode(raw)) == Trace(1, 2, 3, sampled, debug)


def test_the_forty_bytes_of_later_finagles_carry_a_long_trace_id() -> None:
    raw = b"".join(word.to_bytes(8, "big") for word in (2, 3, 1, 0, 9))

    assert parse_l5d(b64encode(raw)) == Trace((9 << 64) | 1, 2, 3)


@pytest.mark.parametrize(
    ("value", "trace"),
    [
        pytest.param(TRACEPARENT, Trace(ROOT_ID, SPAN_ID, sampled=True), id="the specification's example"),
        pytest.param(TRACEPARENT[:-1] + b"0", Trace(ROOT_ID, SPAN_ID, sampled=False), id="not sampled"),
        pytest.param(TRACEPARENT[:-2] + b"ff", Trace(ROOT_ID, SPAN_ID, sampled=True), id="flags of tomorrow"),
        pytest.param(b"cc" + TRACEPARENT[2:], Trace(ROOT_ID, SPAN_ID, sampled=True), id="version of tomorrow"),
        pytest.param(b"cc" + TRACEPARENT[2:] + b"-x", Trace(ROOT_ID, SPAN_ID, sampled=True), id="and longer"),
        pytest.param(b"cc" + TRACEPARENT[2:] + b"x", None, id="longer without a dash"),
        pytest.param(TRACEPARENT + b"-x", None, id="version 00 may not be longer"),
        pytest.param(b"ff" + TRACEPARENT[2:], None, id="version ff"),
        pytest.param(TRACEPARENT.upper(), None, id="upper case"),
        pytest.param(TRACEPARENT.replace(b"0af7651916cd43dd8448eb211c80319c", ZEROS), None, id="trace of zeros"),
        pytest.param(TRACEPARENT.replace(b"b7ad6b7169203331", ZEROS[:16]), None, id="span of zeros"),
        pytest.param(b"", None, id="empty"),
        pytest.param(TRACEPARENT + b"\n", None, id="newline"),
    ],
)
def test_traceparent(value: bytes, trace: Trace | None) -> None:
    assert parse_traceparent(value) == trace


@pytest.mark.parametrize(
    ("values", "state"),
    [
        pytest.param(
            (b"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",), b"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", id="two"
        ),
        pytest.param((b"a=1", b"b=2"), b"a=1,b=2", id="two fields are one list"),
        pytest.param((b" a=1 ,, b=2\t",), b"a=1,b=2", id="spaces and empty members"),
        pytest.param((b"fw529a3039@dt=FfAAAABB",), b"fw529a3039@dt=FfAAAABB", id="tenant"),
        pytest.param((b"a=1,B=2",), b"", id="upper-case key"),
        pytest.param((b"a=1,b",), b"", id="no value"),
        pytest.param((b"a=\x80",), b"", id="not ASCII"),
        pytest.param((b",".join(b"k%d=v" % n for n in range(33)),), b"", id="33 members"),
        pytest.param((b"a=" + b"x" * 257,), b"", id="long value"),
        pytest.param((), b"", id="none"),
    ],
)
def test_tracestate_is_passed_on_whole_or_not_at_all(values: tuple[bytes, ...], state: bytes) -> None:
    assert parse_tracestate(values) == state


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(b"0", False, id="deny"),
        pytest.param(b"1", True, id="accept"),
        pytest.param(b"d", True, id="debug"),
        pytest.param(b"%032x-%016x-1-%016x" % (1, 2, 3), Trace(1, 2, 3, True), id="whole"),
        pytest.param(b"%016x-%016x" % (1, 2), Trace(1, 2), id="64-bit trace, decision deferred"),
        pytest.param(b"%016X-%016X-d" % (0xAB, 2), Trace(0xAB, 2, None, True, True), id="upper case, debug"),
        pytest.param(b"%016x-%016x-1-%016x" % (1, 2, 0), Trace(1, 2, None, True), id="parent of zeros"),
        pytest.param(b"%016x-%016x-1" % (0, 2), None, id="trace of zeros"),
        pytest.param(b"%017x-%016x-1" % (1, 2), None, id="odd length"),
        pytest.param(b"%016x-%016x-2" % (1, 2), None, id="unknown decision"),
        pytest.param(b"", None, id="empty"),
    ],
)
def test_b3_in_one_field(value: bytes, expected: Trace | bool | None) -> None:
    assert parse_b3(value) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({}, None, id="nothing"),
        pytest.param({b"x-b3-sampled": b"0"}, False, id="a bare decision"),
        pytest.param({b"x-b3-sampled": b"True"}, True, id="old spelling"),
        pytest.param({b"x-b3-flags": b"1"}, True, id="bare debug"),
        pytest.param({b"x-b3-traceid": b"%016x" % 1}, None, id="a trace without span"),
        pytest.param(
            {b"x-b3-traceid": b"%032x" % 1, b"x-b3-spanid": b"%016x" % 2, b"x-b3-flags": b"1"},
            Trace(1, 2, None, True, True),
            id="debug",
        ),
        pytest.param(
            {b"x-b3-traceid": b"%016x" % 1, b"x-b3-spanid": b"%016x" % 2, b"x-b3-parentspanid": b"bad"},
            Trace(1, 2),
            id="a bad parent is left out",
        ),
        pytest.param({b"x-b3-traceid": b"1" * 64, b"x-b3-spanid": b"%016x" % 2}, None, id="too long"),
    ],
)
def test_b3_in_several_fields(fields: dict[bytes, bytes], expected: Trace | bool | None) -> None:
    assert parse_b3_fields(fields) == expected


# -- sampling -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "rate"),
    [
        (b"0", 0.0),
        (b"0.25", 0.25),
        (b".5", 0.5),
        (b"1", 1.0),
        (b"1e-3", 0.001),
        (b"-1", 0.0),
        (b"7", 1.0),
        (b"1e999", 1.0),
        (b"", None),
        (b"x", None),
        (b"nan", None),
        (b"1_0", None),
        (b"0x1", None),
        (b"0." + b"1" * 80, None),
    ],
)
def test_l5d_sample_is_clamped_and_ignored_when_it_is_no_number(value: bytes, rate: float | None) -> None:
    assert parse_sample(value) == rate


@given(LONG_IDS)
def test_all_or_nothing(trace_id: int) -> None:
    assert is_sampled(trace_id, ALWAYS)
    assert not is_sampled(trace_id, NEVER)


def test_a_rate_samples_about_that_share_and_a_higher_one_the_same_and_more() -> None:
    rng = Random(1)
    ids = [rng.getrandbits(64) for _ in range(10_000)]
    tenth = {trace_id for trace_id in ids if is_sampled(trace_id, sample_threshold(0.1))}
    fifth = {trace_id for trace_id in ids if is_sampled(trace_id, sample_threshold(0.2))}

    assert len(tenth) == pytest.approx(1000, rel=0.1)
    assert tenth < fifth


# -- what is sent on ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("threshold", "sampled"), [(NEVER, False), (ALWAYS, True)])
def test_a_request_that_brings_nothing_starts_a_trace_that_all_forms_agree_on(threshold: bytes, sampled: bool) -> None:
    lines = root_lines(Random(1), threshold)
    fields = sent(lines)
    l5d, w3c = parse_l5d(fields[b"l5d-ctx-trace"]), parse_traceparent(fields[b"traceparent"])

    assert l5d is not None
    assert w3c is not None
    assert (l5d.trace_id, l5d.span_id, l5d.sampled) == (w3c.trace_id, w3c.span_id, w3c.sampled)
    assert l5d.parent_id is None
    assert l5d.sampled is sampled
    assert fields[b"l5d-reqid"] == request_id(lines) == b"%016x" % l5d.trace_id
    assert list(fields) == [b"l5d-ctx-trace", b"l5d-reqid", b"traceparent"]


@given(st.integers(min_value=0), st.floats(min_value=0.0, max_value=1.0))
def test_a_new_trace_is_sampled_as_everybody_else_would(seed: int, rate: float) -> None:
    threshold = sample_threshold(rate)
    trace = parse_traceparent(sent(root_lines(Random(seed), threshold))[b"traceparent"])

    assert trace is not None
    assert trace.sampled is is_sampled(trace.trace_id, threshold)


def test_ids_do_not_repeat() -> None:
    rng = Random(1)

    assert len({root_lines(rng, NEVER) for _ in range(1000)}) == 1000


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param(b"traceparent", b"00-%032x-%016x-01" % (1, 2), id="W3C"),
        pytest.param(b"b3", b"%032x-%016x-1" % (1, 2), id="B3"),
        pytest.param(b"l5d-ctx-trace", write_l5d(Trace(1, 2, 3, True)), id="linkerd"),
    ],
)
def test_an_incoming_trace_is_kept_with_a_new_span_below_the_callers(name: bytes, value: bytes) -> None:
    fields = continued((b"Host", b"web"), (name.title(), value))
    trace = parse_l5d(fields[b"l5d-ctx-trace"])

    assert trace is not None
    assert (trace.trace_id, trace.parent_id, trace.sampled) == (1, 2, True)
    assert trace.span_id not in (1, 2, 3)
    assert fields[b"l5d-reqid"] == b"%016x" % 1
    assert fields[b"traceparent"] == b"00-%032x-%016x-01" % (1, trace.span_id)


def test_b3_in_several_fields_is_answered_in_several_fields() -> None:
    fields = continued((b"X-B3-TraceId", b"%016x" % 1), (b"X-B3-SpanId", b"%016x" % 2), (b"X-B3-Sampled", b"0"))

    assert fields[b"x-b3-traceid"] == b"%016x" % 1
    assert fields[b"x-b3-parentspanid"] == b"%016x" % 2
    assert fields[b"x-b3-sampled"] == b"0"
    assert b"b3" not in fields


def test_b3_in_one_field_is_answered_in_one_field() -> None:
    fields = continued((b"b3", b"%016x-%016x-1" % (1, 2)))
    answer = parse_b3(fields[b"b3"])

    assert isinstance(answer, Trace)
    assert (answer.trace_id, answer.parent_id, answer.sampled) == (1, 2, True)
    assert b"x-b3-traceid" not in fields


def test_what_an_application_renews_wins_over_what_it_hands_on() -> None:
    l5d = (b"l5d-ctx-trace", write_l5d(Trace(1, 2)))
    b3 = (b"b3", b"%016x-%016x-1" % (3, 4))
    w3c = (b"traceparent", b"00-%032x-%016x-01" % (5, 6))

    assert continued(l5d, b3, w3c)[b"l5d-reqid"] == b"%016x" % 5
    assert continued(l5d, b3)[b"l5d-reqid"] == b"%016x" % 3
    assert continued(l5d)[b"l5d-reqid"] == b"%016x" % 1


def test_tracestate_goes_with_its_traceparent_and_not_without() -> None:
    state = (b"tracestate", b"a=1")

    assert continued((b"traceparent", TRACEPARENT), state)[b"tracestate"] == b"a=1"
    assert b"tracestate" not in continued(state)
    assert b"tracestate" not in continued((b"traceparent", b"junk"), state)


@pytest.mark.parametrize(
    ("headers", "threshold", "flag"),
    [
        pytest.param([(b"traceparent", TRACEPARENT)], NEVER, b"01", id="the caller's yes is kept"),
        pytest.param([(b"traceparent", TRACEPARENT[:-1] + b"0")], ALWAYS, b"00", id="the caller's no is kept"),
        pytest.param([(b"l5d-ctx-trace", write_l5d(Trace(1, 2)))], ALWAYS, b"01", id="undecided: our rate"),
        pytest.param([(b"l5d-ctx-trace", write_l5d(Trace(1, 2, debug=True)))], NEVER, b"01", id="debug is a yes"),
        pytest.param([(b"b3", b"0")], ALWAYS, b"00", id="a bare no"),
        pytest.param([(b"b3", b"1"), (b"l5d-ctx-trace", write_l5d(Trace(1, 2)))], NEVER, b"01", id="a bare yes"),
        pytest.param([(b"l5d-sample", b"1.0")], NEVER, b"01", id="l5d-sample over our rate"),
        pytest.param([(b"l5d-sample", b"0"), (b"traceparent", TRACEPARENT)], ALWAYS, b"00", id="and over the caller"),
        pytest.param([(b"l5d-sample", b"many")], NEVER, b"00", id="a bad l5d-sample is none"),
    ],
)
def test_who_decides_on_sampling(headers: list[tuple[bytes, bytes]], threshold: bytes, flag: bytes) -> None:
    assert continued(*headers, threshold=threshold)[b"traceparent"][-2:] == flag


def test_a_field_that_comes_twice_is_treated_as_absent() -> None:
    fields = continued((b"traceparent", TRACEPARENT), (b"Traceparent", TRACEPARENT))

    assert b"%032x" % ROOT_ID not in fields[b"traceparent"]


def test_a_trace_id_with_an_empty_lower_half_still_has_a_request_id() -> None:
    fields = continued((b"traceparent", HALF_EMPTY))

    assert fields[b"l5d-reqid"] == b"%016x" % 9
    assert parse_l5d(fields[b"l5d-ctx-trace"]) is not None


@given(FIELDS, st.integers(min_value=0))
def test_nothing_a_client_sends_breaks_what_goes_on(headers: list[tuple[bytes, bytes]], seed: int) -> None:
    lines = continued_lines(headers, Random(seed), NEVER)
    fields = sent(lines)
    l5d, w3c = parse_l5d(fields[b"l5d-ctx-trace"]), parse_traceparent(fields[b"traceparent"])

    assert l5d is not None
    assert w3c is not None
    assert l5d.span_id == w3c.span_id
    assert fields[b"l5d-reqid"] == request_id(lines) == b"%016x" % short_id(w3c.trace_id)
    assert set(fields) <= HEADERS


# -- the attempts of a recorded request -----------------------------------------------------------------------


@given(FIELDS, st.sampled_from([NEVER, ALWAYS]), IDS)
def test_an_attempt_is_one_span_below_its_request_in_all_forms(
    headers: list[tuple[bytes, bytes]], threshold: bytes, span_id: int
) -> None:
    lines = continued_lines(headers, Random(1), threshold)
    request, attempt = sent(lines), sent(child_lines(lines, span_id))
    above, own = carried(lines), carried(child_lines(lines, span_id))

    assert (own.trace_id, own.span_id, own.parent_id) == (above.trace_id, span_id, above.span_id)
    assert own.sampled is above.sampled is is_recorded(lines)
    changed = {b"l5d-ctx-trace", b"traceparent", b"b3", b"x-b3-spanid", b"x-b3-parentspanid"}
    assert {name: request.get(name) for name in request.keys() - changed} == {
        name: attempt[name] for name in request.keys() - changed
    }
    for name, parse in ((b"b3", parse_b3), (b"traceparent", parse_traceparent)):
        if name in attempt:
            found = parse(attempt[name])
            assert isinstance(found, Trace)
            assert (found.trace_id, found.span_id) == (own.trace_id, span_id)
    if b"x-b3-traceid" in attempt:
        found = parse_b3_fields(attempt)
        assert isinstance(found, Trace)
        assert (found.trace_id, found.span_id, found.parent_id) == (own.trace_id, span_id, above.span_id)


def test_a_tracestate_cannot_have_a_request_recorded() -> None:
    state = (b"tracestate", b"a=00-01")
    lines = continued_lines([(b"traceparent", TRACEPARENT[:-1] + b"0"), state], Random(1), ALWAYS)

    assert lines.endswith(b"-01\r\n")
    assert not is_recorded(lines)
    assert not is_recorded(b"")
