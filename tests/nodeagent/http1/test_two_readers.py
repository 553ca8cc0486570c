"""Two readers, one meaning: what the agent's reader takes, h11 takes, and sees the same message, to its last byte."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.nodeagent.http1.mutants import chunked, requests, responses
from tests.nodeagent.http1.two_readers import same_chunks, same_request, same_response


@settings(max_examples=600)
@given(requests)
def test_requests(raw: bytes) -> None:
    same_request(raw)


@settings(max_examples=600)
@given(responses, st.sampled_from([b"GET", b"HEAD"]))
def test_responses(raw: bytes, method: bytes) -> None:
    same_response(raw, method)


@settings(max_examples=600)
@given(chunked, st.lists(st.integers(0, 100), max_size=4))
def test_chunks(coded: bytes, cuts: list[int]) -> None:
    same_chunks(coded, cuts)
