"""`nodeagent run`: the agent, until it is told to stop."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Final

import click

from nodeagent.cli.config import read_config
from nodeagent.cli.tasks import run_tasks

if TYPE_CHECKING:
    import socket

    import trio

    from conf import AgentConfig
    from nodeagent.agent import Agent
    from nodeagent.systemd import ServiceManager

SWITCH: Final = 0.0005
"""Seconds that a thread may compute while the loop waits; Python's own are ten times as many."""


@click.command()
@click.argument("config")
def command(config: str) -> int:
    """Run the agent with the configuration in the file CONFIG ("-" is standard input).

    Prints a line for each listener once all are open; logs to stderr. SIGTERM or Ctrl-C ends it gently: what is under
    way is still answered, for at most admin.shutdownGraceMs. A second one ends it at once.
    """
    settings = read_config(config)

    from nodeagent.listen import ListenError
    from nodeagent.systemd import ServiceManager, listen_fds
    from nodeagent.telemetry import log

    log.configure()
    try:
        manager = ServiceManager.from_environ(os.environ)
        inherited = [each.socket for each in listen_fds(os.environ)]
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    try:
        return run_tasks(serve, settings, manager, inherited)
    except ListenError as error:
        raise click.ClickException(str(error)) from None


async def serve(config: AgentConfig, manager: ServiceManager, inherited: Sequence[socket.socket]) -> int:
    """Run an agent until it has drained (then return 0) or is cut by a second signal (1). Raises ListenError."""
    import structlog
    import trio

    from nodeagent.agent import Agent
    from nodeagent.garbage import short_collections
    from nodeagent.hints import hints

    agent = Agent(config)
    for hint in hints(config, agent.naming.builtins, agent.zone):
        structlog.get_logger(__name__).warning("the configuration has what is hardly meant", hint=str(hint))
    # Both concern the whole process, so they stand here: a full collection would hold up every request, and so would a
    # thread that reads a long table, because each system call of the loop lets it have the interpreter for as long.
    sys.setswitchinterval(SWITCH)
    with short_collections(), trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as root:
            root.start_soon(manager.watchdog)
            root.start_soon(_obey, signals, agent, root.cancel_scope)
            async with trio.open_nursery() as running:
                listening = await running.start(agent.run, inherited)
                for each in listening:
                    click.echo(f"listening: {each}")
                root.start_soon(_report, agent, manager, f"{len(listening)} listeners")
            root.cancel_scope.cancel()
            return 0
    return 1


async def _obey(signals: AsyncIterator[int], agent: Agent, everything: trio.CancelScope) -> None:
    """Drain at the first signal, cut at the second."""
    await anext(signals)
    agent.shutdown()
    await anext(signals)
    everything.cancel()


async def _report(agent: Agent, manager: ServiceManager, status: str) -> None:
    """Tell the service manager how far the agent is, whoever began or ended it."""
    await agent.primed.wait()
    await manager.ready()
    await manager.status(status)
    await agent.stopping.wait()
    await manager.stopping()
    await manager.status("draining")
