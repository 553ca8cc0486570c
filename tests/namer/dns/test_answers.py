import pytest

from namer.dns.answers import MAX_RECORDS, Found, Lifetimes, Nothing, Reply, nothing_of

BOUNDS = Lifetimes(floor=1, ceiling=300, negative_ceiling=30)


@pytest.mark.parametrize(
    ("ttl", "held"),
    [
        pytest.param(0, 1, id="not at all"),
        pytest.param(1, 1, id="at the floor"),
        pytest.param(60, 60, id="within the bounds"),
        pytest.param(86400, 300, id="a day"),
        pytest.param(2**31 - 1, 300, id="the longest there is"),
    ],
)
def test_how_long_records_hold(ttl: int, held: float) -> None:
    assert BOUNDS.answer(Reply(("10.0.0.1",), ttl), now=100) == Found(("10.0.0.1",), 100, 100 + held)


@pytest.mark.parametrize(("ttl", "held"), [(0, 1), (5, 5), (30, 30), (3600, 30)])
def test_how_long_no_holds(ttl: int, held: float) -> None:
    assert BOUNDS.answer(Reply((), ttl, exists=False), now=100) == Nothing(False, 100, 100 + held)


def test_what_was_left_out_is_told() -> None:
    answer = BOUNDS.answer(Reply(("10.0.0.1",), 5, surplus=3096), now=0)

    assert isinstance(answer, Found)
    assert answer.flaw == f"3096 records more than the {MAX_RECORDS} that are used"


def test_several_names_without_records() -> None:
    assert nothing_of([Nothing(False, 2, 30), Nothing(True, 1, 40)]) == Nothing(True, 1, 30)
