"""The TLS towards endpoints, from configuration: what is wrong with its files, before a request needs them. An edge."""

from __future__ import annotations

from collections.abc import Iterator

from conf import AgentConfig
from conf.client import parts_of
from conf.errors import KeyPath, show_key_path
from nodeagent.hints import Hint
from nodeagent.listenertls import will_be_got
from nodeagent.policies import client_tls
from tls.contexts import Contexts
from tls.files import TlsConfigError


def endpoint_hints(config: AgentConfig, contexts: Contexts) -> Iterator[Hint]:
    """Say which files cannot be used now: requests that need them will be answered 502. Blocks on the disk.

    It is no error, because files may come later, and other names do not need them. What is in order is made, and so
    its certificates are followed, and shown, from the start. (Without what agents need among each other none starts.)
    """
    origins = config.origins
    for number, router in enumerate(config.routers):
        for place, part in parts_of(router.client):
            tls = client_tls(part.tls)
            if tls is None or tls.agents is not None:
                continue
            try:
                contexts.side(tls.context)
            except TlsConfigError as error:
                if not will_be_got(config, tls.context.files):
                    at: KeyPath = ("routers", number, "client", *place, "tls")
                    yield Hint(origins.origin, origins.lines.get(at), show_key_path(at), str(error))
