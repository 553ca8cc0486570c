import pytest
from hypothesis import given
from hypothesis import strategies as st

from namer.dns.settings import Overrides, Server, Settings, candidates, is_name, parse_resolv_conf


@pytest.mark.parametrize(
    ("text", "server", "shown"),
    [
        ("10.0.0.2", Server("10.0.0.2"), "10.0.0.2"),
        ("10.0.0.2:53", Server("10.0.0.2"), "10.0.0.2"),
        ("10.0.0.2:8600", Server("10.0.0.2", 8600), "10.0.0.2:8600"),
        ("FE80::1%eth0", Server("fe80::1%eth0"), "fe80::1%eth0"),
        ("[::1]:8600", Server("::1", 8600), "[::1]:8600"),
    ],
)
def test_a_server_as_written_and_as_shown(text: str, server: Server, shown: str) -> None:
    assert Server.parse(text) == server
    assert str(server) == shown
    assert Server.parse(shown) == server


@pytest.mark.parametrize(
    "text", ["", "ns.example.org", "10.0.0.2:", "10.0.0.2:0", "10.0.0.2:65536", "[::1]", "[::1", ":53"]
)
def test_what_is_no_server(text: str) -> None:
    with pytest.raises(ValueError, match=r"no port|IPv4 or IPv6"):
        Server.parse(text)


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        pytest.param("", Settings(), id="nothing: this host, as the C library does"),
        pytest.param(
            "# by hand\nnameserver 10.0.0.2\nnameserver ::1 # second\n",
            Settings(servers=(Server("10.0.0.2"), Server("::1"))),
            id="servers and comments",
        ),
        pytest.param(
            "\n".join(f"nameserver 10.0.0.{n}" for n in range(1, 6)),
            Settings(servers=(Server("10.0.0.1"), Server("10.0.0.2"), Server("10.0.0.3"))),
            id="three servers, no more",
        ),
        pytest.param("nameserver ns1.example.org\nnameserver\n", Settings(), id="servers that are none"),
        pytest.param("search B.org. a.org\n", Settings(search=("b.org", "a.org")), id="a search list"),
        pytest.param("search a.org\ndomain b.org\n", Settings(search=("b.org",)), id="the last of domain and search"),
        pytest.param(
            "options ndots:5 timeout:1 attempts:4 rotate edns0 trust-ad\n",
            Settings(ndots=5, timeout=1.0, attempts=4, rotate=True),
            id="options",
        ),
        pytest.param(
            "options ndots:99 timeout:0 attempts:99\noptions timeout:900\n",
            Settings(ndots=15, timeout=30.0, attempts=5),
            id="options within their bounds",
        ),
        pytest.param("options ndots: timeout:x attempts:-1 rotate:1\n", Settings(), id="options that say nothing"),
        pytest.param(
            f"search a..b {'x' * 64} b\u00fccher a.org .", Settings(search=("a.org", "")), id="domains that are none"
        ),
        pytest.param("domain a..b\n", Settings(), id="one domain that is none"),
        pytest.param("; x\nfoo bar\nsearch\n", Settings(), id="what else there may be"),
    ],
)
def test_resolv_conf(text: str, settings: Settings) -> None:
    assert parse_resolv_conf(text) == settings


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    assert parse_resolv_conf(f"options {text}\nnameserver {text}\nsearch {text}").servers


def test_keys_stand_in_place_of_the_file() -> None:
    file = Settings((Server("10.0.0.2"),), ("a.org",), 5, 1.0, 3, rotate=True)

    assert Overrides().over(file) == file
    assert Overrides((Server("10.0.0.9"),), (), 0, 0.5, 1).over(file) == Settings(
        (Server("10.0.0.9"),), (), 0, 0.5, 1, rotate=True
    )


CLUSTER = Settings(search=("shop.svc.cluster.local", "svc.cluster.local"), ndots=2)


@pytest.mark.parametrize(
    ("host", "settings", "names"),
    [
        pytest.param(
            "users",
            CLUSTER,
            ["users.shop.svc.cluster.local.", "users.svc.cluster.local.", "users."],
            id="few dots: the list first",
        ),
        pytest.param(
            "a.b.c",
            CLUSTER,
            ["a.b.c.", "a.b.c.shop.svc.cluster.local.", "a.b.c.svc.cluster.local."],
            id="enough dots: itself first",
        ),
        pytest.param("users.", CLUSTER, ["users."], id="a full name"),
        pytest.param("users", Settings(), ["users."], id="no list"),
        pytest.param("users", Settings(search=("a", "a", "")), ["users.a.", "users."], id="each once"),
        pytest.param("a" * 60, Settings(search=(".".join(["b" * 60] * 4),)), ["a" * 60 + "."], id="too long a name"),
    ],
)
def test_what_a_host_may_stand_for(host: str, settings: Settings, names: list[str]) -> None:
    assert candidates(host, settings) == names


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("example.org", True),
        ("_http._tcp.example.org.", True),
        ("a" * 63, True),
        ("a" * 64, False),
        (".".join(["a" * 62] * 4) + ".a.", True),
        (".".join(["a" * 62] * 4) + ".aaa", False),
        ("", False),
        (".", False),
        ("a..b", False),
        ("bücher", False),
    ],
)
def test_what_is_a_name(text: str, is_one: bool) -> None:
    assert is_name(text) is is_one
