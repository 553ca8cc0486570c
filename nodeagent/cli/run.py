"""`nodeagent run`: the agent, until it is told to stop."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

import click

from nodeagent.cli.config import check_tls, read_source
from nodeagent.cli.tasks import run_tasks
from nodeagent.telemetry.levels import LEVELS

if TYPE_CHECKING:
    import socket

    import trio

    from conf import AgentConfig
    from conf.identity import Identity
    from nodeagent.agent import Agent
    from nodeagent.systemd import ServiceManager
    from nodeagent.workers.supervisor import Supervisor


@click.command()
@click.argument("config")
@click.option(
    "--log-level",
    type=click.Choice(LEVELS, case_sensitive=False),
    envvar="NODEAGENT_LOG_LEVEL",
    help="How much is logged.  [default: logLevel of the configuration, which is info]",
)
def command(config: str, log_level: str | None) -> int:
    """Run the agent with the configuration in the file CONFIG ("-" is standard input).

    Prints a line for each listener once all are open; logs to stderr. SIGTERM or Ctrl-C ends it gently: what is under
    way is still answered, for at most admin.shutdownGraceMs. A second one ends it at once. SIGHUP opens the files of
    access logs anew, once somebody has moved them away.
    """
    from nodeagent.telemetry import log  # before all that logs: it brings structlog in without what it need not have

    settings, text = read_source(config)
    level = log_level or settings.log_level
    log.configure(level)
    if settings.identity is not None:
        _join(settings.identity)
    check_tls(settings)

    from nodeagent.admin.token import TokenError, token_of
    from nodeagent.listen import ListenError
    from nodeagent.systemd import ServiceManager, listen_fds

    try:
        manager = ServiceManager.from_environ(os.environ)
        inherited = [each.socket for each in listen_fds(os.environ)]
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    try:
        token_of(settings.admin)  # before anything is opened
        return run_tasks(serve, settings, text, manager, inherited, level)
    except (ListenError, TokenError) as error:
        raise click.ClickException(str(error)) from None


async def serve(
    config: AgentConfig, text: str, manager: ServiceManager, inherited: Sequence[socket.socket], log_level: str = "info"
) -> int:
    """Run an agent until it has drained (then return 0) or is cut by a second signal (1).

    Raises ListenError and TokenError. `text` is what the configuration was read from, and `log_level`
    what was set up: for the workers where there are several.
    """
    import trio

    from nodeagent.process import serving_process

    agent = _alone(config) if config.workers == 1 else _supervisor(config, text, log_level)
    ends, renews = trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT), trio.open_signal_receiver(signal.SIGHUP)
    with serving_process(), ends as signals, renews as renewals:
        async with trio.open_nursery() as root:
            root.start_soon(manager.watchdog)
            root.start_soon(_obey, signals, agent, root.cancel_scope)
            root.start_soon(_renew, renewals, agent)
            async with trio.open_nursery() as running:
                listening = await running.start(agent.run, inherited)
                for each in listening:
                    click.echo(f"listening: {each}")
                root.start_soon(_report, agent, manager, f"{len(listening)} listeners")
            root.cancel_scope.cancel()
            return 0
    return 1


def _join(config: Identity) -> None:
    """See to it that this host has its certificate, before anything reads it. Raises ClickException."""
    import random

    from nodeagent.ca.disk import CaError
    from nodeagent.identity import HostIdentity

    try:
        run_tasks(HostIdentity(config, random.Random()).join)
    except CaError as error:
        raise click.ClickException(f"identity: {error}") from None


def _alone(config: AgentConfig) -> Agent:
    """Return the agent that is all in this process."""
    from nodeagent.agent import Agent

    agent = Agent(config)
    agent.give_hints()
    return agent


def _supervisor(config: AgentConfig, text: str, log_level: str) -> Supervisor:
    """Return who runs the agent in several processes."""
    from nodeagent.workers.supervisor import Supervisor

    return Supervisor(config, text, log_level=log_level)


async def _obey(signals: AsyncIterator[int], agent: Agent | Supervisor, everything: trio.CancelScope) -> None:
    """Drain at the first signal, cut at the second."""
    await anext(signals)
    agent.shutdown()
    await anext(signals)
    everything.cancel()


async def _renew(signals: AsyncIterator[int], agent: Agent | Supervisor) -> None:
    """Reopen the logs at each signal."""
    async for _ in signals:
        agent.reopen_logs()


async def _report(agent: Agent | Supervisor, manager: ServiceManager, status: str) -> None:
    """Tell the service manager how far the agent is, whoever began or ended it."""
    await agent.primed.wait()
    await manager.ready()
    await manager.status(status)
    await agent.stopping.wait()
    await manager.stopping()
    await manager.status("draining")
