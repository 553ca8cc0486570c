import pytest

from namer.grammar import NameSyntaxError
from namer.path import Path
from namer.pattern import PathPattern, PathTemplate


@pytest.mark.parametrize(
    ("pattern", "path", "captured"),
    [
        ("/", "/a", {}),
        ("/svc", "/svc/web", {}),
        ("/svc", "/svcs/web", None),
        ("/svc/*/v1", "/svc/web/v1", {}),
        ("/svc/*/v1", "/svc/web/v2", None),
        ("/svc/{name}", "/svc/web/x", {"name": "web"}),
        ("/{a}/{b}", "/x/y", {"a": "x", "b": "y"}),
        ("/{a}/{b}", "/x", None),
        (r"/a\x20b", r"/\x61\x20\x62", {}),
        (r"/\x2a", "/x", None),
    ],
)
def test_matching_the_beginning_of_a_path(pattern: str, path: str, captured: dict[str, str] | None) -> None:
    assert PathPattern.parse(pattern).match(Path.parse(path)) == captured


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        ("/", "/a", True),
        ("/a/b", "/a", True),
        ("/a/*", "/{x}/b/c", True),
        ("/a/*", "/b", False),
        ("/*/a", "/*/b", False),
    ],
)
def test_whether_some_path_begins_as_both_say(one: str, other: str, overlap: bool) -> None:
    patterns = PathPattern.parse(one), PathPattern.parse(other)
    assert patterns[0].overlaps(patterns[1]) is patterns[1].overlaps(patterns[0]) is overlap


@pytest.mark.parametrize("text", ["", "svc", "/a//b", "/a/", "/*x", "/{a", "/{}", "/{a}x", "/a b"])
def test_what_is_no_pattern(text: str) -> None:
    with pytest.raises(NameSyntaxError):
        PathPattern.parse(text)


def test_the_names_of_captures() -> None:
    assert PathPattern.parse("/{a}/*/{b}/c").names == {"a", "b"}


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("/", "/"),
        ("/#/fs/{a}", "/#/fs/x"),
        ("/{b}-v2/{a}{b}", r"/\x79\x2f\x2d\x76\x32/\x78\x79\x2f"),
        ("/plain", "/plain"),
        (r"/\x41{a}", "/Ax"),
    ],
)
def test_filling_a_template(template: str, path: str) -> None:
    captured = {"a": "x", "b": "y/"}

    assert PathTemplate.parse(template, frozenset(captured)).fill(captured) == Path.parse(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("/a/{c}", r"column 4: no capture {c} in the pattern, which has: a, b"),
        ("/a//b", "expected one label"),
        ("a", "begins with '/'"),
        ("/{a}/", "expected one label"),
        ("/{a", "expected one label"),
    ],
)
def test_what_is_no_template(text: str, message: str) -> None:
    with pytest.raises(NameSyntaxError, match=message):
        PathTemplate.parse(text, frozenset({"a", "b"}))
