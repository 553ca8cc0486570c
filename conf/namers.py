"""Where endpoints are looked up: service discovery."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from conf.fields import Pattern, Text, about
from conf.section import Kinded, not_here, not_yet
from namer.grammar import NameSyntaxError
from namer.path import Path
from namer.pattern import PathPattern, PathTemplate


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


class FsNamer(Namer, frozen=True, tag="io.l5d.fs", kw_only=True):
    """One file per name, with `host port [* weight]` lines; the files are watched."""

    root_dir: Annotated[Text, about("The directory of the files; a relative one starts at the working directory.")]


class RewriteNamer(Namer, frozen=True, tag="io.l5d.rewrite", kw_only=True):
    """Names of one form become names of another."""

    pattern: Annotated[Pattern, about("The form: labels, `*` for any one, `{name}` for one that is remembered.")]
    name: Annotated[Text, about("The name it becomes; `{name}` stands for what was remembered.")]

    def contradictions(self) -> Iterator[tuple[str, str]]:
        try:
            PathTemplate.parse(self.name, PathPattern.parse(self.pattern).names)
        except NameSyntaxError as error:
            yield "name", error.message


AnyNamer = FsNamer | RewriteNamer
