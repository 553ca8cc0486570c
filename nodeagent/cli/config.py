"""Reads a configuration for a command. An edge module."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from conf import AgentConfig
    from conf.router import AnyRouter


def read_config(path: str) -> AgentConfig:
    """Read the configuration at `path`, "-" for standard input.

    When it cannot be used, prints each problem on stderr as `CONFIG:LINE:COL: KEY.PATH: message` and raises
    click.exceptions.Exit with the exit code 1.
    """
    return read_source(path)[0]


def read_source(path: str) -> tuple[AgentConfig, str]:
    """As `read_config`, with the text that the configuration was read from."""
    import conf

    try:
        text, origin = conf.read_text(path)
        return conf.load(text, origin), text
    except conf.ConfigErrors as error:
        for problem in error.problems:
            click.echo(problem, err=True)
        raise click.exceptions.Exit(1) from None


def check_tls(config: AgentConfig) -> None:
    """Look at the files of listeners that speak TLS, and of calls to agents; as `read_config` tells what is wrong."""
    from conf.client import parts_of

    listeners = (server.tls for router in config.routers for server in router.servers)
    if not any(listeners) and not any(keys.tls for router in config.routers for _, keys in parts_of(router.client)):
        return
    from nodeagent.listenertls import tls_faults
    from tls.contexts import Contexts

    faults = list(tls_faults(config, Contexts()))
    for fault in faults:
        click.echo(fault, err=True)
    if faults:
        raise click.exceptions.Exit(1)


def check_rules(config: AgentConfig) -> None:
    """Read the files that rules of routers come from; as `read_config` tells what is wrong."""
    from nodeagent.access import rules_faults

    faults = list(rules_faults(config.routers))
    for fault in faults:
        click.echo(fault, err=True)
    if faults:
        raise click.exceptions.Exit(1)


def choose_router(config: AgentConfig, label: str | None) -> AnyRouter:
    """Return the router with that label, the first one for None. Raises UsageError."""
    for router in config.routers:
        if label in (None, router.label):
            return router
    known = ", ".join(router.label for router in config.routers)
    raise click.UsageError(f"--router {label}: there is no such router; there is {known}")
