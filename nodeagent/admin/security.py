"""Who may ask what of the admin port. Pure.

Whoever can open a connection may read, unless `admin.security` says otherwise. Two kinds of callers that the
operator did not mean get in through a browser on the host, and are kept out by what the browser says of them:

* A page whose name was rebound to this address (DNS rebinding) asks under that name. So Host must be an IP
  address, `localhost` or the name of this machine, none of which the author of the page can give a meaning. Where
  the port listens beyond loopback, whoever reaches it may read, under whatever name: a scraper has its own for it.
* A page from elsewhere may send a POST without being allowed to (CSRF). So a request that could change
  something must come from this origin, as far as a browser says where from: Sec-Fetch-Site (W3C Fetch
  Metadata), else Origin (RFC 6454), else Referer (RFC 9110, 10.1.3). Other clients send none of them.

Where a token is set (`token.py`), whoever asks has to show it too, but for the paths that are public.

`admin.security` has the keys of linkerd 1.x: a path on the blacklist is refused, one on the whitelist is
served, and the rest goes by the switch of its category. The regular expressions match whole paths.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from nodeagent.admin.token import shows

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing (RFC 9110, 9.2.1)."""

CONTROL: Final = frozenset({"/admin/shutdown", "/logging.json"})
UI: Final = frozenset({"/", "/config.json", "/admin/metrics.json", "/delegator.json", "/explain.json", "/routers.json"})
UI_FILES: Final = "/static/"
"""linkerd 1.x's categories; what is in neither is diagnostics, probes and scrapes included."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request is not served: the status, and one line that says why."""

    status: int
    reason: str
    headers: Mapping[str, str] | None = None


CHALLENGES: Final = {"www-authenticate": 'Bearer realm="nodeagent", Basic realm="nodeagent"'}
"""What a 401 asks for (RFC 9110, 11.6.1); the second makes browsers ask for a password."""

NOT_FOUND: Final = Refusal(404, "Not Found")  # as for a page that does not exist


class PathRules:
    """`admin.security`: which paths are served at all."""

    def __init__(
        self,
        *,
        ui: bool = True,
        control: bool = True,
        diagnostics: bool = True,
        whitelist: Sequence[str] = (),
        blacklist: Sequence[str] = (),
    ) -> None:
        self._ui = ui
        self._control = control
        self._diagnostics = diagnostics
        self._whitelist = [re.compile(pattern) for pattern in whitelist]
        self._blacklist = [re.compile(pattern) for pattern in blacklist]

    def allow(self, path: str) -> bool:
        """Whether a path is served."""
        if any(pattern.fullmatch(path) for pattern in self._blacklist):
            return False
        if any(pattern.fullmatch(path) for pattern in self._whitelist):
            return True
        if path in CONTROL:
            return self._control
        return self._ui if path in UI or path.startswith(UI_FILES) else self._diagnostics


@dataclass(frozen=True, slots=True)
class Gate:
    """Decides on requests. `machine` is the name of this host; `exposed` that the port listens beyond loopback.

    `token` is what has to be shown, if anything.
    """

    rules: PathRules
    machine: str
    exposed: bool = False
    token: Callable[[], str] | None = None
    public: Sequence[re.Pattern[str]] = ()
    """Paths that need none."""

    def refusal(self, method: str, path: str, headers: Mapping[str, str]) -> Refusal | None:
        """Why a request is not served, or None. `headers` are looked up by names in lower case."""
        host = headers.get("host", "")
        reads = method in SAFE_METHODS
        if not (self.exposed and reads) and not is_own_host(host, self.machine):
            return Refusal(403, f"Host {host!r} is not a name of this agent: ask it by its IP address")
        if (
            self.token is not None
            and not self._is_public(path)
            and not shows(headers.get("authorization", ""), self.token())
        ):
            return Refusal(401, "show the token of the admin port: Authorization: Bearer TOKEN", CHALLENGES)
        if not self.rules.allow(path):
            return NOT_FOUND
        if not reads and not is_same_origin(headers, host):
            return Refusal(403, f"a {method} from a page of another origin is refused")
        return None

    def _is_public(self, path: str) -> bool:
        return any(pattern.fullmatch(path) for pattern in self.public)


def is_own_host(authority: str, machine: str) -> bool:
    """Whether a Host field (or none at all, as HTTP/1.0 may) is one that nobody else can point at this host."""
    name = _without_port(authority).lower().removesuffix(".")
    return (
        not authority
        or _is_ip_literal(name)
        or name == "localhost"
        or name.endswith(".localhost")  # always loopback (RFC 6761, 6.3)
        or name in (machine.lower(), machine.lower().partition(".")[0])
    )


def is_same_origin(headers: Mapping[str, str], host: str) -> bool:
    """Whether a request comes from a page of this origin, or from no page, as far as its headers say."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    source = headers.get("origin", headers.get("referer"))
    return source is None or _authority(source) == host.lower()


def _authority(url: str) -> str | None:
    try:
        return urlsplit(url).netloc.lower() or None
    except ValueError:
        return None


def _without_port(authority: str) -> str:
    host, colon, port = authority.rpartition(":")
    return host if colon and port.isdigit() and (":" not in host or host.endswith("]")) else authority


def _is_ip_literal(name: str) -> bool:
    try:
        ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
