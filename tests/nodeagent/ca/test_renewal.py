"""When certificates are renewed, on a clock that the test owns."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs

from nodeagent.ca.disk import CaError
from nodeagent.ca.membership import Membership, pem
from nodeagent.ca.messages import Given
from nodeagent.ca.renewal import SHARE, Renewal, renewal_time
from tests.namer.fakes import offload_inline
from tests.tls.authorities import DOMAIN, NOW, Fleet
from tls.authority import make_key

FLEET = Fleet.made()


class Host:
    """A member whose authority is a function; its clock may be set."""

    def __init__(self, folder: Path) -> None:
        self.begun = trio.current_time()
        self.offset = timedelta()
        self.fault: str | None = None
        self.asked: list[float] = []
        self.lifetime = timedelta(hours=24)
        key = make_key()
        leaf = FLEET.issue("web-1", key, NOW)
        given = Given(pem(FLEET.root.certificate), "", pem(leaf))
        self.membership = Membership.create(folder, key, given, address="ca:4150", domain=DOMAIN)

    def now(self) -> datetime:
        """What its clock shows."""
        return NOW + timedelta(seconds=trio.current_time() - self.begun) + self.offset

    async def renew(self, membership: Membership) -> None:
        """What the authority does."""
        self.asked.append((self.now() - NOW) / timedelta(hours=1))
        if self.fault:
            raise CaError(self.fault)
        key = make_key()
        membership.write_pair(key, pem(FLEET.issue("web-1", key, self.now(), self.lifetime)))

    async def refresh(self, membership: Membership) -> None:
        """Nobody is revoked."""
        if self.fault:
            raise CaError(self.fault)


@asynccontextmanager
async def host(folder: Path) -> AsyncIterator[Host]:
    """A host that keeps itself a member."""
    one = Host(folder)
    renewal = Renewal(
        one.membership,
        random.Random(7),
        now=one.now,
        renew=one.renew,
        refresh=one.refresh,
        offload=offload_inline,
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(renewal.run)
        yield one
        nursery.cancel_scope.cancel()


def hours(count: float) -> float:
    """In seconds."""
    return count * 3600


def test_hosts_renew_at_moments_of_their_own() -> None:
    leaf, rng = FLEET.issue("web-1", make_key(), NOW), random.Random(1)
    lifetime = leaf.not_valid_after_utc - leaf.not_valid_before_utc
    shares = [(renewal_time(leaf, rng) - leaf.not_valid_before_utc) / lifetime for _ in range(200)]

    assert all(SHARE[0] <= each <= SHARE[1] for each in shares)
    assert max(shares) - min(shares) > 0.09


async def test_a_certificate_is_renewed_at_about_70_percent_again_and_again(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with host(tmp_path) as one:
        await trio.sleep(hours(24 * 3))

        gaps = [after - before for before, after in zip([0.0, *one.asked], one.asked, strict=False)]
        assert len(gaps) == 4
        assert all(24 * 0.64 < gap < 24 * 0.76 for gap in gaps)
        assert one.membership.leaf().not_valid_after_utc > one.now()


async def test_what_fails_is_tried_again_the_later_the_less_often_and_in_time(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with host(tmp_path) as one:
        with capture_logs() as logs:
            one.fault = "https://ca:4150/v1/renew: cannot connect: connection refused"
            await trio.sleep(hours(20))
            tries = list(one.asked)
            assert 20 < len(tries) < 60
            assert tries[1] - tries[0] < 0.01
            assert 0.05 < tries[-1] - tries[-2] < 0.2
            one.fault = None
            await trio.sleep(hours(0.2))

        assert one.membership.leaf().not_valid_after_utc > NOW + timedelta(hours=40)
        errors = [each for each in logs if each["log_level"] == "error"]
        assert errors[0]["error"] == "https://ca:4150/v1/renew: cannot connect: connection refused"
        assert len([each for each in logs if each["event"] == "whom to trust cannot be brought up to date"]) == 1


async def test_what_is_valid_for_a_minute_is_not_renewed_without_a_pause(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """It begins five minutes ago, so that 70 % of it are over from the start."""
    async with host(tmp_path) as one:
        one.lifetime = timedelta(minutes=1)
        await trio.sleep(hours(24))

        assert 600 < len(one.asked) * 5 <= hours(24)


async def test_a_clock_that_is_set_forward_is_noticed_within_a_minute(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """As when a virtual machine was suspended."""
    async with host(tmp_path) as one:
        await trio.sleep(hours(1))
        one.offset = timedelta(hours=20)
        await trio.sleep(61)

        assert len(one.asked) == 1


async def test_files_that_somebody_else_has_replaced_count(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with host(tmp_path) as one:
        await trio.sleep(hours(10))
        key = make_key()
        one.membership.write_pair(key, pem(FLEET.issue("web-1", key, one.now())))
        await trio.sleep(hours(14))
        assert one.asked == []
        await trio.sleep(hours(5))
        assert len(one.asked) == 1


async def test_files_that_are_gone_end_nothing(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    async with host(tmp_path) as one:
        await trio.sleep(60)
        one.membership.certificate.unlink()
        with capture_logs() as logs:
            await trio.sleep(120)
        one.membership.certificate.symlink_to("current/cert.pem")
        await trio.sleep(hours(24))

        assert any("cert.pem: cannot be read" in str(each.get("error")) for each in logs)
        assert len(one.asked) == 1


def test_a_pair_that_is_none_is_not_written(tmp_path: Path) -> None:
    key, other = make_key(), FLEET.issue("web-1", make_key(), NOW)
    given = Given(pem(FLEET.root.certificate), "", pem(FLEET.issue("web-1", key, NOW)))
    one = Membership.create(tmp_path / "web", key, given, address=None, domain=DOMAIN)

    before = one.leaf()
    with pytest.raises(CaError, match="the authority has signed another key than was asked for"):
        one.write_pair(key, pem(other))
    assert one.leaf() == before
