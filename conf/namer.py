"""What all sources of endpoints have in common."""

from __future__ import annotations

from typing import Annotated, ClassVar

from conf.fields import about
from conf.section import Kinded, not_here, not_yet
from namer.path import Path


class Namer(Kinded, frozen=True, kw_only=True):
    """A source of endpoints; its names stand under `/#` and its prefix, as `/#/io.l5d.fs/users`.

    Several may have one prefix: the one configured last is asked first.
    """

    absent: ClassVar = {"transformers": not_yet("transformers")}
    absent_kinds: ClassVar = {
        "io.l5d.consul": not_yet("Consul's catalogue"),
        "io.l5d.k8s": not_yet("Kubernetes"),
        "io.l5d.k8s.ns": not_yet("Kubernetes, one namespace"),
        "io.l5d.k8s.external": not_yet("Kubernetes load balancers"),
        "io.l5d.dnssrv": not_yet("DNS SRV records"),
        "io.l5d.serversets": not_here("ZooKeeper server sets"),
        "io.l5d.zkLeader": not_here("ZooKeeper leaders"),
        "io.l5d.curator": not_here("Curator on ZooKeeper"),
        "io.l5d.marathon": not_here("Marathon"),
        "io.l5d.rancher": not_here("Rancher"),
        "io.l5d.istio": not_here("Istio's pilot"),
        "io.l5d.k8s.istio": not_here("Istio's pilot"),
    }

    prefix: Annotated[
        Path, about("Its names stand under `/#` and this.", unset="`/` and the kind as written: `/io.l5d.fs`, `/fs`")
    ]
    experimental: Annotated[bool, about("Accepted, never needed.")] = False

    @classmethod
    def defaults_of_kind(cls, written: str) -> dict[str, object]:
        return {"prefix": Path((written,))}
