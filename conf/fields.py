"""What the value of a key may be: types with their ranges, and how texts are read.

A schema says `port: Annotated[Port, about("...")] = 9990`. Ranges come from `msgspec.Meta`; what msgspec does
not know (how a text is read, which values work already, what the reference says) goes along in `Meta.extra`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated, Final

from msgspec import Meta

from conf.regex import check_regex
from namer.addr import check_socket_path
from namer.dns.settings import is_name
from namer.dtab import ANY, Dtab
from namer.grammar import NameSyntaxError
from namer.path import Path, show_label
from namer.pattern import Capture, PathPattern

_LARGEST: Final = 2**31 - 1  # linkerd's numbers are Java's int; 24 days in milliseconds
_MODE: Final = re.compile(r"0?[0-7]{3}")
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}")
_METRIC_PREFIX: Final = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]{0,99}|")
_STATSD_PREFIX: Final = re.compile(r"[A-Za-z0-9_.-]{0,100}")
LOG_TARGETS: Final = ("stdout", "journald")
_URL_PATH: Final = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@%/-]{0,255}")


@dataclass(frozen=True, slots=True)
class About:
    """What the reference says of a key: what it does, why that default, who else has it, what if not set."""

    text: str
    why: str
    like: str
    unset: str


@dataclass(frozen=True, slots=True)
class Reader:
    """How a text becomes a value. `read` raises ValueError, with a reason if `takes` does not say it all."""

    takes: str
    read: Callable[[str], object]


def about(text: str, *, why: str = "", like: str = "linkerd 1.x", unset: str = "") -> Meta:
    """Describe a key for the reference."""
    return Meta(extra={"about": About(text, why, like, unset)})


def only(*values: object, feature: str) -> Meta:
    """Of the values in range only these work now; the others need *feature*, which is not built yet."""
    return Meta(extra={"only": values, "feature": feature})


def one_of(*words: str) -> Meta:
    """A text that is one of these words."""

    def read(text: str) -> str:
        if text not in words:
            raise ValueError
        return text

    return _read_by(" or ".join(words) if len(words) == 2 else f"one of {', '.join(words)}", read)


def show_pattern(pattern: PathPattern) -> str:
    """A pattern as written."""
    shown = []
    for segment in pattern.segments:
        match segment:
            case Capture(name):
                shown.append(f"{{{name}}}")
            case str():
                shown.append(show_label(segment))
            case _:
                assert segment is ANY
                shown.append("*")
    return "/" + "/".join(shown)


def _read_by(takes: str, read: Callable[[str], object]) -> Meta:
    return Meta(extra={"reader": Reader(takes, read)})


def _matching(pattern: re.Pattern[str]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError
        return text

    return read


def _ip(text: str) -> str:
    try:
        return "127.0.0.1" if text == "localhost" else str(ip_address(text))
    except ValueError:
        raise ValueError from None  # what is expected is said better by `takes`


def _host(text: str) -> str:
    try:
        return text if is_name(text) else str(ip_address(text))
    except ValueError:
        raise ValueError from None


def _label(text: str) -> str:
    if not text.isprintable():
        raise ValueError
    return text


def _socket_path(text: str) -> str:
    try:
        return check_socket_path(text)
    except ValueError as problem:
        raise ValueError(str(problem) if text.startswith("/") else "") from None


def _log_target(text: str) -> str:
    if text in LOG_TARGETS:
        return text
    if not text.startswith("/") or not text.isprintable():
        raise ValueError
    if text.endswith("/"):
        raise ValueError("it is a directory")
    return text


def _mode(text: str) -> str:
    if not _MODE.fullmatch(text):
        raise ValueError
    return text


def _logical_name(text: str) -> Path:
    try:
        name = Path.parse("/" + text.removeprefix("/"))
    except NameSyntaxError as error:
        raise ValueError(error.message) from None
    if not len(name):
        raise ValueError
    return name


def _pattern(text: str) -> str:
    PathPattern.parse(text)
    return text


READERS: Final[dict[type, Reader]] = {
    Path: Reader("a path such as /svc", Path.parse),
    Dtab: Reader("a delegation table (dtab)", Dtab.parse),
    PathPattern: Reader("the beginning of a path, with * and {captures}", PathPattern.parse),
}
"""How a text becomes a value of a class of the namer; a NameSyntaxError says where it is wrong."""

ONE_OR_MANY: Final = Meta(extra={"one_or_many": True})
"""A list that may also be given as its only item."""

OR_KEYS: Final = Meta(extra={"or_keys": True})
"""A mapping that may also be given as the list of its keys, with nothing for each."""

NOT_A_KEY: Final = Meta(extra={"not_a_key": True})
"""A field that no text gives."""

Port = Annotated[int, Meta(ge=0, le=65535)]
Count = Annotated[int, Meta(ge=1, le=_LARGEST)]
CountFromZero = Annotated[int, Meta(ge=0, le=_LARGEST)]
Millis = Annotated[int, Meta(ge=1, le=_LARGEST)]
MillisFromZero = Annotated[int, Meta(ge=0, le=_LARGEST)]
Kilobytes = Annotated[int, Meta(ge=1, le=1024 * 1024)]
Ratio = Annotated[float, Meta(ge=0.0, le=1.0)]
Text = Annotated[str, Meta(min_length=1, max_length=4096)]
Secret = Annotated[str, Meta(max_length=4096, extra={"secret": True})]
IpAddress = Annotated[str, _read_by("an IP address such as 127.0.0.1 or ::1", _ip)]
HostName = Annotated[str, _read_by("the name of a host, or an IP address", _host)]
HeaderName = Annotated[str, _read_by("the name of a header, such as Host", _matching(_TOKEN))]
CookieName = Annotated[str, _read_by("the name of a cookie, such as session", _matching(_TOKEN))]
LogicalName = Annotated[Path, _read_by("a name such as users or users/db", _logical_name)]
SocketPath = Annotated[str, _read_by("the absolute path of a Unix socket", _socket_path)]
LogTarget = Annotated[
    str, Meta(max_length=4096), _read_by("stdout, journald or the absolute path of a file", _log_target)
]
LogFile = Annotated[str, Meta(min_length=1, max_length=4096), _read_by("the path of a file", _label)]
FileMode = Annotated[str, _read_by('permissions in quotes, such as "0660"', _mode)]
Regex = Annotated[str, _read_by("a regular expression", check_regex)]
Label = Annotated[str, Meta(min_length=1, max_length=100), _read_by("printable text", _label)]
Pattern = Annotated[str, _read_by("the beginning of a path, with * and {captures}", _pattern)]
UrlPath = Annotated[str, _read_by("the path of a page, such as /metrics", _matching(_URL_PATH))]
MetricPrefix = Annotated[str, _read_by("letters, digits, _ and :, no digit first", _matching(_METRIC_PREFIX))]
StatsdPrefix = Annotated[str, _read_by("letters, digits, _, . and -", _matching(_STATSD_PREFIX))]
