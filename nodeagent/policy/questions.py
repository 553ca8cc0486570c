"""What the rules of a router would say of a request: for `nodeagent explain --as` and `/explain.json`. Pure."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any, TypeAlias

from conf.access import DEFAULT, uid_of
from namer.path import Path
from nodeagent.policy.call import TUNNEL, Call
from nodeagent.policy.decision import ALLOW
from nodeagent.policy.rules import Rules
from nodeagent.proxy.caller import Caller
from nodeagent.proxy.messages import RequestHead

Json: TypeAlias = dict[str, Any]

LOCAL = "127.0.0.1"
"""Where a user of this host is taken to call from."""


def caller_of(text: str) -> tuple[Caller, str, str | None]:
    """Return who is meant: caller, address and identity. `uid:app1`, `uid:1000`, `10.0.0.7`, `spiffe://a/b`.

    Raises ValueError.
    """
    if text.startswith("uid:"):
        return Caller(uid_of(text.removeprefix("uid:")), ""), LOCAL, None
    try:
        address = str(ip_address(text))
    except ValueError:
        if not text or not text.isprintable():
            raise ValueError("expected uid:NAME, an IP address or an identity") from None
        return Caller(None, ""), "", text
    return Caller(None, address), address, None


def head_of(text: str, method: str) -> RequestHead:
    """Return the head of a request for a URL, or for a name; `https://users/` is a tunnel."""
    scheme, mark, rest = text.partition("://")
    if mark and scheme.lower() == "https":
        return RequestHead(TUNNEL, b"", b"", 11, b"", {})
    path = "/" + rest.partition("/")[2] if mark else "/"
    asked = path.partition("#")[0].encode("utf-8", "surrogateescape")
    return RequestHead(method.encode(), b"", b"" if method == "CONNECT" else asked, 11, b"", {})


def judged(rules: Rules | None, who: str, name: Path, head: RequestHead, *, led_on: bool) -> Json:
    """Return what becomes of a request without headers, and what each rule has to do with that.

    Raises ValueError when nobody can be `who`.
    """
    call = Call(*caller_of(who), name, head, led_on=led_on)
    shown: Json = {"as": who, "method": head.method.decode(), "url_path": head.path.decode("utf-8", "replace")}
    if rules is None:
        return shown | {"verdict": ALLOW, "rule": DEFAULT, "rules": []}
    tried = [
        {
            "rule": each.rule,
            "action": each.action,
            "decides": each.decides,
            "fits": each.fits.name.lower(),
            "why": each.why,
        }
        for each in rules.tried(call)
    ]
    return shown | rules.decide(call).show() | {"rules": tried}
