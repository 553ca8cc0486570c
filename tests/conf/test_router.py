"""Routers."""

from __future__ import annotations

import pytest

import conf
from conf.router import BindingCache, DefaultTracePropagator, ZipkinTracePropagator
from tests.conf.texts import router, router_problems


def test_defaults() -> None:
    plain = router()

    assert (plain.kind, plain.label, plain.dst_prefix.show(), plain.dtab.show()) == ("http", "http", "/svc", "")
    assert (plain.binding_timeout_ms, plain.binding_cache) == (10_000, BindingCache(1000, 1000, 1000, 1000, 600))
    assert (plain.max_headers_kb, plain.max_initial_line_kb, plain.max_err_response_kb) == (8, 4, 5120)
    assert (plain.streaming_enabled, plain.compression_level) == (True, 0)


def test_failover() -> None:
    assert (router().failover, router("failover: names").failover) == ("health", "names")
    (line,) = router_problems("failover: never")
    assert "routers[0].failover: " in line
    assert "health or names" in line


def test_a_dtab_of_many_lines() -> None:
    rules = router("dtab: |\n  /a => /b ;  # why\n\n  /c => 1 * /d & 2 * /e | ! ;\n").dtab

    assert [dentry.prefix.show() for dentry in rules.dentries] == ["/a", "/c"]


@pytest.mark.parametrize(
    ("kind", "propagator"),
    [
        ("io.l5d.default", DefaultTracePropagator()),
        ("default", DefaultTracePropagator()),
        ("zipkin", ZipkinTracePropagator()),
    ],
)
def test_trace_propagators(kind: str, propagator: object) -> None:
    assert router(f"tracePropagator: {{kind: {kind}}}").trace_propagator == propagator


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        pytest.param(
            "streamingEnabled: false",
            "4:21: routers[0].streamingEnabled: false is not provided yet (holding bodies back); only true is",
            id="not yet",
        ),
        pytest.param(
            "streamingEnabled: false\nstreamAfterContentLengthKB: 5",
            "4:21: routers[0].streamingEnabled: false is not provided yet (holding bodies back); only true is",
            id="a contradiction, as in linkerd",
        ),
    ],
)
def test_streaming(keys: str, line: str) -> None:
    assert router_problems(keys) == [f"l5d:{line}"]


def test_streaming_after_a_length_is_accepted() -> None:
    assert router("streamingEnabled: true\nstreamAfterContentLengthKB: 5").stream_after_content_length_kb == 5


@pytest.mark.parametrize("protocol", ["thrift", "mux", "thriftmux"])
def test_protocols_out_of_scope_are_refused_by_name(protocol: str) -> None:
    text = f"routers: [{{protocol: {protocol}, servers: [{{}}], thriftProtocol: binary}}]"

    with pytest.raises(conf.ConfigErrors, match=f'"{protocol}" is not provided here'):
        conf.load(text, "l5d")
