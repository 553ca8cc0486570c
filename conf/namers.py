"""Where endpoints are looked up: service discovery."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from conf.consul import ConsulNamer
from conf.dns import DnsSrvNamer
from conf.fields import Pattern, Text, about
from conf.kubernetes import KubernetesNamer, KubernetesNamespaceNamer
from conf.namer import Namer
from namer.grammar import NameSyntaxError
from namer.pattern import PathPattern, PathTemplate


class FsNamer(Namer, frozen=True, tag="io.l5d.fs", kw_only=True):
    """One file per name, with `host port [* weight] [zone=NAME] [node=NAME] [agent=PORT]` lines; they are watched."""

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


AnyNamer = FsNamer | DnsSrvNamer | ConsulNamer | KubernetesNamer | KubernetesNamespaceNamer | RewriteNamer
