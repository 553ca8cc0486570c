"""What all sources of endpoints have in common."""

from __future__ import annotations

from typing import Annotated, ClassVar

from conf.fields import Count, about, one_of
from conf.section import Kinded, not_here, not_yet
from conf.transformers import AnyTransformer
from namer.path import Path


class Namer(Kinded, frozen=True, kw_only=True):
    """A source of endpoints; its names stand under `/#` and its prefix, as `/#/io.l5d.fs/users`.

    Several may have one prefix: the one configured last is asked first.
    """

    absent_kinds: ClassVar = {
        "io.l5d.k8s.external": not_yet("Kubernetes load balancers"),
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
    transformers: Annotated[tuple[AnyTransformer, ...], about("What is done to its answers, one after the other.")] = ()
    max_stale_secs: Annotated[
        Count | None,
        about(
            "Seconds that its last good answers are used while its source fails; what happens then says `whenStale`.",
            why="an old answer is better than none, and its age is shown",
            like="DNS: the maximum stale timer of RFC 8767",
            unset="without end",
        ),
    ] = None
    when_stale: Annotated[
        str,
        one_of("flag", "refuse"),
        about(
            "What happens to answers that are stale beyond `maxStaleSecs`: `flag` goes on to use them and says so in "
            "the log, in metrics and on the admin pages; `refuse` withdraws them as well until the source answers.",
            why="a registry that is down should not take down what it knew",
            like="none",
        ),
    ] = "flag"
    experimental: Annotated[bool, about("Accepted, never needed.")] = False

    @classmethod
    def defaults_of_kind(cls, written: str) -> dict[str, object]:
        return {"prefix": Path((written,))}
