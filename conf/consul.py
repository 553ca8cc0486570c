"""Consul: its catalogue as a namer, and what its sections have in common with the interpreter of its store."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, field

from conf.fields import CountFromZero, Port, Secret, Text, about, one_of
from conf.namer import Namer
from conf.section import Section
from conf.tls import ApiTlsKeys

Host = Annotated[Text, about("The host that Consul listens on.", why="Consul runs an agent on every host")]
HttpPort = Annotated[Port, about("The port of its HTTP interface.")]
Token = Annotated[Secret | None, about("Consul's token (ACL).", unset="none is sent")]
TokenFile = Annotated[
    Text | None,
    about(
        "A file with the token, which goes before `token`. It is read for each query, so it may change at any time.",
        why="secrets do not belong into a configuration",
        like="none",
        unset="none",
    ),
]
Consistency = Annotated[
    str,
    one_of("default", "stale", "consistent"),
    about("How sure an answer must be, as in Consul's documentation.", why="Consul's own default"),
]
FailFast = Annotated[bool, about("Accepted. Consul is asked again after 0.1 to 5 seconds in any case.")]
StoreDatacenter = Annotated[Text | None, about("The datacenter whose store it is.", unset="that of the Consul asked")]
Tls = Annotated[ApiTlsKeys | None, about("TLS to Consul.", unset="plain HTTP")]

HealthStatus = Annotated[str, one_of("passing", "warning", "critical", "maintenance", "any")]


class TagWeight(Section, frozen=True, kw_only=True):
    """The weight of instances with a tag."""

    tag: Annotated[Text, about("The tag, case and all.")]
    weight: Annotated[float, Meta(ge=0.001, le=1_000_000.0), about("Their weight; others have 1.")]


class ConsulNamer(Namer, frozen=True, tag="io.l5d.consul", kw_only=True):
    """The services of Consul's catalogue, `/#/io.l5d.consul/<datacenter>/<service>`, live by blocking queries.

    The datacenter `.local` is that of the Consul that is asked. `<service>;v=2` is a subset, by tags and metadata.
    """

    host: Host = "localhost"
    port: HttpPort = 8500
    include_tag: Annotated[
        bool, about("Names are `<datacenter>/<tag>/<service>`, of the instances that have the tag.")
    ] = False
    use_health_check: Annotated[
        bool | None,
        about(
            "`true`: only instances with a status in `healthStatuses`; `false`: all, whatever their checks say.",
            why="an instance whose checks fail is not to be called, and one with a warning is",
            like="Consul's own DNS; linkerd 1.x: as `false`",
            unset="all instances but those with a failing check or under maintenance",
        ),
    ] = None
    health_statuses: Annotated[
        tuple[HealthStatus, ...],
        Meta(min_length=1),
        about("The statuses that may serve, with `useHealthCheck`. The worst check of an instance counts."),
    ] = ("passing",)
    token: Token = None
    token_file: TokenFile = None
    set_host: Annotated[
        bool, about("`Host` becomes Consul's name of the service, `[tag.]<service>.service.<datacenter>.<domain>`.")
    ] = False
    consistency_mode: Consistency = "default"
    fail_fast: FailFast = False
    prefer_service_address: Annotated[
        bool, about("An instance's own address, if it has one; `false`: always that of its node.")
    ] = True
    weights: Annotated[
        tuple[TagWeight, ...],
        about("Weights by tag, the largest counts.", unset="the weights that the instances have in Consul, usually 1"),
    ] = ()
    fixed_length_streamed_after_kb: Annotated[
        CountFromZero, about("Accepted. Answers of up to 32 MB are read, whatever their form.")
    ] = field(default=5120, name="fixedLengthStreamedAfterKB")
    transfer_metadata: Annotated[
        bool, about("Accepted. Tags and metadata always go along with an endpoint: subsets are made of them.")
    ] = False
    tls: Tls = None
