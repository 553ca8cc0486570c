import pytest
from hypothesis import given

from namer.path import Path, show_label
from tests.namer.strategies import paths


@pytest.mark.parametrize(
    ("labels", "written"),
    [
        pytest.param((), "/", id="the empty path"),
        pytest.param(("svc", "web"), "/svc/web", id="plain labels"),
        pytest.param(("#", "io.l5d.fs", "a_b:1$2%3-4"), "/#/io.l5d.fs/a_b:1$2%3-4", id="all plain characters"),
        pytest.param(("a b",), r"/\x61\x20\x62", id="one strange byte escapes the whole label"),
        pytest.param(("é",), r"/\xc3\xa9", id="UTF-8"),
        pytest.param(("\udcff",), r"/\xff", id="a byte that is no UTF-8"),
        pytest.param(("*",), r"/\x2a", id="a star is no wildcard here"),
        pytest.param(("a/b",), r"/\x61\x2f\x62", id="a slash inside a label"),
    ],
)
def test_a_path_is_written_and_read(labels: tuple[str, ...], written: str) -> None:
    assert Path(labels).show() == str(Path(labels)) == written
    assert Path.parse(written) == Path(labels)


@given(paths())
def test_what_is_written_is_read_back(path: Path) -> None:
    assert Path.parse(path.show()) == path


def test_a_path_is_a_sequence() -> None:
    path = Path.parse("/svc/web/a")

    assert len(path) == 3
    assert list(path) == ["svc", "web", "a"]
    assert path[1] == "web"
    assert path[1:] == Path(("web", "a"))
    assert Path.parse("/svc") + Path.parse("/web/a") == path
    assert Path.parse("/svc/web") / "a" == path


@pytest.mark.parametrize(
    ("path", "prefix", "starts"),
    [
        ("/svc/web", "/", True),
        ("/svc/web", "/svc", True),
        ("/svc/web", "/svc/web", True),
        ("/svc/web", "/svc/web/a", False),
        ("/service", "/svc", False),
        ("/svcs/web", "/svc", False),
    ],
)
def test_a_prefix_is_made_of_whole_labels(path: str, prefix: str, starts: bool) -> None:
    assert Path.parse(path).startswith(Path.parse(prefix)) is starts


def test_equal_paths_are_one_key() -> None:
    assert {Path.parse("/svc/web"): 1}[Path(("svc", "web"))] == 1
    assert Path.parse("/svc/Web") != Path.parse("/svc/web")


def test_a_label_is_shown_by_itself() -> None:
    assert show_label("web") == "web"
    assert show_label("") == ""
