"""Takes secrets out of what is handed to strangers. Pure.

The agent's own pages show no secret of its configuration. But names, URLs, tables and errors come from others, and may
hold what was never meant for them: credentials before a host, tokens in a query, a password in a log line. So all of it
goes through here, and what looks like a secret is taken for one: too much is better than too little.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

REDACTED: Final = "REDACTED"

_WORDS: Final = (
    r"token|passw(?:or)?d|passwd|pwd|passphrase|secret|api[_-]?key|access[_-]?key|private[_-]?key|credentials?|"
    r"authorization|cookie|session(?:[_-]?id)?|signature|sig|auth"
)

_KEY: Final = re.compile(rf"(?i)(?:.*[_.-])?(?:[a-z]*)(?:{_WORDS})s?(?:[_-]?(?:value|header))?\Z")
"""Keys of mappings whose text is a secret."""

_NOT_SECRET: Final = frozenset({"session", "sessions", "tokenfile", "author"})

_PATTERNS: Final = (
    # A key in PEM form, whatever its kind.
    (
        "-----BEGIN",
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    ),
    # Credentials of an authorization field, and what looks like a JWT wherever it stands.
    ("", re.compile(r"(?i)\b((?:bearer|basic|digest|negotiate|apikey)[ =:]+)[A-Za-z0-9+/=_.~-]{6,}")),
    ("eyJ", re.compile(r"\beyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?")),
    # user:password@ in a URL, and in a Host, a target of CONNECT or an error that has no more than that.
    ("@", re.compile(r"(://)[^/?#\s\"'@]{1,512}(?=@)")),
    ("@", re.compile(r"[^\s/@\"'<>:=,]{1,256}:[^\s/@\"'<>]{1,512}(?=@[\w\[])")),
    # key=value and "key": "value".
    (
        "",
        re.compile(
            rf"(?i)((?<![A-Za-z])[A-Za-z_.-]{{0,32}}(?:{_WORDS})[A-Za-z_-]{{0,16}}[\"']?\s{{0,2}}[=:]\s{{0,2}})"
            r"(?:\"[^\"]{1,4096}\"|'[^']{1,4096}'|[^\s\"'&;,<>(){}\[\]]{1,4096})"
        ),
    ),
)
"""What is in every text that can match, and what matches."""

_QUERY: Final = re.compile(r"((?:https?:/)?/[^\s\"'?#]{0,4096})\?[^\s\"'#]{1,8192}")


def redact(text: str) -> str:
    """Return a text without secrets, and URLs and paths in it without their queries."""
    if "?" in text:
        text = _QUERY.sub(rf"\1?{REDACTED}", text)
    for sign, pattern in _PATTERNS:
        if sign not in text:  # the search for what may begin anywhere takes long in a text that is made for that
            continue
        text = pattern.sub(lambda found: (found[1] if found.re.groups else "") + REDACTED, text)
    return text


def redact_document(value: Any) -> Any:
    """Return a JSON value without secrets: as `redact` all texts, and whole where the key says that it is one."""
    match value:
        case str():
            return redact(value)
        case Mapping():
            return {redact(key): _under(key, each) for key, each in value.items()}
        case list():
            return [redact_document(each) for each in value]
        case _:
            return value


def is_secret_key(key: str) -> bool:
    """Whether what stands under a key is a secret by its name; a file's name is none."""
    return key.lower() not in _NOT_SECRET and _KEY.match(key) is not None


def _under(key: str, value: Any) -> Any:
    if is_secret_key(key):
        if isinstance(value, str) and value:
            return REDACTED
        if isinstance(value, Mapping) and isinstance(value.get("value"), str):  # as in /config.json, with its origin
            return redact_document({**value, "value": REDACTED})
    return redact_document(value)
