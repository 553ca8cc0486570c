"""`nodeagent support`: what others need to help, in one file, without secrets."""

from __future__ import annotations

import io
import json
import os
import platform
import resource
import ssl
import sys
import tarfile
import time
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import click

from nodeagent import __version__
from nodeagent.cli.admin_client import AdminClient, admin_option
from nodeagent.cli.redact import redact, redact_document

PAGES: Final = {
    "config.json": ("/config.json", {}),
    "ready.txt": ("/ready", {}),
    "routers.json": ("/routers.json", {}),
    "names.json": ("/names.json", {}),
    "bound-names.json": ("/bound-names.json", {}),
    "client_state.json": ("/client_state.json", {}),
    "namer_state.json": ("/namer_state.json", {}),
    "workers.json": ("/workers.json", {}),
    "identity.json": ("/identity.json", {}),
    "metrics.txt": ("/metrics", {}),
    "metrics.json": ("/admin/metrics.json", {}),
    "requests.json": ("/requests.json", {"limit": "1000"}),
    "log.json": ("/log.json", {}),
    "logging.json": ("/logging.json", {}),
    "heap.json": ("/heap.json", {}),
}
"""What is asked of the agent, by the file it becomes."""

LIMITS: Final = ("RLIMIT_NOFILE", "RLIMIT_AS", "RLIMIT_NPROC", "RLIMIT_CORE", "RLIMIT_MEMLOCK")
PACKAGES: Final = ("trio", "h11", "h2", "hypercorn", "starlette", "dnspython", "cryptography", "httpx", "structlog")


@click.command()
@admin_option
@click.option("-o", "--output", metavar="FILE", help="The file to write; by default nodeagent-support-TIME.tar.gz.")
def command(admin: str, output: str | None) -> int:
    """Write a file for a bug report: configuration, state, metrics, recent requests and errors, versions.

    Secrets are taken out, and so are the queries of URLs; names, addresses and paths stay, or nothing could be found.
    Look into it before you hand it on. What the agent cannot tell is listed in manifest.json.
    """
    now = time.time()  # noqa: TID251  (the name of a file, for people)
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now))
    path = output or f"nodeagent-support-{stamp}.tar.gz"
    files, missing = collected(AdminClient(admin))
    files["system.json"] = _json(system())
    manifest = {
        "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)),
        "nodeagent": __version__,
        "admin": redact(admin),
        "files": {name: len(body) for name, body in files.items()},
        "missing": missing,
        "left_out": "secrets, credentials in URLs, and queries of URLs",
    }
    archive = packed({"manifest.json": _json(manifest), **files}, f"nodeagent-support-{stamp}", int(now))
    _write(path, archive)
    click.echo(f"{path}: {len(files) + 1} files, {len(archive)} bytes")
    for name, why in missing.items():
        click.echo(f"not in it: {name}: {why}", err=True)
    return 0


def collected(client: AdminClient) -> tuple[dict[str, bytes], dict[str, str]]:
    """Ask the agent for its pages; return those that it gave, without secrets, and why the others are not there.

    Raises NoAnswerError when it gives none.
    """
    files: dict[str, bytes] = {}
    missing: dict[str, str] = {}
    first: click.ClickException | None = None
    for name, (page, query) in PAGES.items():
        try:
            files[name] = cleaned(name, client.get(page, query))
        except click.ClickException as error:
            first = first or error
            missing[name] = redact(error.format_message())
    if not files and first is not None:
        raise first
    return files, missing


def cleaned(name: str, body: bytes) -> bytes:
    """The file of a page, without secrets."""
    text = body.decode("utf-8", "backslashreplace")
    if not name.endswith(".json"):
        return redact(text).encode()
    try:
        return _json(redact_document(json.loads(text)))
    except ValueError:  # as it is, it may still say what is wrong
        return redact(text).encode()


def system() -> dict[str, Any]:
    """What this process sees of the host: versions, and limits, which may differ from those of the agent."""
    found: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return {
        "nodeagent": __version__,
        "python": sys.version,
        "openssl": ssl.OPENSSL_VERSION,
        "packages": found,
        "kernel": platform.release(),
        "machine": platform.machine(),
        "libc": " ".join(platform.libc_ver()),
        "cpus": os.cpu_count(),
        "limits": {name: resource.getrlimit(getattr(resource, name)) for name in LIMITS},
    }


def packed(files: dict[str, bytes], folder: str, at: int) -> bytes:
    """The files in one archive (tar, gzip), in a folder of their own."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name, body in files.items():
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size, entry.mtime, entry.mode = len(body), at, 0o600
            tar.addfile(entry, io.BytesIO(body))
    return archive.getvalue()


def _write(path: str, archive: bytes) -> None:
    """Write a file that only its owner may read. Raises ClickException when there is one already, or none can be."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise click.ClickException(f"{path}: is there already; name another file with -o") from None
    except OSError as error:
        raise click.ClickException(f"{path}: cannot be written: {error.strerror}") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(archive)


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1).encode() + b"\n"
