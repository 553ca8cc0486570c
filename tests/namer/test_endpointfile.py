import pytest
from hypothesis import given
from hypothesis import strategies as st

from namer.endpointfile import MAX_ENDPOINTS, EndpointLine, TooLargeError, parse_endpoints, summary
from namer.targets import Target


def test_a_file() -> None:
    text = "# rack 7\n10.0.7.1 8080\r\n\n  10.0.7.2\t8080 * 0.5  # half\nweb.example.org 80*2\n[::1] 80\n::1 81 * 1e-3"

    file = parse_endpoints(text, "web")

    assert file.problems == ()
    assert file.lines == (
        EndpointLine(2, Target("10.0.7.1", 8080, 1.0)),
        EndpointLine(4, Target("10.0.7.2", 8080, 0.5)),
        EndpointLine(5, Target("web.example.org", 80, 2.0)),
        EndpointLine(6, Target("[::1]", 80, 1.0)),
        EndpointLine(7, Target("::1", 81, 0.001)),
    )


@pytest.mark.parametrize(
    ("line", "target"),
    [
        ("10.0.0.1 80 zone=eu-1a", Target("10.0.0.1", 80, 1.0, (("zone", "eu-1a"),))),
        ("10.0.0.1 80 * 2 zone=eu-1a # here", Target("10.0.0.1", 80, 2.0, (("zone", "eu-1a"),))),
        ("10.0.0.1 80*2\tzone=a=b", Target("10.0.0.1", 80, 2.0, (("zone", "a=b"),))),
        ("10.0.0.1 80 node=web-1 agent=4141", Target("10.0.0.1", 80, 1.0, (("node", "web-1"), ("agent", "4141")))),
    ],
)
def test_a_line_may_tell_the_zone(line: str, target: Target) -> None:
    assert parse_endpoints(line, "web").lines == (EndpointLine(1, target),)


@pytest.mark.parametrize(
    ("line", "target"),
    [
        ("unix:/run/app.sock", Target("/run/app.sock", 0)),
        ("unix:/run/app.sock * 2 zone=a # here", Target("/run/app.sock", 0, 2.0, (("zone", "a"),))),
        ("unix:/run/app.sock*2", Target("/run/app.sock", 0, 2.0)),
    ],
)
def test_a_line_may_be_a_unix_socket(line: str, target: Target) -> None:
    assert parse_endpoints(line, "web").lines == (EndpointLine(1, target),)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("unix:run/app.sock", "'run/app.sock': expected the absolute path of a Unix socket, such as /run/app.sock"),
        ("unix:/" + "x" * 107, f"'/{'x' * 59}...': the path of a Unix socket has at most 107 bytes"),
        ("unix:/run/app.sock 80", "'unix:/run/app.sock': expected an IP address or a host name"),
        ("/run/app.sock", "'/run/app.sock': expected 'host port'"),
        ("10.0.0.1", "'10.0.0.1': expected 'host port' or 'host port * weight'"),
        ("10.0.0.1 80 0.5", "'10.0.0.1 80 0.5': expected 'host port' or 'host port * weight'"),
        ("10.0.0.1 80 *", "'10.0.0.1 80 *': expected 'host port' or 'host port * weight'"),
        ("10.0.0.1:80", "'10.0.0.1:80': expected 'host port' or 'host port * weight'"),
        ("10.0.0.1 http", "'http': expected a port from 1 to 65535"),
        ("10.0.0.1 0", "'0': expected a port from 1 to 65535"),
        ("10.0.0.1 65536", "'65536': expected a port from 1 to 65535"),
        ("10.0.0.1 -1", "'-1': expected a port from 1 to 65535"),
        ("10.0.0.1 ٣", "'٣': expected a port from 1 to 65535"),
        ("we!b 80", "'we!b': expected an IP address or a host name"),
        ("10.0.0.1 80 * x", "'x': expected a weight above 0"),
        ("10.0.0.1 80 * 0", "'0': expected a weight above 0"),
        ("10.0.0.1 80 * -1", "'-1': expected a weight above 0"),
        ("10.0.0.1 80 * nan", "'nan': expected a weight above 0"),
        ("10.0.0.1 80 * inf", "'inf': expected a weight above 0"),
        ("10.0.0.1 80 zone=", "'': expected the name of a zone, such as eu-1a"),
        ("10.0.0.1 80 zone=é", "'é': expected the name of a zone"),
        ("10.0.0.1 80 zone=" + "x" * 101, f"'{'x' * 60}...': expected the name of a zone"),
        ("10.0.0.1 80 agent=web", "'web': expected the port of an agent, from 1 to 65535"),
        ("10.0.0.1 80 agent=0", "'0': expected the port of an agent, from 1 to 65535"),
        ("10.0.0.1 80 node=", "'': expected the name of a host, such as web-3"),
        ("10.0.0.1 80 zone=a * 2", "'10.0.0.1 80 zone=a * 2': expected 'host port' or"),
        ("10.0.0.1 80 zone=a zone=b", "'10.0.0.1 80 zone=a zone=b': expected 'host port' or"),
        ("10.0.0.1 80 rack=a", "'10.0.0.1 80 rack=a': expected 'host port' or"),
        ("10.0.0.1 zone=a", "'zone=a': expected a port from 1 to 65535"),
        ("x" * 100, f"'{'x' * 60}...': expected 'host port'"),
    ],
)
def test_a_bad_line_is_reported_and_takes_away_only_itself(line: str, problem: str) -> None:
    file = parse_endpoints(f"10.0.0.8 80\n{line}\n10.0.0.9 80\n", "disco/web")

    assert [each.number for each in file.lines] == [1, 3]
    (reported,) = file.problems
    assert reported.startswith(f"disco/web:2: {problem}")


@given(st.text(max_size=200))
def test_any_text_is_a_file(text: str) -> None:
    file = parse_endpoints(text, "web")

    assert len(file.lines) + len(file.problems) + file.more <= text.count("\n") + 1


def test_only_the_first_problems_are_told_in_full() -> None:
    assert summary([]) == ""
    assert summary(["a", "b"]) == "a; b"
    assert summary(list("abcdefg")) == "a; b; c; d; e; and 2 more"
    assert summary(list("abcdefg"), 10) == "a; b; c; d; e; and 12 more"


def test_a_file_that_is_all_bad_is_not_kept_whole() -> None:
    file = parse_endpoints("bad\n" * 100_000, "web")

    assert (len(file.problems), file.more) == (5, 99_995)


def test_a_name_has_so_many_endpoints_at_most() -> None:
    assert len(parse_endpoints("10.0.0.1 80\n" * MAX_ENDPOINTS, "web").lines) == MAX_ENDPOINTS
    with pytest.raises(TooLargeError, match=r"^more than 10000 endpoints, so it is not read$"):
        parse_endpoints("10.0.0.1 80\n" * (MAX_ENDPOINTS + 1), "web")
