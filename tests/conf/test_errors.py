"""Problems, and how they are written."""

from __future__ import annotations

import pytest

from conf.errors import (
    MAX_PROBLEMS,
    ConfigErrors,
    Position,
    Problem,
    Problems,
    TooManyProblemsError,
    did_you_mean,
    nearest,
    quote,
    show_key_path,
)


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        pytest.param((), "", id="the top"),
        pytest.param(("admin", "port"), "admin.port", id="keys"),
        pytest.param(("routers", 0, "servers", 12, "ip"), "routers[0].servers[12].ip", id="positions"),
        pytest.param(("a b",), '["a b"]', id="an odd key is quoted"),
        pytest.param(("admin", "x\ny"), 'admin["x\\ny"]', id="and stays on one line"),
    ],
)
def test_a_key_path_is_written_as_people_do(path: tuple[str | int, ...], shown: str) -> None:
    assert show_key_path(path) == shown


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        pytest.param("Grüße", '"Grüße"', id="letters stay"),
        pytest.param("a\x1b[1m\n", '"a\\u001b[1m\\n"', id="control characters do not reach the terminal"),
        pytest.param("x" * 61, '"' + "x" * 57 + '..."', id="long texts are cut"),
    ],
)
def test_what_stands_in_the_file_is_quoted(text: str, quoted: str) -> None:
    assert quote(text) == quoted


def test_problems_come_in_the_order_of_the_file() -> None:
    problems = Problems("l5d")
    problems.add(Position(7, 1), ("b",), "second")
    problems.add(Position(2, 9), ("a", 0), "first")

    with pytest.raises(ConfigErrors) as raised:
        problems.raise_if_any()

    assert str(raised.value) == "l5d:2:9: a[0]: first\nl5d:7:1: b: second"
    assert [problem.line for problem in raised.value.problems] == [2, 7]


def test_no_problem_raises_nothing() -> None:
    Problems("l5d").raise_if_any()


def test_a_file_that_is_wrong_all_over_is_not_read_to_its_end() -> None:
    problems = Problems("l5d")
    for line in range(1, MAX_PROBLEMS):
        problems.add(Position(line, 1), (), "wrong")

    with pytest.raises(TooManyProblemsError):
        problems.add(Position(MAX_PROBLEMS, 1), (), "wrong")
    with pytest.raises(ConfigErrors) as raised:
        problems.raise_if_any()

    assert len(raised.value.problems) == MAX_PROBLEMS + 1
    assert "was not read" in str(raised.value.problems[-1])


def test_a_problem_of_the_file_itself_has_no_position() -> None:
    assert str(Problem("l5d", None, None, "", "cannot be read")) == "l5d: cannot be read"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        pytest.param("prot", "port", id="a letter moved"),
        pytest.param("DSTPREFIX", "dstPrefix", id="case"),
        pytest.param("dst_prefix", "dstPrefix", id="another style"),
        pytest.param("quota", None, id="nothing like it"),
        pytest.param("port" * 1_000_000, None, id="too long to be a typo"),
    ],
)
def test_what_was_meant_is_guessed(written: str, meant: str | None) -> None:
    assert nearest(written, ["port", "ip", "dstPrefix"]) == meant


def test_a_guess_is_put_behind_a_message() -> None:
    assert did_you_mean("port") == '; did you mean "port"?'
    assert did_you_mean(None) == ""
