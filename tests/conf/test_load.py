"""Files and texts; and that nothing but ConfigErrors is ever raised."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import conf
from conf.agent import AgentConfig
from tests.conf.strategies import configurations
from tests.conf.texts import MINIMAL


def test_a_file(tmp_path: Path) -> None:
    file = tmp_path / "l5d.yaml"
    file.write_text(MINIMAL)

    assert conf.read(str(file)) == conf.load(MINIMAL, "elsewhere")


def test_the_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"routers: 5")))

    with pytest.raises(conf.ConfigErrors, match=r"^<stdin>:1:10: routers: expected a list, found the number 5$"):
        conf.read("-")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(None, ": cannot be read: No such file or directory", id="no file"),
        pytest.param(b"a: 1\nb: \xff", ":2:4: not UTF-8: the byte 0xff (invalid start byte)", id="no text"),
        pytest.param(
            b"#" * (8 * 1024 * 1024 + 1), ":1:1: 8388609 bytes; a configuration may have at most 8388608", id="too big"
        ),
    ],
)
def test_what_is_no_configuration(content: bytes | None, message: str, tmp_path: Path) -> None:
    file = tmp_path / "l5d.yaml"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(conf.ConfigErrors) as raised:
        conf.read(str(file))

    assert str(raised.value) == f"{file}{message}"


@pytest.mark.parametrize(
    ("path", "message"),
    [("/", "/: cannot be read: Is a directory"), ("a\0b", "a\0b: cannot be read: embedded null byte")],
)
def test_what_is_no_file(path: str, message: str) -> None:
    with pytest.raises(conf.ConfigErrors) as raised:
        conf.read(path)

    assert str(raised.value) == message


def test_importing_is_cheap() -> None:
    heavy = {"trio", "httpx", "starlette", "hypercorn", "prometheus_client", "structlog", "rich", "click"}
    program = "import sys, conf; print(*sys.modules)"

    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)

    assert not heavy & set(done.stdout.split())


def load_or_refuse(text: str) -> AgentConfig | None:
    """Load a text; if it is refused, check that every problem is one line and knows its place."""
    try:
        return conf.load(text, "l5d")
    except conf.ConfigErrors as refused:
        errors = refused
    assert errors.problems
    assert all(problem.line is not None and problem.line >= 1 for problem in errors.problems)
    assert len(str(errors).split("\n")) == len(errors.problems)
    return None


@given(st.text())
def test_any_text_is_refused_decently(text: str) -> None:
    load_or_refuse(text)


@given(st.text(st.sampled_from("routers:protcl-[]{}&*#|>'\"\n \t,?!%@`0\\\u2028\ufeff")))
def test_any_text_of_yaml_signs_is_refused_decently(text: str) -> None:
    load_or_refuse(text)


@given(configurations(wild=True), st.booleans())
def test_any_tree_of_known_keys_is_loaded_or_refused_decently(tree: dict[str, object], as_json: bool) -> None:
    load_or_refuse(json.dumps(tree) if as_json else yaml.safe_dump(tree, allow_unicode=True))
