"""Who resolves logical names."""

from __future__ import annotations

from typing import Annotated, ClassVar

from conf.fields import Text, about
from conf.section import Kinded, not_here, not_yet


class Interpreter(Kinded, frozen=True):
    """Resolves logical names to concrete ones."""

    default_kind: ClassVar = "default"
    absent: ClassVar = {"transformers": not_yet("transformers")}
    absent_kinds: ClassVar = {
        "io.l5d.consul.interpreter": not_yet("a dtab in Consul's key-value store"),
        "io.l5d.k8s.configMap": not_yet("a dtab in a Kubernetes ConfigMap; mounted as a file, io.l5d.fs reads it"),
        "io.l5d.namerd": not_here("namerd, by Thrift"),
        "io.l5d.namerd.http": not_here("namerd, by HTTP"),
        "io.l5d.mesh": not_here("namerd, by gRPC"),
    }

    experimental: Annotated[bool, about("Accepted, never needed.")] = False


class DefaultInterpreter(Interpreter, frozen=True, tag="default"):
    """The router's dtab and the configured namers."""


class FsInterpreter(Interpreter, frozen=True, tag="io.l5d.fs", kw_only=True):
    """As the default, with the dtab of a file before the router's own; the file is watched."""

    dtab_file: Annotated[Text, about("The file; a relative path starts at the working directory.")]


AnyInterpreter = DefaultInterpreter | FsInterpreter
