"""`nodeagent ca`, as somebody types it."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.nodeagent.cli.conftest import Cli
from tests.nodeagent.cli.processes import started
from tests.tls.test_authority import needs_openssl

SECRET = "open sesame"


@pytest.fixture
def folder(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An authority; the working directory is beside it."""
    monkeypatch.chdir(tmp_path)
    assert cli("ca", "init", "ca", "--domain", "mesh.example").code == 0
    return Path("ca")


def test_init_says_what_it_made_and_what_is_next(tmp_path: Path, cli: Cli) -> None:
    done = cli("ca", "init", str(tmp_path / "ca"))

    assert done.code == 0
    assert re.fullmatch(
        r"made: an authority for mesh\.local in \S+/ca\n"
        r"root: valid until [0-9-]+ [0-9:]+ UTC, fingerprint [0-9a-f]{64}\n"
        r"next: nodeagent ca serve \S+/ca\n",
        done.out,
    )


def test_a_token_alone_is_on_stdout(folder: Path, cli: Cli) -> None:
    done = cli("ca", "token", "ca", "--host", "web-1", "--ttl", "30m")

    assert re.fullmatch(r"naj1\.[\w-]{43}\.[\w-]{43}\n", done.out)
    assert re.fullmatch(r"for spiffe://mesh\.example/host/web-1, once, until .* UTC\n", done.err)


@needs_openssl
def test_a_certificate_by_hand(folder: Path, cli: Cli) -> None:
    done = cli("ca", "issue", "ca", "--service", "db", "--dns", "DB.example", "--days", "90")
    assert re.match(r"issued: spiffe://mesh\.example/svc/db, valid until ", done.out)
    check = ["openssl", "verify", "-CAfile", "db/bundle.pem", "-untrusted", "db/cert.pem", "db/cert.pem"]
    subprocess.run(check, check=True, capture_output=True, timeout=20)

    shown = cli("ca", "show", "db/cert.pem").out
    assert re.match(r"identity:  spiffe://mesh\.example/svc/db\ndns:       db\.example\n", shown)
    assert "(90 days left)" in shown
    assert "authority: signs other certificates" in shown

    assert "is not overwritten" in cli("ca", "issue", "ca", "--service", "db").err


@pytest.mark.parametrize("by", ["file", "serial", "id"])
def test_revoking(folder: Path, cli: Cli, by: str) -> None:
    cli("ca", "issue", "ca", "--host", "web-1")
    serial = re.search(r"serial: +(\w+)", cli("ca", "show", "web-1/cert.pem").out)
    assert serial
    what = {"file": "web-1/cert.pem", "serial": serial[1].upper(), "id": "spiffe://mesh.example/host/web-1"}[by]

    assert cli("ca", "revoke", "ca", what).out == (
        f"revoked: {serial[1]}\nmembers learn it within minutes, others from ca/crl.pem\n"
    )


def test_rotating(folder: Path, cli: Cli) -> None:
    assert cli("ca", "rotate", "ca", "--intermediate").out == "rotated: intermediate-2 signs\n"
    assert re.fullmatch(
        r"rotated: root-2 signs; the former root is out on .* UTC, when nothing under it is valid\n",
        cli("ca", "rotate", "ca", "--root").out,
    )
    assert "the last change of roots is under way until" in cli("ca", "rotate", "ca", "--root").err
    assert "every host joins anew" in cli("ca", "rotate", "ca", "--root", "--distrust").out


def test_a_passphrase(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    secret = Path("passphrase")
    secret.write_text(f"{SECRET}\n")
    secret.chmod(0o644)
    assert cli("ca", "init", "ca", "--passphrase-file", "passphrase").err == (
        "nodeagent: passphrase: others may read or change it (mode 0644); chmod 600 passphrase\n"
    )
    secret.chmod(0o600)
    assert cli("ca", "init", "ca", "--passphrase-file", "passphrase").code == 0
    assert (
        "the key is encrypted, and no passphrase is given; give it by --passphrase-file"
        in cli("ca", "issue", "ca", "--host", "a").err
    )
    assert cli("ca", "issue", "ca", "--host", "a", "--passphrase-file", "passphrase").code == 0
    secret.write_text("another\n")
    assert "the passphrase" in cli("ca", "issue", "ca", "--host", "b", "--passphrase-file", "passphrase").err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "expected a command: init, token, serve, join, renew, issue, show, revoke, rotate"),
        (("init", "ca"), 1, "ca: has an authority already, which is not overwritten"),
        (("init", "new", "--domain", "A b"), 1, "'A b' is no trust domain"),
        (("token", "nowhere", "--host", "a"), 1, "there is no authority here; `nodeagent ca init nowhere`"),
        (("token", "ca"), 2, "expected one of --host NAME and --service NAME"),
        (("token", "ca", "--host", "a", "--service", "b"), 2, "expected one of --host NAME and --service NAME"),
        (("token", "ca", "--host", "a/b"), 1, "'a/b' is no name of a host or service"),
        (("token", "ca", "--host", "a", "--ttl", "soon"), 2, "expected a time such as 30m, 24h or 7d, found 'soon'"),
        (("token", "ca", "--host", "a", "--dns", "*.example"), 1, "'*.example' is no host name"),
        (("token", "ca", "--host", "a", "--dns", "ca.mesh.example"), 1, "is the name of the authority's own server"),
        (("join", "--ca", "ca", "--token", "x", "--out", "a"), 1, "this is no join token"),
        (("renew", "nowhere"), 1, "nowhere/key.pem: cannot be read: no such file or directory"),
        (("show", "nowhere"), 1, "nowhere: cannot be read: no such file or directory"),
        (("show", "ca/ca.json"), 1, "ca/ca.json: not certificates in PEM form"),
        (("revoke", "ca", "xyz"), 1, "xyz: neither a file, nor a serial number in hexadecimal, nor an id"),
        (("revoke", "ca", "12ab"), 1, "ca: no certificate with the serial number 12ab was issued here"),
        (("revoke", "ca", "spiffe://mesh.example/host/x"), 1, "/host/x has no certificate that is valid"),
        (("rotate", "ca"), 2, "expected one of --root and --intermediate"),
        (("rotate", "ca", "--intermediate", "--distrust"), 2, "--distrust goes with --root"),
        (("serve", "ca", "--listen", "here"), 2, "--listen: expected IP:PORT, found 'here'"),
        (("serve", "nowhere"), 1, "there is no authority here"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line(folder: Path, cli: Cli, arguments: tuple[str, ...], code: int, said: str) -> None:
    done = cli("ca", *arguments)

    assert (done.code, done.out) == (code, "")
    assert done.err.startswith("nodeagent: ")
    assert said in done.err
    assert done.err.count("\n") == 1


@pytest.mark.e2e
def test_a_fleet_from_two_commands_a_host(folder: Path, cli: Cli) -> None:
    with started("ca", "serve", "ca", "--listen", "127.0.0.1:0") as server:
        found = re.fullmatch(r"listening: ca on (127\.0\.0\.1:\d+)", server.read_line())
        assert found
        for name in ("web-1", "db"):
            token = cli("ca", "token", "ca", "--host", name).out.strip()
            joined = cli("ca", "join", "--ca", found[1], "--token", token, "--out", name)
            assert joined.out.startswith(f"joined: spiffe://mesh.example/host/{name}, valid until ")
        assert cli("ca", "renew", "db").out.startswith("renewed: spiffe://mesh.example/host/db, valid until ")
        again = cli("ca", "join", "--ca", found[1], "--token", token, "--out", "thief")
        assert "403 the join token was used already" in again.err
        cli("ca", "revoke", "ca", "spiffe://mesh.example/host/db")
        assert "403 the certificate of spiffe://mesh.example/host/db is revoked" in cli("ca", "renew", "db").err
        with started("ca", "renew", "--keep", "web-1") as keeper:
            assert keeper.read_line().startswith("keeping: spiffe://mesh.example/host/web-1")
            keeper.signal(signal.SIGTERM)
            assert keeper.end()[0] == 0
        server.signal(signal.SIGTERM)
        code, _, err = server.end()
    assert code == 0
    assert err.count('"event": "a certificate is issued"') == 4
    assert token not in err
    assert token.split(".")[1] not in err
