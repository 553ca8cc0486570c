"""Objects of the Kubernetes API as it writes them: fields left out, null, and unknown."""

from __future__ import annotations

import pytest

from namer.httpapi import ApiError
from namer.k8s.objects import Conditions, EndpointSlice, Event, Hints, Named, Page, SliceEndpoint, SlicePort, decode

SLICE = b"""
{
  "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1",
  "metadata": {"name": "users-x2p7q", "resourceVersion": "8172", "uid": "5b0c", "creationTimestamp": null},
  "addressType": "IPv4",
  "endpoints": [{
    "addresses": ["10.244.1.7"],
    "conditions": {"ready": true, "serving": true, "terminating": false},
    "targetRef": {"kind": "Pod", "namespace": "shop", "name": "users-7d4", "uid": "1e"},
    "nodeName": "worker-1", "zone": "eu-1a", "hints": {"forZones": [{"name": "eu-1a"}], "forNodes": null}
  }],
  "ports": [{"name": "http", "protocol": "TCP", "port": 8080, "appProtocol": null}]
}
"""


def test_a_slice() -> None:
    found = decode(SLICE, EndpointSlice, "here")

    assert (found.metadata.name, found.metadata.resource_version) == ("users-x2p7q", "8172")
    assert found.endpoints == (
        SliceEndpoint(
            addresses=("10.244.1.7",),
            conditions=Conditions(ready=True, serving=True, terminating=False),
            node_name="worker-1",
            zone="eu-1a",
            target_ref=Named("Pod", "users-7d4"),
            hints=Hints((Named(name="eu-1a"),)),
        ),
    )
    assert found.ports == (SlicePort("http", 8080, "TCP"),)


def test_lists_that_go_leaves_out() -> None:
    found = decode(b'{"metadata":{"name":"x"},"addressType":"","endpoints":null,"ports":null}', EndpointSlice, "here")
    empty: Page[EndpointSlice] = decode(b'{"metadata":{"resourceVersion":"7"},"items":null}', Page[EndpointSlice], "")

    assert (found.endpoints, found.ports, empty.items) == (None, None, None)


@pytest.mark.parametrize(
    ("conditions", "ready", "leaving"),
    [
        (Conditions(), True, False),
        (Conditions(ready=False), False, False),
        (Conditions(ready=False, serving=True, terminating=True), False, True),
        (Conditions(ready=False, terminating=True), False, False),
        (Conditions(ready=True, terminating=True), True, True),
        (Conditions(ready=False, serving=True), False, False),
    ],
)
def test_conditions(conditions: Conditions, ready: bool, leaving: bool) -> None:
    assert (conditions.is_ready, conditions.is_leaving) == (ready, leaving)


@pytest.mark.parametrize("data", [b"", b"<html>", b'{"type":1,"object":{}}', b'{"object":{}}', b"[" * 10_000, b"\xff"])
def test_what_is_not_what_was_asked_for(data: bytes) -> None:
    with pytest.raises(ApiError, match="here: not what was asked for"):
        decode(data, Event, "here")
