"""Templates, and which paths of URLs have one meaning."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote, unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from conf.globs import (
    Template,
    cgroup_template,
    identity_template,
    name_template,
    normal_segments,
    overlap,
    path_template,
)
from namer.path import Path


@pytest.mark.parametrize(
    ("template", "fits", "others"),
    [
        ("/svc/users", ["/svc/users"], ["/svc", "/svc/users/db", "/svc/user", "/svc/userss"]),
        ("/svc/*", ["/svc/users", "/svc/a:80"], ["/svc", "/svc/users/db"]),
        ("/svc/**", ["/svc", "/svc/users", "/svc/users/db"], ["/srv", "/"]),
        ("/**", ["/", "/svc", "/svc/a"], []),
        ("/svc/*.example.com:443", ["/svc/a.example.com:443", "/svc/a.b.example.com:443"], ["/svc/example.com:443"]),
        ("/svc/a*b*c", ["/svc/abc", "/svc/axbxc", "/svc/abbcc"], ["/svc/ac", "/svc/acb", "/svc/abcd"]),
        ("/svc/aa*aa", ["/svc/aaaa", "/svc/aaxaa"], ["/svc/aaa", "/svc/aa"]),
        ("/svc/a\\x20b", ["/svc/a\\x20b"], ["/svc/a"]),
    ],
)
def test_templates_of_names(template: str, fits: list[str], others: list[str]) -> None:
    made = name_template(template)
    assert [name for name in fits + others if made.fits(Path.parse(name).labels)] == fits


@pytest.mark.parametrize(
    ("template", "fits", "others"),
    [
        ("/a.slice/b@1.service", ["/a.slice/b@1.service"], ["/a.slice", "/a.slice/b@1.service/c"]),
        ("/a.slice/**", ["/a.slice", "/a.slice/b/c"], ["/b.slice"]),
        ("/pods/cri-containerd:*", ["/pods/cri-containerd:abc"], ["/pods/docker:abc"]),
        ("/a\\x2db", ["/a\\x2db"], ["/a-b"]),
    ],
)
def test_templates_of_cgroups(template: str, fits: list[str], others: list[str]) -> None:
    made = cgroup_template(template)
    assert [path for path in fits + others if made.fits(path[1:].split("/"))] == fits


@pytest.mark.parametrize("template", ["", "a", "/a/", "//a", "/a/../b", "/./a", "/a/**/b", "/caf\u00e9", "/a\n"])
def test_what_is_no_template_of_cgroups(template: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - some say no more than that
        cgroup_template(template)


@pytest.mark.parametrize(
    ("template", "fits", "others"),
    [
        ("spiffe://example.org/svc/web", ["spiffe://example.org/svc/web"], ["spiffe://example.org/svc/web2"]),
        ("spiffe://example.org/svc/*", ["spiffe://example.org/svc/web"], ["spiffe://example.org/svc/web/x"]),
        ("spiffe://example.org/**", ["spiffe://example.org/svc/web"], ["spiffe://example.org.evil.com/svc/web"]),
        ("web.example.org", ["web.example.org"], ["web.example.org/x"]),
    ],
)
def test_templates_of_identities(template: str, fits: list[str], others: list[str]) -> None:
    made = identity_template(template)
    assert [each for each in fits + others if made.fits(each.split("/"))] == fits


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (name_template, "svc"),
        (name_template, "/svc/**/x"),
        (name_template, "/svc/a**"),
        (name_template, "/svc//x"),
        (name_template, "/svc/users\\x3bv"),
        (name_template, "/a" * 33),
        (path_template, "users"),
        (path_template, "/a//b"),
        (path_template, "/a/../b"),
        (path_template, "/a?b"),
        (path_template, "/a;b"),
        (path_template, "/a%2fb"),
        (identity_template, ""),
        (identity_template, "spiffe://a b"),
    ],
)
def test_what_is_no_template(read: Callable[[str], Template], text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  (what it says is shown by the stories of the configuration)
        read(text)


@pytest.mark.parametrize(
    ("path", "segments"),
    [
        (b"/", ()),
        (b"/admin", ("admin",)),
        (b"/admin/", ("admin",)),
        (b"/%61dmin", ("admin",)),
        (b"/%41%64min", ("Admin",)),
        (b"/caf%C3%A9/x", ("café", "x")),
        ("/café".encode(), ("café",)),
        (b"/a%20b/c+d", ("a b", "c+d")),
        (b"/100%25", ("100%",)),
        (b"/...", ("...",)),
        (b"/%3Fx", ("?x",)),
    ],
)
def test_paths_with_one_meaning(path: bytes, segments: tuple[str, ...]) -> None:
    assert normal_segments(path) == segments


AMBIGUOUS = [
    b"", b"*", b"admin", b"//", b"//admin", b"/admin//", b"/a//b", b"/./admin", b"/a/../admin", b"/a/..", b"/.",
    b"/a/%2e%2e/admin", b"/a/%2E./admin", b"/a/.%2e/admin", b"/%2e/admin", b"/admin;x", b"/admin;x=1/y", b"/admin%3Bx",
    b"/a/..;/admin", b"/%2Fadmin", b"/a%2fadmin", b"/a\\..\\admin", b"/a%5Cadmin", b"/admin%00", b"/admin%0a", b"/%",
    b"/%zz", b"/a%2", b"/%252e%252e/admin", b"/%2561dmin", b"/%c0%ae%c0%ae/admin", b"/\xff", b"/admin%23",
    b"/admin\x7f",
]  # fmt: skip


@pytest.mark.parametrize("path", AMBIGUOUS)
def test_paths_that_servers_read_in_different_ways(path: bytes) -> None:
    assert normal_segments(path) is None


def lenient(path: bytes, *, twice: bool, merges: bool, params: bool, windows: bool) -> tuple[str, ...]:
    """What a server makes of a path that decodes, then does what some servers do."""
    text = path.decode("utf-8", "replace")
    for _ in range(2 if twice else 1):
        text = unquote(text)
    text = text.partition("\0")[0]
    if windows:
        text = text.replace("\\", "/")
    found: list[str] = []
    for part in text.split("/")[1:]:
        segment = part.partition(";")[0] if params else part
        if segment == "..":
            found = found[:-1]
        elif segment != "." and (segment or not merges):
            found.append(segment)
    while found and not found[-1]:
        found.pop()
    return tuple(found)


PIECES = [
    b"/", b"//", b"admin", b"a", b".", b"..", b"%2e", b"%2E", b"%2f", b"%252f", b";x", b"%3b", b"\\", b"%5c", b"%00",
    b"%61", b"%25", b"%", b"%zz", b"\xc3\xa9", b"%C3%A9", b"%c0%ae", b"?",
]  # fmt: skip
SERVERS = st.fixed_dictionaries({name: st.booleans() for name in ("twice", "merges", "params", "windows")})


@given(st.lists(st.sampled_from(PIECES), max_size=8).map(lambda parts: b"/" + b"".join(parts)), SERVERS)
@example(b"/a/%2e%2e/admin", {"twice": False, "merges": True, "params": False, "windows": False})
@example(b"/%2561dmin", {"twice": True, "merges": True, "params": False, "windows": False})
def test_what_has_a_normal_form_is_that_to_every_server(path: bytes, server: dict[str, bool]) -> None:
    segments = normal_segments(path.partition(b"?")[0])
    if segments is not None:
        assert lenient(path.partition(b"?")[0], **server) == segments


TEXTS = st.text(st.characters(exclude_characters="/\\;#*%\x7f", min_codepoint=33), min_size=1, max_size=6).filter(
    lambda text: text not in (".", "..")
)


@given(st.lists(TEXTS, max_size=4))
def test_what_is_encoded_has_the_same_normal_form(segments: list[str]) -> None:
    path = "".join(f"/{quote(each, safe='')}" for each in segments) or "/"
    assert normal_segments(path.encode()) == tuple(segments)


LABELS = st.text("ab", min_size=1, max_size=4)
GLOBS = st.lists(st.text("ab*", min_size=1, max_size=4).filter(lambda text: "**" not in text), max_size=3)
TEMPLATES = st.tuples(GLOBS, st.booleans()).map(
    lambda made: path_template("/" + "/".join([*made[0], *(["**"] if made[1] else [])]))
)


@given(TEMPLATES, TEMPLATES, st.lists(LABELS, max_size=4))
def test_what_covers_another_fits_all_that_the_other_fits(one: Template, other: Template, labels: list[str]) -> None:
    if one.covers(other) and other.fits(labels):
        assert one.fits(labels)
    if one.fits(labels) and other.fits(labels):
        assert overlap(one, other)


def test_what_covers_what() -> None:
    def covers(one: str, other: str) -> bool:
        return path_template(one).covers(path_template(other))

    assert covers("/**", "/a/*")
    assert covers("/a/*", "/a/b*")
    assert covers("/a*/**", "/ab")
    assert not covers("/a/*", "/a/**")
    assert not covers("/a/b*", "/a/*")
