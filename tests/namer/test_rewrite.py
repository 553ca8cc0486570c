import pytest

from namer.grammar import NameSyntaxError
from namer.nametree import NEG, Leaf
from namer.path import Path
from namer.rewrite import rewrite_namer


@pytest.mark.parametrize(
    ("pattern", "name", "path", "to"),
    [
        pytest.param("/one/two", "/success", "/one/two/three", "/success", id="a prefix; the rest is dropped"),
        pytest.param("/one/*/three", "/success", "/one/two/three", "/success", id="a wildcard"),
        pytest.param("/one/*/four", "/success", "/one/two/three", None, id="no match"),
        pytest.param("/{foo}/*/three", "/success/{foo}", "/one/two/three", "/success/one", id="a capture"),
        pytest.param("/{foo}/*/four", "/success/{foo}", "/one/two/three", None, id="a capture, no match"),
        pytest.param("/{foo}", "/svc/{foo}-v2", "/web", "/svc/web-v2", id="a part of a label"),
        pytest.param("/{foo}", "/{foo}/{foo}", "/" + "a" * 30_000, "/" + "/".join(["a" * 30_000] * 2), id="long"),
    ],
)
def test_rewriting(pattern: str, name: str, path: str, to: str | None) -> None:
    rewritten = rewrite_namer(pattern, name).lookup(Path.parse(path)).value

    assert rewritten == (Leaf(Path(tuple(to[1:].split("/")))) if to else NEG)


def test_what_is_wrong_is_told_when_it_is_configured() -> None:
    with pytest.raises(NameSyntaxError, match=r"no capture {b}"):
        rewrite_namer("/{a}", "/x/{b}")
    with pytest.raises(NameSyntaxError, match="begins with '/'"):
        rewrite_namer("a", "/x")
