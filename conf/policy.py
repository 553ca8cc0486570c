"""Which of the policies of a router hold for one name."""

from __future__ import annotations

from typing import overload

from conf.client import AnyClientPolicy, ClientParams, GlobalClient, StaticClient
from conf.service import AnyServicePolicy, GlobalService, ServiceParams, StaticService
from namer.path import Path


@overload
def resolve(policy: AnyServicePolicy, path: Path) -> ServiceParams: ...
@overload
def resolve(policy: AnyClientPolicy, path: Path) -> ClientParams: ...
def resolve(policy: AnyServicePolicy | AnyClientPolicy, path: Path) -> ServiceParams | ClientParams:
    """Return what holds for *path*: of all prefixes that match, a later one wins key by key; then the defaults.

    The path is a logical name (`/svc/web`) for a service policy, a concrete one (`/#/io.l5d.fs/web`) for a
    client policy.
    """
    match policy:
        case GlobalService():
            return policy.over(ServiceParams())
        case GlobalClient():
            return policy.over(ClientParams(), captured={})
        case StaticService(configs=services):
            service = ServiceParams()
            for layer in services:
                service = layer.over(service) if layer.prefix.match(path) is not None else service
            return service
        case StaticClient(configs=clients):
            client = ClientParams()
            for each in clients:
                captured = each.prefix.match(path)
                client = each.over(client, captured) if captured is not None else client
            return client
