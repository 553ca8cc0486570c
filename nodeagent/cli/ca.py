"""`nodeagent ca`: a certificate authority for a fleet that has none."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nodeagent.cli.ca_arguments import (
    dns_names_of,
    host_and_port,
    identity_of,
    open_store,
    passphrase_in,
    read_duration,
    serials,
)
from nodeagent.cli.tasks import run_tasks

if TYPE_CHECKING:
    from nodeagent.ca.membership import Membership
    from nodeagent.listen import Listening

LISTEN = "0.0.0.0:4150"
"""All addresses, for it is agents on other hosts that ask."""


def _says_what_is_wrong(function: Callable[..., int]) -> Callable[..., int]:
    """Errors of the authority are the answer of a command."""

    @wraps(function)
    def run(*arguments: Any, **options: Any) -> int:
        from nodeagent.ca.disk import CaError
        from nodeagent.ca.tokens import TokenError
        from tls.files import TlsConfigError
        from tls.identity import IdentityError
        from tls.request import RequestError

        try:
            return function(*arguments, **options)
        except (CaError, TokenError, TlsConfigError, IdentityError, RequestError) as error:
            raise click.ClickException(str(error)) from None

    return run


_folder = click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
_passphrase = click.option(
    "--passphrase-file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="A file with the passphrase of the keys of the authority.",
)
_host = click.option("--host", metavar="NAME", help="For the agent of this host: /host/NAME.")
_service = click.option("--service", metavar="NAME", help="For this service: /svc/NAME.")
_dns = click.option("--dns", metavar="NAME", multiple=True, help="A DNS name that it may have besides; repeatable.")


@click.group(invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """Give the hosts of a fleet certificates, by an authority of its own.

    On one host `ca init` and `ca serve`; for each other one `ca token` there, and `ca join` on it.
    """
    if context.invoked_subcommand is None:
        raise click.UsageError(
            "expected a command: init, token, serve, join, renew, issue, show, revoke, rotate", context
        )


@command.command()
@_folder
@click.option("--domain", metavar="DOMAIN", default="mesh.local", show_default=True, help="The trust domain.")
@_passphrase
@_says_what_is_wrong
def init(folder: Path, domain: str, passphrase_file: Path | None) -> int:
    """Make an authority in DIR: a root, an intermediate that signs, and their keys."""
    from nodeagent.ca.store import Store

    store = Store.init(folder, domain, _now(), passphrase_in(passphrase_file))
    root = store.roots[-1]
    click.echo(f"made: an authority for {store.domain} in {folder}")
    click.echo(f"root: valid until {_time(root.certificate.not_valid_after_utc)}, fingerprint {_fingerprint(root)}")
    click.echo(f"next: nodeagent ca serve {folder}")
    return 0


@command.command()
@_folder
@_host
@_service
@_dns
@click.option("--ttl", callback=read_duration, default="1h", show_default=True, help="How long it may be used.")
@_says_what_is_wrong
def token(folder: Path, host: str | None, service: str | None, dns: tuple[str, ...], ttl: timedelta) -> int:
    """Print a token by which one host or service can join, once."""
    from tls.request import Permit

    store = open_store(folder)
    permit = Permit(identity_of(store, host, service), dns_names_of(store, dns))
    expires = _now() + ttl
    made = store.tokens.create(permit, store.roots[-1].certificate, expires)
    click.echo(str(made))
    click.echo(f"for {permit.identity}, once, until {_time(expires)}", err=True)
    return 0


@command.command()
@_folder
@click.option("--listen", metavar="IP:PORT", default=LISTEN, show_default=True, help="Where to listen.")
@click.option(
    "--lifetime", callback=read_duration, default="24h", show_default=True, help="How long certificates are valid."
)
@_passphrase
@_says_what_is_wrong
def serve(folder: Path, listen: str, lifetime: timedelta, passphrase_file: Path | None) -> int:
    """Answer those who join and renew, until SIGTERM or Ctrl-C; logs to stderr."""
    from nodeagent.ca.store import Store
    from nodeagent.listen import ListenError, Listening, address
    from nodeagent.listen import listen as open_socket
    from nodeagent.telemetry import log

    log.configure("info")
    passphrase = passphrase_in(passphrase_file)
    Store(folder, passphrase)
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise click.UsageError(f"--listen: expected IP:PORT, found {listen!r}")
    try:
        sock = open_socket("ca", host.strip("[]"), int(port), reuse_addr=True, reuse_port=False)
    except ListenError as error:
        raise click.ClickException(str(error)) from None
    return run_tasks(_serve, folder, sock, passphrase, lifetime, Listening("ca", *address(sock)))


async def _serve(folder: Path, sock: Any, passphrase: bytes | None, lifetime: timedelta, listening: Listening) -> int:
    import trio

    from nodeagent.ca import serve

    async def served() -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(serve.serve, folder, sock, passphrase=passphrase, lifetime=lifetime))
            click.echo(f"listening: {listening}")

    return await _until_told(served)


async def _until_told(run: Callable[[], Awaitable[None]]) -> int:
    """Run until SIGTERM or SIGINT."""
    import signal

    import trio

    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            await anext(signals)
            nursery.cancel_scope.cancel()
    return 0


@command.command()
@click.option("--ca", "address", metavar="HOST:PORT", required=True, help="Where `nodeagent ca serve` listens.")
@click.option(
    "--token", "text", metavar="TOKEN", required=True, help='What `nodeagent ca token` has printed; "-" reads it.'
)
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path), required=True, help="Where to put what is got.")
@_says_what_is_wrong
def join(address: str, text: str, out: Path) -> int:
    """Get the first certificate of this host by a token, with a key that is made here and never leaves."""
    from nodeagent.ca import client
    from nodeagent.ca.tokens import Token

    made = Token.parse(sys.stdin.readline() if text == "-" else text)
    membership = run_tasks(client.join, host_and_port(address), made, out)
    return _tell("joined", membership.folder)


@command.command()
@_folder
@click.option("--keep", is_flag=True, help="Stay, and renew whenever it is time, until SIGTERM or Ctrl-C.")
@_says_what_is_wrong
def renew(folder: Path, keep: bool) -> int:
    """Renew the certificate in DIR, which `ca join` has made, now; or keep it renewed."""
    from nodeagent.ca import client
    from nodeagent.ca.membership import Membership
    from nodeagent.telemetry import log

    membership = Membership(folder)
    membership.check_key()
    if not keep:
        run_tasks(client.renew, membership)
        return _tell("renewed", folder)
    log.configure("info")
    membership.authority()
    return run_tasks(_keep, membership)


async def _keep(membership: Membership) -> int:
    import random

    from nodeagent.ca.renewal import Renewal

    async def kept() -> None:
        _tell("keeping", membership.folder)
        await Renewal(membership, random.Random()).run()

    return await _until_told(kept)


@command.command()
@_folder
@_host
@_service
@_dns
@click.option("--out", metavar="OUT", type=click.Path(path_type=Path), help="Where to put it; ./NAME if not given.")
@click.option("--days", type=click.IntRange(1, 397), default=1, show_default=True, help="How long it is valid.")
@_passphrase
@_says_what_is_wrong
def issue(
    folder: Path,
    host: str | None,
    service: str | None,
    dns: tuple[str, ...],
    out: Path | None,
    days: int,
    passphrase_file: Path | None,
) -> int:
    """Make a key and a certificate by hand, for who cannot join."""
    from nodeagent.ca.membership import Membership
    from nodeagent.ca.messages import Given
    from tls.authority import make_key
    from tls.request import Granted

    store, now = open_store(folder, passphrase_file), _now()
    identity, key = identity_of(store, host, service), make_key()
    out = out or Path(identity.name)
    Membership(out).check_free()
    granted = Granted(identity, key.public_key(), dns_names_of(store, dns))
    leaf = store.issue(granted, now, how="hand", lifetime=timedelta(days=days))
    given = Given(store.bundle(now).decode(), (folder / "crl.pem").read_text(), store.chain(leaf).decode())
    Membership.create(out, key, given, address=None, domain=store.domain)
    return _tell("issued", out)


@command.command()
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@_says_what_is_wrong
def show(file: Path) -> int:
    """Print what the certificates in FILE say: who, by whom, until when."""
    from nodeagent.ca.disk import read
    from nodeagent.cli.ca_text import describe
    from tls.pair import read_certificates

    click.echo("\n\n".join(describe(each, _now()) for each in read_certificates(str(file), read(file))))
    return 0


@command.command()
@_folder
@click.argument("what", metavar="SERIAL|FILE|ID")
@_passphrase
@_says_what_is_wrong
def revoke(folder: Path, what: str, passphrase_file: Path | None) -> int:
    """Revoke a certificate by its serial number (hexadecimal, see issued.jsonl) or its file, or all of an identity.

    A host that is not to be trusted any more may have several: revoke its ID, spiffe://DOMAIN/host/NAME.
    """
    store = open_store(folder, passphrase_file)
    revoked = serials(store, what)
    store.revoke(revoked, _now())
    for serial in revoked:
        click.echo(f"revoked: {serial:x}")
    click.echo(f"members learn it within minutes, others from {folder / 'crl.pem'}")
    return 0


@command.command()
@_folder
@click.option("--root", is_flag=True, help="Make a new root, and an intermediate under it.")
@click.option("--intermediate", is_flag=True, help="Make a new intermediate under the root.")
@click.option("--distrust", is_flag=True, help="With --root: the former roots are out at once, and all must join anew.")
@_passphrase
@_says_what_is_wrong
def rotate(folder: Path, root: bool, intermediate: bool, distrust: bool, passphrase_file: Path | None) -> int:
    """Sign with new keys from now on. Certificates that are out there stay valid until their end."""
    if root == intermediate:
        raise click.UsageError("expected one of --root and --intermediate")
    if distrust and not root:
        raise click.UsageError("--distrust goes with --root")
    store, now = open_store(folder, passphrase_file), _now()
    if root:
        out = store.rotate_root(now, distrust=distrust)
        when = (
            "is out: every host joins anew" if distrust else f"is out on {_time(out)}, when nothing under it is valid"
        )
        click.echo(f"rotated: {store.roots[-1].folder.name} signs; the former root {when}")
    else:
        store.rotate_intermediate(now)
        click.echo(f"rotated: {store.intermediates[-1].folder.name} signs")
    return 0


def _tell(what: str, folder: Path) -> int:
    from nodeagent.ca.membership import Membership
    from tls.identity import peer_identity

    leaf = Membership(folder).leaf()
    click.echo(f"{what}: {peer_identity(leaf)}, valid until {_time(leaf.not_valid_after_utc)}")
    click.echo(f"files: {folder / 'cert.pem'}, key.pem, bundle.pem, crl.pem")
    return 0


def _fingerprint(root: Any) -> str:
    from nodeagent.ca.tokens import fingerprint

    return fingerprint(root.certificate).hex()


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _now() -> datetime:
    return datetime.now(UTC)
