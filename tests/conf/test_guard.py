"""The section `addressGuard` of a router."""

from __future__ import annotations

import pytest

from conf.guard import AddressGuard
from tests.conf.texts import router, router_problems

EXPECTED = "expected an IP address, or a range such as 10.0.0.0/8 or fd00::/8"


def test_it_is_on_by_default() -> None:
    assert router().address_guard == AddressGuard(True, (), (), (25,), False)


def test_ranges_and_addresses() -> None:
    keys = "addressGuard: {allow: [127.0.0.0/8, '::1', fd00::/8], deny: [10.1.2.3], denyPorts: [], discovery: true}"

    guard = router(keys).address_guard

    assert guard.allow == ("127.0.0.0/8", "::1/128", "fd00::/8")
    assert (guard.deny, guard.deny_ports, guard.discovery) == (("10.1.2.3/32",), (), True)


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        pytest.param(
            "addressGuard: {allow: [localhost]}",
            f'4:26: routers[0].addressGuard.allow[0]: {EXPECTED}, found the text "localhost"',
            id="a name",
        ),
        pytest.param(
            "addressGuard:\n  deny:\n  - 10.1.2.3/8",
            f'6:7: routers[0].addressGuard.deny[0]: {EXPECTED}, found the text "10.1.2.3/8": that begins in the middle '
            "of 10.0.0.0/8",
            id="bits behind the prefix",
        ),
        pytest.param(
            "addressGuard: {denyPorts: [0]}",
            "4:30: routers[0].addressGuard.denyPorts[0]: 0 is out of range; expected a whole number from 1 to 65535",
            id="no port",
        ),
        pytest.param(
            "addressGuard: {allowed: []}",
            '4:18: routers[0].addressGuard.allowed: unknown key; did you mean "allow"?',
            id="a near miss",
        ),
    ],
)
def test_problems_have_a_place(keys: str, line: str) -> None:
    assert router_problems(keys) == [f"l5d:{line}"]
