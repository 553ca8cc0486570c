"""`nodeagent explain`: how a name resolves, asked of a running agent or worked out from a configuration."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click
import msgspec

from nodeagent.cli.admin_client import DEFAULT_ADMIN, AdminClient, UnknownError, decode, token_option
from nodeagent.cli.config import choose_router, read_config
from nodeagent.cli.explain_documents import CONFIGURATION, DELEGATION, EXPLANATION, Configuration
from nodeagent.cli.explain_text import render
from nodeagent.cli.policy_text import render_judgement
from nodeagent.cli.request_text import story
from nodeagent.cli.tasks import run_tasks

if TYPE_CHECKING:
    from conf import AgentConfig
    from conf.router import AnyRouter
    from namer.dtab import Dtab
    from namer.path import Path
    from nodeagent.policy.rules import Rules

_ID = re.compile(r"[0-9a-fA-F]{16}")

RECORD = msgspec.json.Decoder(dict[str, Any])

TREE_SECONDS = 2.0
"""How long the branches that are not taken may take to be known; linkerd's delegator waits as long."""


@click.command()
@click.option("--config", metavar="CONFIG", help="Work it out from this configuration, without a running agent.")
@click.option(
    "--admin", metavar="URL", help=f"Ask the agent with this admin port, or unix:/PATH.  [default: {DEFAULT_ADMIN}]"
)
@token_option
@click.option("--router", metavar="LABEL", help="The router that names it; the first one if not given.")
@click.option("--dtab", metavar="DTAB", default="", help="Dentries to try before the router's, as in l5d-dtab.")
@click.option(
    "--as",
    "who",
    metavar="CALLER",
    help="Say whether uid:NAME, cgroup:/PATH, an IP address or an identity may call it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--request", "id_", metavar="ID", help="Tell of the request with this l5d-reqid instead of a name.")
@click.argument("asked", nargs=-1, metavar="[METHOD] NAME")
def command(
    config: str | None,
    admin: str | None,
    router: str | None,
    dtab: str,
    who: str | None,
    as_json: bool,
    id_: str | None,
    asked: tuple[str, ...],
) -> int:
    """Show how NAME resolves: a name such as /svc/users, or a URL such as http://users/.

    With --as also which rule of the router's policy decides, for a request without headers by METHOD, or GET.

    With --request, show instead why that request went where it did, some minutes after it was answered.

    The exit code is 0 when the name is bound or the request known, 1 when it is not or may not be called, 2 when it
    does not parse.
    """
    if id_ is not None:
        return _request(id_, admin, as_json, others=(*asked, config, router, dtab, who))
    if not asked:
        raise click.UsageError("expected a NAME such as /svc/users, or --request ID")
    *methods, name = asked
    if len(methods) > 1 or (methods and who is None):
        raise click.UsageError(f"{' '.join(methods)}: expected one name or URL; a METHOD before it goes with --as")
    if methods == ["CONNECT"]:
        name = f"https://{name.rpartition('://')[2]}"
    judge = {} if who is None else {"as": who, "method": methods[0] if methods else "GET"}
    if config is not None and admin is not None:
        raise click.UsageError("--config and --admin exclude each other: name the file or the running agent")
    if not name.startswith("/") and "://" not in name:
        raise click.UsageError(f"{name}: expected a name such as /svc/{name}, or a URL such as http://{name}/")
    if config is None:
        answer, tree = ask(AdminClient(admin or DEFAULT_ADMIN), name, dtab, router, judge, with_tree=not as_json)
    else:
        answer, tree = work_out(read_config(config), name, dtab, router, judge)
    explanation = decode(answer, EXPLANATION)
    if as_json:
        click.echo(json.dumps(json.loads(answer), indent=2))
    else:
        click.echo(render(explanation, None if tree is None else decode(tree, DELEGATION)))
        if explanation.policy is not None:
            click.echo(f"\n{render_judgement(explanation.policy)}")
    refused = explanation.policy is not None and explanation.policy.verdict == "deny"
    return 0 if explanation.outcome == "bound" and not refused else 1


def _request(id_: str, admin: str | None, as_json: bool, others: tuple[str | None, ...]) -> int:
    if any(others):
        raise click.UsageError("--request asks a running agent of one request: it goes with --admin and --json only")
    if not _ID.fullmatch(id_):
        raise click.UsageError(f"--request {id_}: expected the 16 hexadecimal digits of an l5d-reqid")
    try:
        answer = AdminClient(admin or DEFAULT_ADMIN).get(f"/requests/{id_}.json", {})
    except UnknownError as error:
        raise click.ClickException(error.format_message()) from None
    record = decode(answer, RECORD)
    click.echo(json.dumps(record, indent=2) if as_json else story(record))
    return 0


def ask(
    client: AdminClient, name: str, dtab: str, router: str | None, judge: dict[str, str], *, with_tree: bool
) -> tuple[bytes, bytes | None]:
    """Return a running agent's explanation, and its delegation tree if that is wanted and can be had, in JSON.

    `judge` says whose request is to be judged, if any.
    """
    query = {"path": name, "dtab": dtab} | ({"router": router} if router else {})
    answer = client.get("/explain.json", query | judge)
    if not with_tree:
        return answer, None
    query = {"path": decode(answer, EXPLANATION).name} | ({"namespace": router} if router else {})
    try:
        if dtab:  # the delegator wants the whole table
            base = base_dtab(decode(client.get("/config.json", {}), CONFIGURATION), router)
            if base is None:
                return answer, None
            query["dtab"] = " ; ".join(filter(None, (base, dtab)))
        return answer, client.get("/delegator.json", query)
    except click.ClickException:  # the whole tree may be too large, or slow to know by a branch that nobody takes
        return answer, None


def base_dtab(config: Configuration, label: str | None) -> str | None:
    """Return the dtab of a router, that of the first one for no label; None when it is not all in the configuration."""
    for router in config.routers:
        if label in (None, router.label.value):
            return router.dtab.value if router.interpreter.kind.value == "default" else None
    return None


def work_out(
    config: AgentConfig, name: str, dtab: str, router: str | None, judge: dict[str, str]
) -> tuple[bytes, bytes | None]:
    """Return the explanation that an agent with `config` would give, and the delegation tree, in JSON.

    There is no tree without the router's table. Raises UsageError when the name, the dtab or who is to be judged does
    not parse.
    """
    from namer.dtab import Dtab
    from namer.grammar import NameSyntaxError
    from nodeagent.explain import names_of
    from nodeagent.telemetry import log

    log.configure("critical")  # what goes wrong with a source stands in the explanation
    chosen = choose_router(config, router)
    try:
        names = names_of(name, chosen.dst_prefix)
    except NameSyntaxError as error:
        raise click.UsageError(f"{name}: {error}") from None
    try:
        local = Dtab.parse(dtab)
    except NameSyntaxError as error:
        raise click.UsageError(f"--dtab: {error}") from None
    answer, tree = run_tasks(_resolve, config, chosen, names, local)
    if judge:
        rules = run_tasks(_rules, config, chosen)
        answer["policy"] = _judged(rules, judge, str(answer["name"]), name, led_on=bool(local.dentries))
    return json.dumps(answer).encode(), None if tree is None else json.dumps(tree).encode()


def _judged(rules: Rules | None, judge: dict[str, str], name: str, text: str, *, led_on: bool) -> dict[str, object]:
    from namer.path import Path
    from nodeagent.policy.questions import head_of, judged

    try:
        return judged(rules, judge["as"], Path.parse(name), head_of(text, judge["method"]), led_on=led_on)
    except ValueError as error:
        raise click.UsageError(f"--as {judge['as']}: {error}") from None


async def _rules(config: AgentConfig, router: AnyRouter) -> Rules | None:
    """Return the rules of a router, wherever they are; None where it has no policy."""
    import trio

    from namer.namer import Pending
    from namer.settle import subscribed
    from nodeagent.access import rules_of
    from nodeagent.cli.offline import discovery
    from nodeagent.policy.compiled import compiled, ruling_of

    if router.policy is None:
        return None
    if router.policy.source is None:
        return compiled(router.policy)
    async with discovery(config) as naming:
        source = rules_of(router, naming)
        assert source is not None
        with subscribed((source,), lambda: None), trio.move_on_after(router.binding_timeout_ms / 1000):
            while isinstance(source.value, Pending):
                await source.wait_changed(source.version)
        return ruling_of(source.value).rules


async def _resolve(
    config: AgentConfig, router: AnyRouter, names: Sequence[Path], local: Dtab
) -> tuple[dict[str, object], dict[str, object] | None]:
    import trio

    from namer.delegation import delegate
    from namer.dtab import Dtab
    from nodeagent.cli.offline import discovery
    from nodeagent.explain import explain_any, known_within
    from nodeagent.naming.naming import assessment
    from nodeagent.policies import make_guard

    seconds, tree = router.binding_timeout_ms / 1000, None
    async with discovery(config) as naming, trio.open_nursery() as nursery:
        if sys.stderr.isatty():
            nursery.start_soon(_ask_for_patience, seconds)
        namers, table = naming.namers_of(router), naming.dtab(router)
        assess, guard = assessment(router), make_guard(router)
        explanation = await explain_any(namers, table, names, local=local, timeout=seconds, assess=assess, guard=guard)
        if isinstance(table.value, Dtab):
            dtab = table.value + local
            # The tree has branches that no request would wait for; neither does whoever asks.
            delegation = await known_within(TREE_SECONDS, lambda: delegate(explanation.name, dtab, namers))
            tree = delegation.tree.to_json()
        nursery.cancel_scope.cancel()
    return explanation.to_json(), tree


async def _ask_for_patience(seconds: float) -> None:
    import trio

    await trio.sleep(1)
    click.echo(f"waiting for discovery, at most {seconds:g} s ...", err=True)
