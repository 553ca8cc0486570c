"""Programs that people use send their calls through the agent, with no more than the variables of `nodeagent env`.

HTTP goes by absolute-form, so that the agent balances and retries each request; HTTPS through CONNECT, with the
certificate of the logical name verified by the client.
"""

from __future__ import annotations

import hashlib

import pytest

from tests.clients.client import DIGITS, Client
from tests.clients.conftest import CLIENTS, Mesh
from tests.clients.services import LARGE

pytestmark = pytest.mark.e2e

VIA = "1.1 nodeagent"
"""The agent understood the exchange; through a tunnel it says nothing."""


def clients(*but: str) -> pytest.MarkDecorator:
    """All clients but those that cannot do it."""
    return pytest.mark.parametrize("client", [name for name in CLIENTS if name not in but], indirect=True)


def received(framing: str, size: int) -> bytes:
    """What a service says of an upload that came whole."""
    return f"{framing} {size} {hashlib.sha256(DIGITS * (size // len(DIGITS))).hexdigest()}".encode()


@clients()
def test_a_logical_name(client: Client) -> None:
    (answer,) = client.ask("get", "http://users/")

    assert (answer.status, answer.via, answer.body) == (200, VIA, b"users")


@clients()
def test_a_name_that_nobody_knows_is_told_apart_by_the_agents_answer(client: Client) -> None:
    (answer,) = client.ask("get", "http://nobody/")

    assert answer.status == 502
    assert answer.error.startswith('nodeagent; error=destination_not_found; details="bind /svc/nobody: ')
    assert answer.body.startswith(b"bind /svc/nobody: ")


@clients()
def test_a_redirect_to_another_name(client: Client) -> None:
    (answer,) = client.ask("get", "http://users/moved")

    assert (answer.status, answer.via, answer.body) == (200, VIA, b"accounts")


@clients("urllib")
def test_a_series_of_requests_shares_a_connection(client: Client, mesh: Mesh) -> None:
    before = mesh.connections()

    assert client.series("http://users/", 5) == b"users" * 5
    assert mesh.connections() - before <= 1


@clients()
def test_a_large_download(client: Client) -> None:
    (answer,) = client.ask("get", "http://users/large")

    assert (answer.status, answer.body == LARGE) == (200, True)


@clients()
def test_an_upload_of_known_length(client: Client) -> None:
    (answer,) = client.ask("post", "http://users/", 1000)

    assert (answer.status, answer.via, answer.body) == (200, VIA, received("length", 1000))


@clients("wget")
def test_an_upload_whose_length_is_not_known(client: Client) -> None:
    (answer,) = client.ask("stream", "http://users/", 1_000_000)

    assert (answer.status, answer.via, answer.body) == (200, VIA, received("chunked", 1_000_000))


@pytest.mark.parametrize(("client", "framing"), [("curl", "length"), ("java", "chunked")], indirect=["client"])
def test_an_upload_that_waits_to_be_asked_for(client: Client, framing: str) -> None:
    (answer,) = client.ask("expect", "http://users/", 1_000_000)

    assert (answer.status, answer.via, answer.body) == (200, VIA, received(framing, 1_000_000))


@clients("wget")
def test_two_requests_at_once(client: Client) -> None:
    answers = client.ask("pair", "http://users/pair")

    assert [(answer.status, answer.body) for answer in answers] == [(200, b"both were here")] * 2


@clients("wget")
def test_events_come_when_they_happen(client: Client, mesh: Mesh) -> None:
    mesh.users.next_event.clear()
    events = []
    for line in filter(None, client.events("http://users/events")):
        mesh.users.next_event.set()
        events.append(line)

    assert events == ["data: 1", "data: 2"]


@pytest.mark.parametrize("client", ["curl"], indirect=True)
def test_plain_http_through_a_tunnel(client: Client) -> None:
    """What undici does when it is not told otherwise, and the fetch of Node 24."""
    (answer,) = client.ask("tunnel", "http://users/")

    assert (answer.status, answer.via, answer.body) == (200, "", b"users")


@clients()
def test_https_to_a_logical_name(client: Client) -> None:
    (page,), (large,) = client.ask("get", "https://users/"), client.ask("get", "https://users/large")

    assert (page.status, page.via, page.body) == (200, "", b"users by TLS")
    assert (large.status, large.body == LARGE) == (200, True)


@clients("undici")  # it only says that the request was cancelled
def test_https_to_a_name_that_nobody_knows(client: Client) -> None:
    (answer,) = client.ask("get", "https://nobody/")

    assert (answer.status, b"502" in answer.body or b"Bad Gateway" in answer.body) == (0, True)


@clients()
def test_https_to_a_service_with_the_certificate_of_another(client: Client) -> None:
    (answer,) = client.ask("get", "https://impostor/")

    assert (answer.status, b"certificate" in answer.body or b"subject" in answer.body) == (0, True)


@clients()
def test_this_host_is_called_directly(client: Client, mesh: Mesh) -> None:
    (answer,) = client.ask("get", f"http://localhost:{mesh.users.server_port}/")

    assert (answer.status, answer.via, answer.body) == (200, "", b"users")
