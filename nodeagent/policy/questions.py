"""What the rules of a router would say of a request: for `nodeagent explain --as` and `/explain.json`. Pure."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any, TypeAlias

from conf.access import DEFAULT, uid_of
from namer.path import Path
from nodeagent.policy.call import TUNNEL, Call
from nodeagent.policy.decision import ALLOW
from nodeagent.policy.rules import Rules
from nodeagent.proxy.caller import Caller, is_cgroup
from nodeagent.proxy.messages import RequestHead

Json: TypeAlias = dict[str, Any]

LOCAL = "127.0.0.1"
"""Where a user of this host is taken to call from."""


def caller_of(text: str) -> tuple[Caller, str, str | None]:
    """Return who is meant: caller, address and identity.

    `uid:app1`, `uid:1000`, `cgroup:/system.slice/web.service`, `uid:app1,cgroup:/a/b`, `10.0.0.7`, `spiffe://a/b`.
    Raises ValueError.
    """
    if text.startswith(("uid:", "cgroup:")):
        return _local(text), LOCAL, None
    try:
        address = str(ip_address(text))
    except ValueError:
        if not text or not text.isprintable():
            raise ValueError("expected uid:NAME, cgroup:/PATH, an IP address or an identity") from None
        return Caller(None, ""), "", text
    return Caller(None, address), address, None


def _local(text: str) -> Caller:
    user, mark, path = text.partition(",cgroup:") if text.startswith("uid:") else ("", *text.partition("cgroup:")[1:])
    if mark and not is_cgroup(path):
        raise ValueError(f"{path} is no path of a cgroup such as /system.slice/web.service")
    uid = uid_of(user.removeprefix("uid:")) if user else None
    return Caller(uid, "", here=uid is None, cgroup=path or None)


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
