"""Keeps a host a member: renews its certificate long before the end, and follows whom to trust.

Certificates are renewed at about 70 % of their lifetime, each host at a moment of its own, so that an authority that
was away for a while is not asked by all at once; what fails is tried again, the later the less often. Roots and lists
of revoked certificates are asked for every five minutes. The files are replaced whole; who uses them sees it by
`nodeagent.certificates`.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import structlog
import trio
from cryptography import x509

from balancer.backoff import EqualJitter
from namer.files import Offload, worker_threads
from nodeagent.ca.client import refresh_trust, renew
from nodeagent.ca.disk import CaError
from nodeagent.ca.membership import Membership
from tls.identity import IdentityError, peer_identity

log = structlog.get_logger("nodeagent.ca")

SHARE: Final = (0.65, 0.75)
"""Between which shares of a lifetime it is renewed."""

AGAIN: Final = EqualJitter(5.0, 600.0)
"""Seconds between two tries after a failure."""

TRUST_EVERY: Final = 300.0
"""Seconds between two looks at whom to trust, give or take a tenth."""

PAUSE: Final = 5.0
"""Seconds between two renewals at the least: a certificate is valid from five minutes before it was asked for, so one
that lasts for a minute is due at once."""

LOOK: Final = 60.0
"""Seconds between two looks at the clock and the files: hosts sleep, clocks are set, somebody may join anew."""


def renewal_time(leaf: x509.Certificate, rng: random.Random) -> datetime:
    """When to renew a certificate."""
    lifetime = leaf.not_valid_after_utc - leaf.not_valid_before_utc
    return leaf.not_valid_before_utc + lifetime * rng.uniform(*SHARE)


@dataclass(slots=True)
class Standing:
    """How the membership of a host stands, for whoever looks."""

    identity: str | None = None
    expires: datetime | None = None
    due: datetime | None = None
    """When the certificate is renewed."""
    renewals: int = 0
    failures: int = 0
    error: str | None = None
    """Why the last try failed; None when it went well."""


def name_of(leaf: x509.Certificate) -> str | None:
    """Whose certificate it is, None when it does not say so as members do."""
    try:
        return str(peer_identity(leaf))
    except IdentityError:
        return None


class Renewal:
    """The tasks that keep one directory up to date, and `standing`, which is theirs to change."""

    def __init__(
        self,
        membership: Membership,
        rng: random.Random,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        renew: Callable[[Membership], Awaitable[None]] = renew,
        refresh: Callable[[Membership], Awaitable[None]] = refresh_trust,
        offload: Offload | None = None,
    ) -> None:
        """`renew` and `refresh` ask the authority; `offload` runs what blocks on the disk."""
        self._membership = membership
        self._rng = rng
        self._now = now
        self._renew = renew
        self._refresh = refresh
        self._offload = offload or worker_threads(1)
        self.standing = Standing()

    async def run(self) -> None:
        """Renew for ever. Cancel to stop: what is there then is whole. Failures are logged, never raised."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._renewals)
            nursery.start_soon(self._trust)

    async def _renewals(self) -> None:
        standing, serial, due = self.standing, None, datetime.min.replace(tzinfo=UTC)
        delays = AGAIN.delays(self._rng)
        while True:
            try:
                leaf = await self._offload(self._membership.leaf)
                if leaf.serial_number != serial:
                    serial, due = leaf.serial_number, renewal_time(leaf, self._rng)
                    delays = AGAIN.delays(self._rng)
                    standing.identity, standing.expires = name_of(leaf), leaf.not_valid_after_utc
                    standing.due, standing.error = due, None
                wait = (due - self._now()).total_seconds()
                if wait > 0:
                    await trio.sleep(min(wait, LOOK))
                    continue
                await self._renew(self._membership)
                renewed = await self._offload(self._membership.leaf)
            except CaError as error:
                standing.failures += 1
                standing.error = str(error)
                delay = next(delays)
                log.error("the certificate cannot be renewed", error=str(error), next_try_seconds=round(delay))
                await trio.sleep(delay)
            else:
                standing.renewals += 1
                log.info("the certificate is renewed", until=f"{renewed.not_valid_after_utc:%Y-%m-%d %H:%M:%S} UTC")
                await trio.sleep(PAUSE)

    async def _trust(self) -> None:
        failed = False
        while True:
            await trio.sleep(TRUST_EVERY * self._rng.uniform(0.9, 1.1))
            try:
                await self._refresh(self._membership)
                failed = False
            except CaError as error:
                if not failed:
                    log.warning("whom to trust cannot be brought up to date", error=str(error))
                failed = True
