"""The identity of this host, as the configuration says: got before anything is opened, and kept while the agent runs.

Only where `identity` is configured is any of this imported. Of several processes that are one agent, one keeps it.
"""

from __future__ import annotations

import os
import random
import stat
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog
import trio

from conf.identity import Identity
from namer.files import Offload, worker_threads
from nodeagent.ca import client
from nodeagent.ca.client import CaAwayError
from nodeagent.ca.disk import CaError, read
from nodeagent.ca.membership import Membership
from nodeagent.ca.renewal import AGAIN, Renewal
from nodeagent.ca.tokens import Token, TokenError
from nodeagent.telemetry.registry import Renewals

log = structlog.get_logger("nodeagent.ca")

JOIN_WITHIN: Final = 60.0
"""Seconds for an authority that does not answer to come, at the start: less than service managers wait."""

CREDENTIAL: Final = "nodeagent.join-token"
"""What a service manager may call the token (systemd.exec(5), LoadCredential)."""

OTHERS: Final = stat.S_IRWXO | stat.S_IWGRP
"""Permissions that the file of a token must not have."""


@dataclass(frozen=True)
class Authority:
    """What an authority is asked; each raises CaError."""

    rejoin: Callable[[str, Token, Membership], Awaitable[None]] = client.rejoin
    renew: Callable[[Membership], Awaitable[None]] = client.renew
    refresh: Callable[[Membership], Awaitable[None]] = client.refresh_trust


class HostIdentity:
    """The certificate of this host, and what keeps it valid."""

    def __init__(
        self,
        config: Identity,
        rng: random.Random,
        *,
        environ: Mapping[str, str] = os.environ,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        authority: Authority = Authority(),
        offload: Offload | None = None,
    ) -> None:
        """`environ` is where a service manager says what it has handed over; `offload` runs what blocks on the disk."""
        self.membership = Membership(Path(config.dir), config.ca)
        self._ca = config.ca
        self._rng = rng
        self._now = now
        self._token_file = token_file(config, environ)
        self._authority = authority
        self._offload = offload or worker_threads(1)
        self._renewal = Renewal(
            self.membership, rng, now=now, renew=self._renew, refresh=authority.refresh, offload=self._offload
        )

    async def join(self, within: float = JOIN_WITHIN) -> None:
        """See to it that there is a certificate, before anything needs it: join where there is none. Raises CaError.

        An authority that does not answer is asked again for so many seconds; one that refuses is not.
        """
        why = await self._offload(self._lacks)
        if why is None:
            await self._offload(self.membership.check_key)
            return
        delays, until = AGAIN.delays(self._rng), trio.current_time() + within
        while True:
            try:
                await self._join(why)
            except CaAwayError as error:
                delay = next(delays)
                if trio.current_time() + delay > until:
                    raise
                log.warning("the authority is not there yet", error=str(error), next_try_seconds=round(delay))
                await trio.sleep(delay)
            else:
                return

    async def run(self) -> None:
        """Keep the certificate valid, and whom to trust up to date. Cancel to stop. Failures are logged, and shown."""
        await self._renewal.run()

    def expiry(self) -> dict[str, float]:
        """When the certificate expires, by its file; in seconds since 1970."""
        expires = self._renewal.standing.expires
        return {} if expires is None else {str(self.membership.certificate): expires.timestamp()}

    def renewals(self) -> Renewals:
        """What is counted of them."""
        standing = self._renewal.standing
        due = None if standing.due is None else standing.due.timestamp()
        return Renewals(standing.renewals, standing.failures, due)

    def warning(self) -> str | None:
        """Say what an operator should see to, if there is something."""
        standing = self._renewal.standing
        if standing.error is None:
            return None
        until = "" if standing.expires is None else f", and is good until {_time(standing.expires)}"
        return f"the certificate in {self.membership.certificate} is not renewed{until}: {standing.error}"

    def to_json(self) -> dict[str, object]:
        """How it stands."""
        standing = self._renewal.standing
        return {
            "identity": standing.identity,
            "certificate": str(self.membership.certificate),
            "expires": _iso(standing.expires),
            "renewal": _iso(standing.due),
            "authority": self._ca,
            "renewals": standing.renewals,
            "failures": standing.failures,
            "error": standing.error,
        }

    def _lacks(self) -> str | None:
        """Say why there is no certificate to be used, None when there is one. Blocks. Raises CaError."""
        file = self.membership.certificate
        if not os.path.lexists(file):
            return f"{file}: there is no certificate yet"
        expires = self.membership.leaf().not_valid_after_utc
        return None if expires > self._now() else f"{file}: the certificate has expired on {_time(expires)}"

    async def _renew(self, membership: Membership) -> None:
        why = await self._offload(self._lacks)
        if why is None:
            await self._authority.renew(membership)
        else:  # the authority would not hear of it
            await self._join(why)

    async def _join(self, why: str) -> None:
        """Join by the token; `why` is for who has to bring one. Raises CaError."""
        if self._ca is None:
            raise CaError(f"{why}; identity.ca must say where to join, or `nodeagent ca join` do it")
        if self._token_file is None:
            raise CaError(
                f"{why}; to join, identity.joinTokenPath must name a file with what `nodeagent ca token` prints"
            )
        try:
            token = await self._offload(read_token, self._token_file)
            await self._authority.rejoin(self._ca, token, self.membership)
        except CaAwayError:
            raise
        except CaError as error:
            raise CaError(f"{why}, and joining by the token in {self._token_file} fails: {error}") from None
        leaf = await self._offload(self.membership.leaf)
        log.info("this host has joined", authority=self._ca, until=_time(leaf.not_valid_after_utc))


def token_file(config: Identity, environ: Mapping[str, str]) -> Path | None:
    """Where a token to join by would be. Pure."""
    if config.join_token_path is not None:
        return Path(config.join_token_path)
    credentials = environ.get("CREDENTIALS_DIRECTORY")
    return Path(credentials) / CREDENTIAL if credentials else None


def read_token(file: Path) -> Token:
    """The token in a file that is not open to all users. Blocks. Raises CaError."""
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
        if mode & OTHERS:
            raise CaError(f"its permissions are {mode:04o}; chmod it to 0600 or 0640")
        return Token.parse(read(file).decode("ascii"))
    except UnicodeDecodeError:
        raise CaError("expected what `nodeagent ca token` prints") from None
    except OSError as error:
        raise CaError((error.strerror or str(error)).lower()) from None
    except TokenError as error:
        raise CaError(str(error)) from None


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment:%Y-%m-%dT%H:%M:%SZ}"
