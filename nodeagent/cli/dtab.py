"""`nodeagent dtab`: the dtabs that steer a fleet, in the store where its agents read them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nodeagent.cli.config import choose_router, read_config
from nodeagent.cli.tasks import run_tasks

if TYPE_CHECKING:
    from namer.dtab import Dtab
    from namer.dtabdiff import DtabDiff
    from namer.dtabstore import DtabStore, StoredDtab

SECONDS = 30.0
"""How long a store may take."""

_NAMESPACE_AND_FILE = "[NAMESPACE] FILE"


def _of_a_store(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which store is meant."""
    function = click.option("--router", metavar="LABEL", help="The router whose dtab it is; the first if not given.")(
        function
    )
    return click.option("--config", metavar="CONFIG", required=True, help="The configuration that names the store.")(
        function
    )


_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group(invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """Show and change dtabs where a configuration keeps them: in a file, in Consul, in a ConfigMap.

    NAMESPACE is the name of a dtab in its store; the one that the router uses if not given. FILE is a dtab, "-" is
    standard input.
    """
    if context.invoked_subcommand is None:
        raise click.UsageError("expected a command: list, get, diff, set", context)


@command.command("list")
@_of_a_store
@_json
def list_(config: str, router: str | None, as_json: bool) -> int:
    """Print the namespaces of the store; the one that the router uses is marked."""
    store, used = open_store(config, router)
    namespaces = ask(store.list)
    if as_json:
        print_json({"store": store.name, "namespaces": namespaces, "used": used})
    else:
        for namespace in namespaces:
            click.echo(f"{namespace}{'  (in use)' if namespace == used else ''}")
    return 0


@command.command()
@_of_a_store
@_json
@click.argument("namespace", required=False)
def get(config: str, router: str | None, as_json: bool, namespace: str | None) -> int:
    """Print a dtab as it is stored."""
    store, used = open_store(config, router)
    namespace = namespace or used
    stored = read_stored(store, namespace)
    if stored is None:
        raise click.ClickException(f"{store.name}: there is no dtab {namespace}; `nodeagent dtab list` shows them")
    if as_json:
        head = {"store": store.name, "namespace": namespace, "version": stored.version}
        print_json({**head, "dtab": stored.text, "dentries": dentries(parse(stored.text, _origin(store, namespace)))})
    else:
        click.echo(stored.text, nl=not stored.text.endswith("\n"))
    return 0


@command.command()
@_of_a_store
@_json
@click.argument("what", nargs=-1, metavar=_NAMESPACE_AND_FILE)
def diff(config: str, router: str | None, as_json: bool, what: tuple[str, ...]) -> int:
    """Show what `set` would change. The exit code is 0 when that is nothing, else 1."""
    namespace, file = namespace_and_file(what, config)
    store, used = open_store(config, router)
    namespace = namespace or used
    new = parse(*read_text(file))
    stored = read_stored(store, namespace)
    changes = compare(_parse_stored(stored, _origin(store, namespace)), new)
    if as_json:
        print_json({"store": store.name, "namespace": namespace, "equal": not changes, **changes_json(changes)})
    elif changes:
        click.echo(show(changes))
    return 1 if changes else 0


@command.command("set")
@_of_a_store
@click.argument("what", nargs=-1, metavar=_NAMESPACE_AND_FILE)
def set_(config: str, router: str | None, what: tuple[str, ...]) -> int:
    """Store a dtab, and print what that changes.

    It must parse. If somebody else changes the dtab meanwhile, nothing is stored.
    """
    namespace, file = namespace_and_file(what, config)
    store, used = open_store(config, router)
    namespace = namespace or used
    text, origin = read_text(file)
    new = parse(text, origin)
    stored = read_stored(store, namespace)
    where = _origin(store, namespace)
    if stored is not None and stored.text == text:
        click.echo(f"{where}: unchanged, version {stored.version}")
        return 0
    changes = compare(_last_good(stored), new)
    ask(store.set, namespace, text, stored and stored.version)
    click.echo(show(changes) if changes else "only comments and spacing change")
    click.echo(f"{where}: " + ("created" if stored is None else f"replaced version {stored.version}"))
    return 0


def namespace_and_file(what: tuple[str, ...], config: str) -> tuple[str | None, str]:
    """Tell the two arguments apart. Raises UsageError."""
    if not 1 <= len(what) <= 2:
        raise click.UsageError(f"expected {_NAMESPACE_AND_FILE}, found {len(what)} arguments")
    if what[-1] == config == "-":
        raise click.UsageError("-: the configuration is read from there already")
    return (what[0] if len(what) == 2 else None), what[-1]


def open_store(config: str, label: str | None) -> tuple[DtabStore, str]:
    """The store that a configuration names, and the namespace that its router uses."""
    settings = read_config(config)

    from nodeagent.naming.stores import dtab_store
    from nodeagent.telemetry import log

    log.configure("critical")  # what goes wrong is the command's own answer
    return dtab_store(choose_router(settings, label), settings.origins.origin)


def ask(call: Callable[..., Any], *arguments: object) -> Any:
    """What a store answers. Raises ClickException."""
    from namer.dtabstore import StoreConflict, StoreError

    async def in_time() -> Any:
        import trio

        with trio.move_on_after(SECONDS):
            return await call(*arguments)
        raise StoreError(f"no answer within {SECONDS:g} s; whether anything was changed shows `nodeagent dtab get`")

    try:
        return run_tasks(in_time)
    except StoreConflict as error:
        raise click.ClickException(f"{error}; look at it with `nodeagent dtab diff`, and try again") from None
    except StoreError as error:
        raise click.ClickException(str(error)) from None


def read_stored(store: DtabStore, namespace: str) -> StoredDtab | None:
    """A dtab of the store, None where there is none. Raises ClickException."""
    stored: StoredDtab | None = ask(store.get, namespace)
    return stored


def read_text(path: str) -> tuple[str, str]:
    """The text of a dtab to be stored, and its name in messages. Raises ClickException."""
    from namer.grammar import MAX_DTAB_CHARS

    origin = "<stdin>" if path == "-" else path
    try:
        if path == "-":
            data = sys.stdin.buffer.read(4 * MAX_DTAB_CHARS + 1)
        else:
            with Path(path).open("rb") as file:
                data = file.read(4 * MAX_DTAB_CHARS + 1)
        return data.decode("utf-8-sig"), origin
    except OSError as error:
        raise click.ClickException(f"{origin}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise click.ClickException(f"{origin}: it is not UTF-8") from None


def parse(text: str, origin: str) -> Dtab:
    """Read a dtab. Raises ClickException with the place where it is wrong."""
    from namer.dtab import Dtab
    from namer.grammar import NameSyntaxError

    try:
        return Dtab.parse(text)
    except NameSyntaxError as error:
        raise click.ClickException(f"{origin}:{error.line}:{error.column}: {error.message}") from None


def compare(old: Dtab | None, new: Dtab) -> DtabDiff:
    """How a dtab changes; None where there is none yet."""
    from namer.dtab import Dtab
    from namer.dtabdiff import diff

    return diff(old or Dtab.EMPTY, new)


def _parse_stored(stored: StoredDtab | None, origin: str) -> Dtab | None:
    """The dtab that is there. Raises ClickException when it does not parse, which `set` would not mind."""
    try:
        return parse(stored.text, origin) if stored else None
    except click.ClickException as error:
        raise click.ClickException(
            f"{error.message}; it is the stored dtab that does not parse, and `nodeagent dtab set` may replace it"
        ) from None


def _last_good(stored: StoredDtab | None) -> Dtab | None:
    """The dtab that is there; one that does not parse is as good as none, and is there to be replaced."""
    from namer.dtab import Dtab
    from namer.grammar import NameSyntaxError

    try:
        return Dtab.parse(stored.text) if stored else None
    except NameSyntaxError:
        return None


def show(changes: DtabDiff) -> str:
    """The changes for people: each dentry with its place."""
    lines = [f"- {each.position}  {each.dentry}" for each in changes.removed]
    lines += [f"+ {each.position}  {each.dentry}" for each in changes.added]
    lines += [f"~ {each.before} to {each.after}  {each.dentry}" for each in changes.moved]
    return "\n".join(lines)


def changes_json(changes: DtabDiff) -> dict[str, object]:
    """The changes for programs."""
    return {
        "removed": [{"position": each.position, "dentry": str(each.dentry)} for each in changes.removed],
        "added": [{"position": each.position, "dentry": str(each.dentry)} for each in changes.added],
        "moved": [{"from": each.before, "to": each.after, "dentry": str(each.dentry)} for each in changes.moved],
    }


def dentries(dtab: Dtab) -> list[dict[str, str]]:
    """The dentries for programs."""
    from namer.nametree import show as show_tree

    return [{"prefix": each.prefix.show(), "dst": show_tree(each.dst)} for each in dtab.dentries]


def print_json(value: Mapping[str, object]) -> None:
    """Print one JSON object."""
    click.echo(json.dumps(value, indent=2))


def _origin(store: DtabStore, namespace: str) -> str:
    return f"{store.name} {namespace}"
