"""How the Kubernetes API is reached: the service account of a pod, tokens that are replaced, TLS."""

from __future__ import annotations

import pathlib
import ssl
from functools import partial

import pytest
import trio
import trustme
from trio.testing import MockClock

from namer.httpapi import ApiError
from namer.k8s.api import Access, Api, ServiceAccount, api_url, service_account
from namer.namer import Failure
from tests.namer.fakes import offload_inline, running
from tests.namer.k8s.apiserver import ApiServer
from tests.namer.k8s.world import Cluster, Name, patient, put_slice
from tls.contexts import client_context
from tls.params import ContextParams

IN_A_POD = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}


@pytest.mark.parametrize(
    ("environ", "mounted", "found"),
    [
        pytest.param(IN_A_POD, True, True, id="a pod"),
        pytest.param({}, True, False, id="no pod"),
        pytest.param(IN_A_POD, False, False, id="a pod without a service account"),
        pytest.param(IN_A_POD | {"KUBERNETES_SERVICE_PORT": "tcp://x"}, True, False, id="no port"),
    ],
)
def test_the_service_account(tmp_path: pathlib.Path, environ: dict[str, str], mounted: bool, found: bool) -> None:
    if mounted:
        (tmp_path / "token").write_text("secret")
    expected = ServiceAccount("10.96.0.1", 443, f"{tmp_path}/ca.crt", f"{tmp_path}/token")

    assert service_account(environ, tmp_path) == (expected if found else None)


@pytest.mark.parametrize(
    ("host", "url"),
    [("localhost", "http://localhost:8001"), ("fd00::1", "http://[fd00::1]:8001"), ("[::1]", "http://[::1]:8001")],
)
def test_urls(host: str, url: str) -> None:
    assert api_url("http", host, 8001) == url


async def test_files_that_are_no_certificates(tmp_path: pathlib.Path) -> None:
    access = Access("https://localhost:1", partial(client_context, ContextParams(trust=(str(tmp_path / "none"),))))

    with pytest.raises(ApiError, match="none: cannot be read"):
        async with Api(access, offload_inline).session():
            pass


def server_context(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


async def test_tls_and_tokens_are_replaced_under_way(autojump_clock: MockClock, tmp_path: pathlib.Path) -> None:
    patient(autojump_clock)
    authority, stranger = trustme.CA(), trustme.CA()
    trust, token = tmp_path / "ca.crt", tmp_path / "token"
    stranger.cert_pem.write_to_path(trust)
    token.write_text("first")
    server = ApiServer(token="second", tls=server_context(authority, "kubernetes.default.svc"))
    put_slice(server, "10.0.0.1")
    async with running() as live, trio.open_nursery() as nursery:
        await nursery.start(server.run)
        access = Access(
            f"https://127.0.0.1:{server.port}",
            partial(client_context, ContextParams(trust=(str(trust),))),
            "kubernetes.default.svc",
            str(token),
        )
        found = Name(Cluster(live, server, access).namer(), "/shop/http/users")
        await trio.sleep(1)
        assert isinstance(found.state, Failure)
        assert "CERTIFICATE_VERIFY_FAILED" in found.state.reason

        authority.cert_pem.write_to_path(trust)
        await trio.sleep(6)
        assert "the token is not accepted" in (found.cell.error or "")

        token.write_text("second")
        await trio.sleep(6)
        assert found.shown() == ["10.0.0.1:80"]
        assert found.cell.error is None

        token.write_text("third")  # the kubelet has renewed it; a watch that is open goes on
        server.token = "third"
        put_slice(server, "10.0.0.2")
        await trio.sleep(1)
        assert found.shown() == ["10.0.0.2:80"]
        await trio.sleep(400)
        assert found.cell.error is None
        assert server.watches == 1
        nursery.cancel_scope.cancel()
