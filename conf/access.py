"""Who may call what: the rules of a router."""

from __future__ import annotations

import pwd
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Final

from msgspec import Meta, field

from conf.authorizers import AnyAuthorizer, AuthorizerName
from conf.errors import quote
from conf.fields import ONE_OR_MANY, HeaderName, Reader, Text, about, one_of
from conf.globs import Template, cgroup_template, identity_template, name_template, path_template
from conf.guard import AddressRange
from conf.rulestores import AnyRuleStore
from conf.section import Section
from conf.tokens import Tokens
from namer.grammar import NameSyntaxError

DEFAULT: Final = "default"
"""What decides where no rule does, as if it were the name of a rule."""

TOKENS: Final = "tokens"
"""What refuses a token that is not good, in the same way."""


UNKNOWN: Final = "unknown"
"""What refuses everything while the rules are not known, in the same way."""

_RESERVED: Final = {
    DEFAULT: "that is what decides where no rule does",
    TOKENS: "that is what refuses tokens that are not good",
    UNKNOWN: "that is what refuses everything while the rules are not known",
}


def uid_of(text: str) -> int:
    """Return the number of a user of this host, by name or number. Raises ValueError."""
    if text.isascii() and text.isdigit():
        if int(text) >= 2**32 - 1:
            raise ValueError("it is no number of a user")
        return int(text)
    try:
        return pwd.getpwnam(text).pw_uid
    except (KeyError, ValueError):  # ValueError: a NUL in it
        raise ValueError("this host has no such user; a number needs no name") from None


def _user(text: str) -> str:
    uid_of(text)
    return text


def _method(text: str) -> str:
    if not (text.isascii() and text.replace("-", "").isalpha()) or text != text.upper():
        raise ValueError("methods are upper case" if text.upper() != text else "")
    return text


def _value(text: str) -> str:
    if text != text.strip() or not text.isprintable():
        raise ValueError
    return text


def _template(read: Callable[[str], Template]) -> Callable[[str], str]:
    def check(text: str) -> str:
        try:
            read(text)
        except NameSyntaxError as error:
            raise ValueError(error.message) from None
        return text

    return check


def _read_by(takes: str, read: Callable[[str], object]) -> Meta:
    return Meta(extra={"reader": Reader(takes, read)})


Identity = Annotated[
    str, _read_by("an identity such as spiffe://example.org/svc/web, or a template", _template(identity_template))
]
Service = Annotated[str, _read_by("a name such as /svc/users, or a template", _template(name_template))]
UrlTemplate = Annotated[
    str, _read_by("the path of a URL such as /users/photo, or a template", _template(path_template))
]
Cgroup = Annotated[
    str,
    _read_by("the path of a cgroup such as /system.slice/web.service, or a template", _template(cgroup_template)),
]
User = Annotated[str, _read_by("the name or the number of a user", _user)]
Method = Annotated[str, Meta(min_length=1, max_length=32), _read_by("a method such as GET", _method)]
HeaderText = Annotated[str, Meta(max_length=1024), _read_by("printable text without blanks around it", _value)]
ClaimName = Annotated[str, Meta(min_length=1, max_length=256)]
RuleName = Annotated[str, Meta(min_length=1, max_length=64), _read_by("printable text", _value)]


class Callers(Section, frozen=True):
    """Somebody for whom all of the keys that are given hold; of the list of a key one entry is enough."""

    identities: Annotated[
        Annotated[tuple[Identity, ...], Meta(min_length=1)] | None,
        about(
            "Who the certificate of a caller by TLS says it is.",
            like="Istio's `principals`; none in 1.x",
            unset="whoever it is",
        ),
    ] = None
    networks: Annotated[
        Annotated[tuple[AddressRange, ...], Meta(min_length=1)] | None,
        about(
            "The address that the connection comes from; what calls by a Unix socket has none.",
            like="Istio's `ipBlocks`; none in 1.x",
            unset="wherever it comes from",
        ),
    ] = None
    users: Annotated[
        Annotated[tuple[User, ...], Meta(min_length=1)] | None,
        about(
            "The user of a program of this host, as the kernel tells it for loopback and Unix sockets.",
            like="none",
            unset="any user, and callers from elsewhere",
        ),
    ] = None
    cgroups: Annotated[
        Annotated[tuple[Cgroup, ...], Meta(min_length=1)] | None,
        about(
            "The cgroup (v2) of a program of this host, which is the service of systemd or the container that it runs "
            "in: of loopback that in which its socket was made, of Unix sockets that of the process that connected. "
            "`/system.slice/web.service` is just that cgroup, with `/**` after it also those below.",
            like="none",
            unset="any cgroup, and callers from elsewhere",
        ),
    ] = None
    claims: Annotated[
        Mapping[ClaimName, Annotated[tuple[Text, ...], Meta(min_length=1)]] | None,
        about(
            "What the token of the request says (`tokens` of the policy), all that are listed: `{group: [a, b]}` holds "
            "where `group` is one of these, or a list with one of them. `scope` is a list of words.",
            like="Istio's `when`",
            unset="whatever it says, and requests without one",
        ),
    ] = None

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """A caller of whom nothing is said."""
        said = (self.identities, self.networks, self.users, self.cgroups, self.claims or None)
        if all(each is None for each in said):
            yield "users", "says nothing of who calls; leave `who` out for everybody"


class Calls(Section, frozen=True):
    """A request for which all of the keys that are given hold; of the list of a key one entry is enough."""

    services: Annotated[
        Annotated[tuple[Service, ...], Meta(min_length=1)] | None,
        about(
            "The logical name, as the identifier made it. A subset (`users;v=2`) counts as its service.",
            like="none",
            unset="any name",
        ),
    ] = None
    methods: Annotated[
        Annotated[tuple[Method, ...], Meta(min_length=1)] | None,
        about("The method.", like="Istio; none in 1.x", unset="any method"),
    ] = None
    paths: Annotated[
        Annotated[tuple[UrlTemplate, ...], Meta(min_length=1)] | None,
        about("The path of the URL that is sent on, without the query.", like="Istio; none in 1.x", unset="any path"),
    ] = None
    headers: Annotated[
        Mapping[HeaderName, HeaderText] | None,
        about(
            "Headers of the request, all of them: `{x-team: blue}` must be there once with just that value, "
            "`{x-team: '*'}` must be there.",
            like="none",
            unset="any headers",
        ),
    ] = None

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """What is said of nothing, and a tunnel that should have a path."""
        if self.services is None and self.methods is None and self.paths is None and not self.headers:
            yield "services", "says nothing of what is called; leave `what` out for everything"
        if self.methods == ("CONNECT",) and self.paths is not None:
            yield "paths", "CONNECT has no path; leave one of them out"


class AccessRule(Section, frozen=True, kw_only=True):
    """One rule: callers, what they call, and what becomes of that."""

    name: Annotated[
        RuleName | None,
        about("What metrics, logs and records call it; unique.", like="none", unset="`rules[0]`, by its place"),
    ] = None
    who: Annotated[
        Annotated[tuple[Callers, ...], Meta(min_length=1), ONE_OR_MANY] | None,
        about("Who calls: any of these.", like="Istio's `from`; none in 1.x", unset="everybody"),
    ] = None
    what: Annotated[
        Annotated[tuple[Calls, ...], Meta(min_length=1), ONE_OR_MANY] | None,
        about("What is called: any of these.", like="Istio's `to`; none in 1.x", unset="everything"),
    ] = None
    action: Annotated[
        Annotated[str, one_of("allow", "deny", "audit", "ask")],
        about(
            "`allow` and `deny` decide, and so does `ask`, by what `authorizer` says. `audit` decides nothing: who "
            "passes by what follows all the same is counted and logged as one whom it would have refused.",
            like="Istio, Cilium and Calico; none in 1.x",
        ),
    ]
    authorizer: Annotated[AuthorizerName | None, about("Whom `ask` asks.", like="none", unset="nobody")] = None
    when_down: Annotated[
        Annotated[str, one_of("allow", "deny")] | None,
        about(
            "What becomes of a request when `authorizer` gives no answer: it is down, too slow, asked too much, or "
            "talks nonsense.",
            like="Envoy's `failure_mode_allow`",
            unset="deny",
        ),
    ] = None

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Asking without anybody to ask, and the other way round."""
        if self.action == "ask" and self.authorizer is None:
            yield "authorizer", "missing; expected the name of one of authorizers, whom to ask"
        if self.action != "ask":
            for key in ("authorizer", "whenDown"):
                if (self.authorizer if key == "authorizer" else self.when_down) is not None:
                    yield key, "is for action: ask"


class AccessPolicy(Section, frozen=True):
    """Who may call what. Rules are tried in order, and the first that fits and allows or denies decides.

    In the templates of identities, cgroups, services and paths `*` stands for any characters of one segment, and `/**`
    at the end for all that follows, or nothing.
    It is judged once a request has its name and before that is looked up. The answer to who is refused is 403.
    """

    default: Annotated[
        Annotated[str, one_of("allow", "deny", "audit")],
        about(
            "What holds where no rule decides. `audit`: allowed, and counted and logged as what `deny` would refuse.",
            why="a mesh that is new to a host must not stop it",
            like="Istio without rules; linkerd 1.x: allow",
        ),
    ] = "allow"
    rules: Annotated[tuple[AccessRule, ...], about("The rules.", like="none")] = ()
    source: Annotated[
        AnyRuleStore | None,
        about(
            "Where the rules come from, in the place of `rules`. `default` is that of texts which say none.",
            like="none",
            unset="`rules`",
        ),
    ] = field(default=None, name="from")
    authorizers: Annotated[
        tuple[AnyAuthorizer, ...],
        about("Programs that rules ask, such as Open Policy Agent.", like="Envoy's `ext_authz`; none in 1.x"),
    ] = ()

    tokens: Annotated[
        Tokens | None,
        about("Tokens of callers.", like="Istio's RequestAuthentication; none in 1.x", unset="nobody looks at them"),
    ] = None

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Rules of one name."""
        if self.source is not None and self.rules:
            yield "rules", "cannot stand beside from, which says where they come from; leave one of them out"
        seen: set[str] = set()
        for name in self.names:
            if name in _RESERVED:
                yield "rules", f"no rule may be called {name}: {_RESERVED[name]}"
            elif name in seen:
                yield "rules", f"two rules are called {quote(name)}; give each its own name"
            seen.add(name)
        known = [each.name for each in self.authorizers]
        for name in sorted({name for name in known if known.count(name) > 1}):
            yield "authorizers", f"two are called {quote(name)}; give each its own name"
        if self.tokens is None and any(each.claims for rule in self.rules for each in rule.who or ()):
            yield "tokens", "missing; expected whose tokens have the claims that rules ask for"
        for rule in self.rules:
            if rule.authorizer is not None and rule.authorizer not in known:
                yield "rules", f"no authorizer is called {quote(rule.authorizer)}; list it below authorizers"

    @property
    def may_ask_for_cgroups(self) -> bool:
        """Whether it matters in which cgroup a caller is; it may whenever the rules come from elsewhere."""
        by_rules = any(each.cgroups for rule in self.rules for each in rule.who or ())
        return by_rules or self.source is not None or any("cgroup" in each.input for each in self.authorizers)

    @property
    def names(self) -> tuple[str, ...]:
        """What the rules are called, in order."""
        return tuple(rule.name or f"rules[{index}]" for index, rule in enumerate(self.rules))
