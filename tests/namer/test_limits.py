import pytest

from namer.limits import MAX_LABELS, MAX_NESTING, MAX_STEPS, LimitExceededError, check_limits, extend, too_deep
from namer.path import Path


def test_a_path_may_grow_to_the_limit() -> None:
    half = Path(("a",) * (MAX_LABELS // 2))

    assert len(extend(half, half)) == MAX_LABELS
    with pytest.raises(LimitExceededError, match=r"^/a/a/a.*\.\.\.: rewritten to more than 1000 labels"):
        extend(half, half / "a")


def test_work_may_go_to_the_limit() -> None:
    check_limits(MAX_STEPS, MAX_NESTING)
    with pytest.raises(LimitExceededError, match="more than 10000 steps"):
        check_limits(MAX_STEPS + 1, 0)
    with pytest.raises(LimitExceededError, match="more than 100 deep"):
        check_limits(1, MAX_NESTING + 1)


def test_an_error_shows_as_much_of_a_path_as_a_line_can_hold() -> None:
    assert too_deep(Path.parse("/a/b")).reason.startswith("/a/b: rewritten 100 times")
    assert too_deep(Path(("a" * 10_000,))).reason.startswith("/" + "a" * 199 + "...: ")
