"""Finds the command that was asked for, and turns whatever ends it into an exit code.

    0 yes    1 no    2 wrong usage

An error is one line on stderr that says what is wrong and what to do. Ctrl-C ends a command without a word. A command
is a module of this package with a click command of the name `command`, which returns its exit code; the module is
imported when the command is called, and imports what is heavy when it runs, so that nobody waits for what others need.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from difflib import get_close_matches
from importlib import import_module

import click

COMMANDS = ("run", "check", "explain", "stat", "top", "tap", "dtab", "ca", "demo", "env", "support", "version")


class Commands(click.Group):
    """The commands by name, each imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"nodeagent.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name in COMMANDS or name.startswith("-"):
            return super().resolve_command(ctx, args)
        near = get_close_matches(name, COMMANDS, n=1)
        raise click.UsageError(f"there is no command {name!r}" + (f"; did you mean {near[0]}?" if near else ""), ctx)


@click.command(cls=Commands, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.pass_context
def commands(context: click.Context) -> None:
    """One service mesh agent per host: traffic by logical name, balanced by latency, retried where that is safe."""
    if context.invoked_subcommand is None:
        raise click.UsageError(f"expected a command: {', '.join(COMMANDS)}", context)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (without the program's name; by default this process's own) and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a character that a terminal lacks is no reason to fail
            stream.reconfigure(errors="backslashreplace")
    try:
        code = int(commands.main(arguments, prog_name="nodeagent", standalone_mode=False) or 0)
        sys.stdout.flush()  # here, where a failure still is an error with an exit code
        return code
    except click.Abort:
        return 1
    except click.ClickException as error:
        click.echo(f"nodeagent: {_one_line(error)}", err=True)
        return error.exit_code
    except BrokenPipeError:  # who read the output has seen enough
        _give_up_output()
        return 1
    except OSError as error:  # a disk that is full, a limit that is reached: the system says it best
        click.echo(f"nodeagent: {error}", err=True)
        _give_up_output()
        return 1


def _give_up_output() -> None:
    """Let the interpreter's last flush go nowhere, instead of failing once more."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _one_line(error: click.ClickException) -> str:
    text = " ".join(error.format_message().split()).rstrip(".")
    if isinstance(error, click.UsageError) and error.ctx is not None:
        text += f" (see: {error.ctx.command_path} --help)"
    return text
