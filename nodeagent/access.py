"""Who may connect and call what, from configuration: of those routers and listeners that say so. Imports on use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from conf.authorizers import AnyAuthorizer, HttpAuthorizer, Opa
from conf.errors import ConfigErrors, Problem
from conf.load import read_text
from conf.router import AnyRouter
from conf.rulestores import FileRules
from conf.server import Listener
from conf.tokens import Tokens
from namer.cell import Cell
from namer.document import Followed
from namer.files import FileWatch
from nodeagent.naming.naming import Naming
from nodeagent.telemetry.registry import Registry
from nodeagent.telemetry.stats import ServerStats

if TYPE_CHECKING:
    from nodeagent.policy.asked import Asking
    from nodeagent.policy.compiled import Ruling
    from nodeagent.proxy.authorizer import Authorizer
    from nodeagent.proxy.entrance import Entrance
    from nodeagent.proxy.permits import Permits
    from nodeagent.proxy.tokenkeys import TokenKeys


def permits(config: AnyRouter, stats: Registry, naming: Naming) -> Permits | None:
    """Return who may call what; None for everybody everything. Raises ValueError when a user is gone by now."""
    policy = config.policy
    if policy is None:
        return None
    from nodeagent.policy.compiled import ruling, ruling_of
    from nodeagent.proxy.permits import Permits

    source = rules_of(config, naming)
    return Permits(
        config.label,
        ruling(policy) if source is None else ruling_of(source.value),
        stats.policy(config.label),
        authorizers={each.name: _authorizer(each, config.label, stats) for each in policy.authorizers},
        tokens=None if policy.tokens is None else _tokens(policy.tokens, naming.files),
        source=source,
    )


def rules_of(config: AnyRouter, naming: Naming) -> Cell[Followed[Ruling]] | None:
    """Return the rules that a router takes from a store, live while somebody subscribes; None where it takes none."""
    if config.policy is None or config.policy.source is None:
        return None
    from nodeagent.policy.compiled import rules_document

    return naming.document(config.policy.source, rules_document(config), f"policy of {config.label}")


def rules_faults(routers: Iterable[AnyRouter]) -> Iterator[Problem]:
    """Read the files that rules of routers come from, and yield all that is wrong with them. Blocks."""
    for router in routers:
        if router.policy is None or not isinstance(router.policy.source, FileRules):
            continue
        from conf.rules import load_rules

        try:
            load_rules(*read_text(router.policy.source.rules_file), router)
        except ConfigErrors as error:
            yield from error.problems


def entrance(config: Listener, stats: ServerStats) -> Entrance | None:
    """Return who may connect to a listener; None for everybody. Raises ValueError when a user is gone by now."""
    if config.callers is None:
        return None
    from nodeagent.policy.compiled import allowing
    from nodeagent.proxy.entrance import Entrance

    return Entrance(allowing(config.callers), stats)


def asks_for_cgroups(router: AnyRouter, listener: Listener) -> bool:
    """Tell whether it matters, or may from one moment to the next, in which cgroups the callers of a listener are."""
    by_policy = router.policy is not None and router.policy.may_ask_for_cgroups
    return by_policy or any(each.cgroups for each in listener.callers or ())


def _tokens(config: Tokens, files: FileWatch) -> TokenKeys:
    from nodeagent.policy.tokens import Verifier
    from nodeagent.proxy.tokenkeys import TokenKeys

    verifier = Verifier(config.issuer, config.audience, config.algorithms, config.leeway_secs)
    return TokenKeys(verifier, files, file=config.jwks_file, url=config.jwks_url, refresh=config.refresh_secs)


def _authorizer(config: AnyAuthorizer, router: str, stats: Registry) -> Authorizer:
    from nodeagent.policy.asked import HttpProtocol, OpaProtocol, Remembered
    from nodeagent.proxy.authorizer import Authorizer

    scheme, host, path, *_ = urlsplit(config.url)
    match config:
        case Opa():
            asking: Asking = OpaProtocol(config.path, path)
        case HttpAuthorizer():
            asking = HttpProtocol(path or "/", config.takes)
    return Authorizer(
        config.name,
        f"{scheme}://{host}",
        asking,
        Remembered(config.cache_ttl_ms / 1000, config.cache_entries),
        inputs=config.input,
        headers=config.headers,
        timeout=config.timeout_ms / 1000,
        most=config.max_pending,
        counts=stats.authorizers(router),
    )
