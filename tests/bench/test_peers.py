"""Each configuration listens where it is told and forwards to both endpoints."""

from pathlib import Path

import pytest
import yaml

from bench.peers import AGENT, BACKEND, PEERS, Peer, Site

SITE = Site(Path("/run/site"), port=14140, admin_port=19990, backends=(18081, 18082))


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_a_proxy_listens_on_its_port_and_forwards_to_both_endpoints(peer: Peer) -> None:
    text = "\n".join(peer.files(SITE).values())
    assert all(str(port) in text for port in (SITE.port, *SITE.backends))


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_readiness_is_asked_where_the_program_was_told_to_listen(peer: Peer) -> None:
    port, path = peer.ready(SITE)
    assert str(port) in "\n".join(peer.files(SITE).values())
    assert path.startswith("/")


@pytest.mark.parametrize("peer", [*PEERS, BACKEND], ids=lambda peer: peer.name)
def test_the_command_names_a_file_that_is_written(peer: Peer) -> None:
    written = {str(SITE.directory / name) for name in peer.files(SITE)}
    assert written & set(peer.arguments(SITE))


def test_the_backend_listens_on_both_ports_and_stays_out_of_system_directories() -> None:
    text = BACKEND.files(SITE)["nginx.conf"]
    assert "listen 127.0.0.1:18081;" in text
    assert "listen 127.0.0.1:18082;" in text
    assert "/var/" not in text


def test_the_backend_serves_several_sizes() -> None:
    files = BACKEND.files(SITE)
    assert '"' + "s" * 130 + '"' in files["nginx.conf"]
    assert '"' + "k" * 1024 + '"' in files["nginx.conf"]
    assert len(files["body64k"]) == 64 * 1024
    assert len(files["chunked"]) == 4 * 1024


def test_the_agent_is_configured_in_linkerd_s_words() -> None:
    files = AGENT.files(SITE)
    assert yaml.safe_load(files["agent.yaml"]) == {
        "admin": {"port": 19990},
        "namers": [{"kind": "io.l5d.fs", "rootDir": "/run/site/disco"}],
        "routers": [
            {
                "protocol": "http",
                "label": "outgoing",
                "dtab": "/svc => /#/io.l5d.fs ;\n",
                "servers": [{"port": 14140, "ip": "127.0.0.1"}],
            }
        ],
    }
    assert files["disco/web"] == "127.0.0.1 18081\n127.0.0.1 18082\n"
    assert AGENT.ready(SITE) == (19990, "/ready")


def test_names_are_different() -> None:
    assert len({peer.name for peer in PEERS}) == len(PEERS)
