"""Who may connect and call what, from configuration: of those routers and listeners that say so. Imports on use."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from conf.access import AccessPolicy
from conf.authorizers import AnyAuthorizer, HttpAuthorizer, Opa
from conf.router import AnyRouter
from conf.server import Listener
from conf.tokens import Tokens
from namer.files import FileWatch
from nodeagent.policy.decision import DENY
from nodeagent.telemetry.registry import Registry
from nodeagent.telemetry.stats import ServerStats

if TYPE_CHECKING:
    from nodeagent.policy.asked import Asking
    from nodeagent.proxy.authorizer import Authorizer
    from nodeagent.proxy.entrance import Entrance
    from nodeagent.proxy.permits import Permits
    from nodeagent.proxy.tokenkeys import TokenKeys


def permits(config: AnyRouter, stats: Registry, files: FileWatch) -> Permits | None:
    """Return who may call what; None for everybody everything. Raises ValueError when a user is gone by now."""
    policy = config.policy
    if policy is None:
        return None
    from nodeagent.policy.compiled import asks_for_addresses, compiled
    from nodeagent.proxy.permits import Permits

    counts = stats.policy(config.label)
    asking = _asking(policy, config.label, stats)
    return Permits(
        config.label,
        compiled(policy),
        counts,
        by_address=asks_for_addresses(policy),
        asking=asking,
        tokens=None if policy.tokens is None else _tokens(policy.tokens, files),
    )


def entrance(config: Listener, stats: ServerStats) -> Entrance | None:
    """Return who may connect to a listener; None for everybody. Raises ValueError when a user is gone by now."""
    if config.callers is None:
        return None
    from nodeagent.policy.compiled import allowing
    from nodeagent.proxy.entrance import Entrance

    return Entrance(allowing(config.callers), stats)


def _tokens(config: Tokens, files: FileWatch) -> TokenKeys:
    from nodeagent.policy.tokens import Verifier
    from nodeagent.proxy.tokenkeys import TokenKeys

    verifier = Verifier(config.issuer, config.audience, config.algorithms, config.leeway_secs)
    return TokenKeys(verifier, files, file=config.jwks_file, url=config.jwks_url, refresh=config.refresh_secs)


def _asking(policy: AccessPolicy, router: str, stats: Registry) -> dict[str, tuple[Authorizer, str]]:
    made = {each.name: _authorizer(each, router, stats) for each in policy.authorizers}
    return {
        name: (made[rule.authorizer], rule.when_down or DENY)
        for name, rule in zip(policy.names, policy.rules, strict=True)
        if rule.authorizer is not None
    }


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
