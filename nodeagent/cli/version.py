"""`nodeagent version`: what is running here, for a bug report."""

from __future__ import annotations

import platform
import ssl
from importlib.metadata import version

import click

from nodeagent import __version__


@click.command()
def command() -> int:
    """Print the versions of the agent, Python, trio and OpenSSL."""
    click.echo(f"nodeagent {__version__}")
    click.echo(f"Python {platform.python_version()}")
    click.echo(f"trio {version('trio')}")
    click.echo(ssl.OPENSSL_VERSION)
    return 0
