"""Kubernetes: the services of a cluster as namers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Final

from msgspec import Meta

from conf.fields import Reader, Text, about
from conf.kubeapi import ApiHost, ApiPort, ApiTls, ApiTokenFile, api_contradictions
from conf.namer import Namer

_LABEL_KEY: Final = re.compile(
    r"(?:[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)


def _label_key(text: str) -> str:
    if not _LABEL_KEY.fullmatch(text):
        raise ValueError
    return text


LabelKey = Annotated[
    str, Meta(extra={"reader": Reader("the key of a label, such as version or example.org/version", _label_key)})
]
LabelSelector = Annotated[
    LabelKey | None,
    about(
        "The key of a label: names have one part more, its value, and mean the EndpointSlices that have it. Kubernetes "
        "copies the labels of a Service to its slices.",
        unset="none",
    ),
]


class KubernetesNamer(Namer, frozen=True, tag="io.l5d.k8s", kw_only=True):
    """The services of a Kubernetes cluster, `/#/io.l5d.k8s/<namespace>/<port>/<service>`, live by watches.

    The port is a name or a number, as the Service has it. `<service>;zone=a` is a subset, by node, zone and pod.
    """

    host: ApiHost = None
    port: ApiPort = None
    tls: ApiTls = None
    token_file: ApiTokenFile = None
    label_selector: LabelSelector = None

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from api_contradictions(self.host, self.tls, self.token_file, ("host", "tls", "tokenFile"))


class KubernetesNamespaceNamer(KubernetesNamer, frozen=True, tag="io.l5d.k8s.ns", kw_only=True):
    """As `io.l5d.k8s` for the namespace that this agent is in: `/#/io.l5d.k8s.ns/<port>/<service>`."""

    env_var: Annotated[Text, about("The environment variable with the name of the namespace.")] = "POD_NAMESPACE"
