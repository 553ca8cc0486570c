"""The namers that are always there, under `/$/`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from namer import hostport, http
from namer.hosts import Hosts
from namer.inet import InetNamer, RinetNamer, UnixNamer
from namer.namer import ConstantNamer, Namer, RewritingNamer
from namer.nametree import EMPTY, FAIL
from namer.path import Path

PREFIX: Final = Path(("$",))


def builtin_namers(hosts: Hosts) -> Mapping[str, Namer]:
    """The namers by the label that follows `/$`.

    Those that find the host in the name give its place there (`Bound.host_at`), or a request could spell it out
    unjudged.
    """
    return {
        "nil": ConstantNamer(EMPTY),
        "fail": ConstantNamer(FAIL),
        "inet": InetNamer(PREFIX / "inet", hosts.addr),
        "fixedinet": InetNamer(PREFIX / "fixedinet", hosts.fixed_addr),
        "unix": UnixNamer(PREFIX / "unix"),
        "io.buoyant.rinet": RinetNamer(PREFIX / "io.buoyant.rinet", hosts.addr),
        "io.buoyant.hostportPfx": RewritingNamer(hostport.hostport_pfx),
        "io.buoyant.porthostPfx": RewritingNamer(hostport.porthost_pfx),
        "io.buoyant.http.anyMethod": RewritingNamer(http.any_method),
        "io.buoyant.http.anyMethodPfx": RewritingNamer(http.any_method_pfx),
        "io.buoyant.http.anyHost": RewritingNamer(http.any_host),
        "io.buoyant.http.anyHostPfx": RewritingNamer(http.any_host_pfx),
        "io.buoyant.http.subdomainOf": RewritingNamer(http.subdomain_of),
        "io.buoyant.http.subdomainOfPfx": RewritingNamer(http.subdomain_of_pfx),
        "io.buoyant.http.domainToPath": RewritingNamer(http.domain_to_path),
        "io.buoyant.http.domainToPathPfx": RewritingNamer(http.domain_to_path_pfx),
        "io.buoyant.http.status": http.StatusNamer(http.STATUS_PREFIX),
    }
