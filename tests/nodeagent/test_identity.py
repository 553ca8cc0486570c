"""The certificate of a host that the agent gets and keeps itself: the authority's own code, on a clock of the test."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
import trio
from cryptography.hazmat.primitives.serialization import Encoding
from structlog.testing import capture_logs

from conf.identity import Identity
from nodeagent.ca.client import CaAwayError, CaRefusedError
from nodeagent.ca.disk import CaError
from nodeagent.ca.membership import Membership
from nodeagent.ca.service import CaService, Refused
from nodeagent.ca.store import Store
from nodeagent.ca.tokens import Token
from nodeagent.identity import CREDENTIAL, Authority, HostIdentity
from tests.namer.fakes import offload_inline
from tests.tls.authorities import DOMAIN, NOW
from tls.authority import make_key
from tls.identity import SpiffeId
from tls.request import Permit, make_request

WEB = SpiffeId.host(DOMAIN, "web-1")
HOUR = 3600.0

T = TypeVar("T")


class Fleet:
    """An authority, a host, and the clock of both."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.begun = trio.current_time()
        self.store = Store.init(folder / "ca", DOMAIN, NOW)
        self.service = CaService(folder / "ca", None, self.now)
        self.away = False
        self.token = folder / "token"
        self.asked: list[str] = []
        self.environ: dict[str, str] = {}

    def now(self) -> datetime:
        """What the clock shows."""
        return NOW + timedelta(seconds=trio.current_time() - self.begun)

    def give_token(self, file: Path | None = None, mode: int = 0o600) -> None:
        """Put a token where the host finds it."""
        permit = Permit(WEB, ("web-1.example",))
        made = self.store.tokens.create(permit, self.store.roots[-1].certificate, self.now() + timedelta(hours=1))
        file = file or self.token
        file.write_text(f"{made}\n")
        file.chmod(mode)

    def host(self, *, ca: str | None = "ca.example:4150", token: bool = True) -> HostIdentity:
        """The agent of web-1."""
        config = Identity(dir=str(self.folder / "identity"), ca=ca, join_token_path=str(self.token) if token else None)
        authority = Authority(self._rejoin, self._renew, self._refresh)
        return HostIdentity(
            config,
            random.Random(7),
            environ=self.environ,
            now=self.now,
            authority=authority,
            offload=offload_inline,
        )

    async def _rejoin(self, address: str, token: Token, membership: Membership) -> None:
        key = make_key()
        given = self._ask("join", partial(self.service.join, token.secret, make_request(key), "10.0.0.7"))
        membership.take(key, given, address=address, domain=DOMAIN)

    async def _renew(self, membership: Membership) -> None:
        key, shown = make_key(), membership.leaf().public_bytes(Encoding.DER)
        given = self._ask("renew", partial(self.service.renew, shown, make_request(key), "10.0.0.7"))
        membership.write_trust(given)
        membership.write_pair(key, given.certificate)

    async def _refresh(self, membership: Membership) -> None:
        membership.write_trust(self._ask("trust", self.service.trust))

    def _ask(self, what: str, ask: Callable[[], T]) -> T:
        self.asked.append(what)
        if self.away:
            raise CaAwayError("https://ca.example:4150: cannot connect; does `nodeagent ca serve` run there?")
        try:
            return ask()
        except Refused as error:
            raise CaRefusedError(f"{error.status} {error}") from None


@pytest.fixture
async def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


@asynccontextmanager
async def kept(host: HostIdentity) -> AsyncIterator[HostIdentity]:
    """A host that has its certificate kept."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(host.run)
        yield host
        nursery.cancel_scope.cancel()


# The first start.


async def test_a_host_without_a_certificate_joins_by_its_token(fleet: Fleet) -> None:
    fleet.give_token()
    host = fleet.host()
    await host.join()

    assert fleet.asked == ["join"]
    assert host.membership.leaf().not_valid_after_utc == NOW + timedelta(hours=24)
    assert host.membership.authority() == ("ca.example:4150", DOMAIN)


async def test_one_that_has_a_certificate_asks_nobody(fleet: Fleet) -> None:
    fleet.give_token()
    await fleet.host().join()
    fleet.token.unlink()
    await fleet.host().join()
    await fleet.host(ca=None, token=False).join()

    assert fleet.asked == ["join"]


async def test_the_token_may_be_a_credential_of_the_service_manager(fleet: Fleet) -> None:
    fleet.give_token(fleet.folder / CREDENTIAL, mode=0o440)
    fleet.environ["CREDENTIALS_DIRECTORY"] = str(fleet.folder)
    host = fleet.host(token=False)
    await host.join()

    assert host.membership.certificate.exists()


async def test_an_authority_that_comes_later_is_waited_for(
    fleet: Fleet, autojump_clock: trio.testing.MockClock
) -> None:
    fleet.give_token()
    fleet.away = True
    host = fleet.host()
    with capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(host.join)
            await trio.sleep(25)
            fleet.away = False

    assert host.membership.certificate.exists()
    assert next(each["event"] for each in logs if each["log_level"] == "warning") == "the authority is not there yet"


async def test_one_that_does_not_come_is_waited_for_a_minute(
    fleet: Fleet, autojump_clock: trio.testing.MockClock
) -> None:
    fleet.give_token()
    fleet.away = True
    with pytest.raises(CaError, match="cannot connect; does `nodeagent ca serve` run there"):
        await fleet.host().join()

    assert trio.current_time() - fleet.begun < 60
    assert 2 < len(fleet.asked) < 12


async def test_who_is_refused_is_told_at_once_and_with_the_file(fleet: Fleet) -> None:
    fleet.give_token()
    await fleet.host().join()
    Path(fleet.folder / "identity").rename(fleet.folder / "elsewhere")
    with pytest.raises(CaError) as caught:
        await fleet.host().join()

    assert str(caught.value).startswith(
        f"{fleet.folder}/identity/cert.pem: there is no certificate yet, and joining by the token in {fleet.token} "
        "fails: 403 the join token was used already"
    )
    assert fleet.asked == ["join", "join"]


@pytest.mark.parametrize(
    ("token", "mode", "said"),
    [
        (None, 0o600, "fails: no such file or directory"),
        ("secret", 0o600, "fails: this is no join token: expected what `nodeagent ca token` prints"),
        ("naj1.A9ii.KorO", 0o600, "fails: this join token is not whole"),
        ("schlüssel", 0o600, "fails: expected what `nodeagent ca token` prints"),
        ("naj1.x.y", 0o644, "fails: its permissions are 0644; chmod it to 0600 or 0640"),
    ],
)
async def test_a_token_that_is_none(fleet: Fleet, token: str | None, mode: int, said: str) -> None:
    if token is not None:
        fleet.token.write_text(token)
        fleet.token.chmod(mode)
    with pytest.raises(CaError) as caught:
        await fleet.host().join()

    assert f"joining by the token in {fleet.token} {said}" in str(caught.value)
    assert fleet.asked == []


@pytest.mark.parametrize(
    ("ca", "token", "said"),
    [
        (None, False, "identity.ca must say where to join, or `nodeagent ca join` do it"),
        ("ca.example:4150", False, "identity.joinTokenPath must name a file with what `nodeagent ca token` prints"),
    ],
)
async def test_who_cannot_join_is_told_what_is_missing(fleet: Fleet, ca: str | None, token: bool, said: str) -> None:
    with pytest.raises(CaError) as caught:
        await fleet.host(ca=ca, token=token).join()

    assert str(caught.value) == f"{fleet.folder}/identity/cert.pem: there is no certificate yet; " + (
        said if ca is None else f"to join, {said}"
    )


async def test_a_certificate_that_cannot_be_read_is_not_replaced(fleet: Fleet) -> None:
    fleet.give_token()
    await fleet.host().join()
    (fleet.folder / "identity" / "current" / "cert.pem").write_text("half")
    with pytest.raises(CaError, match=r"identity/cert.pem: not certificates in PEM form"):
        await fleet.host().join()


async def test_a_key_that_others_may_read_is_not_used(fleet: Fleet) -> None:
    fleet.give_token()
    await fleet.host().join()
    (fleet.folder / "identity" / "key.pem").chmod(0o644)
    with pytest.raises(CaError, match=r"key.pem: others may read or change it \(mode 0644\); chmod 600"):
        await fleet.host().join()


# As it runs.


async def test_it_is_renewed_as_the_days_go_by(fleet: Fleet, autojump_clock: trio.testing.MockClock) -> None:
    fleet.give_token()
    host = fleet.host()
    await host.join()
    async with kept(host):
        await trio.sleep(HOUR * 24 * 3)
        shown, warning = host.to_json(), host.warning()

    assert fleet.asked.count("renew") == shown["renewals"] == 4
    assert shown["identity"] == str(WEB)
    assert (shown["failures"], shown["error"], warning) == (0, None, None)
    assert host.membership.leaf().not_valid_after_utc > fleet.now() + timedelta(hours=6)
    assert fleet.asked.count("trust") > 700, "every five minutes"


async def test_a_failure_is_shown_and_is_over_with_the_next_success(
    fleet: Fleet, autojump_clock: trio.testing.MockClock
) -> None:
    fleet.give_token()
    host = fleet.host()
    await host.join()
    async with kept(host):
        fleet.away = True
        await trio.sleep(HOUR * 20)
        counted, warning = host.renewals(), host.warning()
        fleet.away = False
        await trio.sleep(HOUR / 4)
        after, silent = host.renewals(), host.warning()

    assert counted.done == 0
    assert counted.failed > 10
    assert warning == (
        f"the certificate in {fleet.folder}/identity/cert.pem is not renewed, and is good until "
        "2026-03-02 12:00:00 UTC: https://ca.example:4150: cannot connect; does `nodeagent ca serve` run there?"
    )
    assert (after.done, silent) == (1, None)
    assert after.due is not None
    assert after.due > NOW.timestamp() + 24 * HOUR


async def test_who_was_away_for_too_long_comes_back_with_a_new_token(
    fleet: Fleet, autojump_clock: trio.testing.MockClock
) -> None:
    """At a start, and while it runs: then nobody has to start it anew."""
    fleet.give_token()
    host = fleet.host()
    await host.join()
    async with kept(host):
        fleet.away = True
        await trio.sleep(HOUR * 25)
        fleet.away = False
        await trio.sleep(HOUR / 2)
        warning = host.warning()
        with pytest.raises(
            CaError, match=r"cert.pem: the certificate has expired on 2026-03-02 12:00:00 UTC, and join"
        ):
            await fleet.host().join()
        fleet.give_token()
        await trio.sleep(HOUR / 2)

        assert host.membership.leaf().not_valid_after_utc > fleet.now()
        assert host.warning() is None
    assert "the certificate has expired on 2026-03-02 12:00:00 UTC, and joining by the token in" in str(warning)
    assert "the join token was used already" in str(warning)


async def test_who_is_revoked_is_told_so(fleet: Fleet, autojump_clock: trio.testing.MockClock) -> None:
    fleet.give_token()
    host = fleet.host()
    await host.join()
    fleet.store.revoke([host.membership.leaf().serial_number], fleet.now())
    async with kept(host):
        await trio.sleep(HOUR * 18)
        warning = host.warning()

    assert f"403 the certificate of {WEB} is revoked" in str(warning)


async def test_an_authority_that_moves_is_followed_by_the_configuration(fleet: Fleet) -> None:
    fleet.give_token()
    await fleet.host().join()

    assert fleet.host(ca="new.example:4150").membership.authority() == ("new.example:4150", DOMAIN)
    assert fleet.host(ca=None, token=False).membership.authority() == ("ca.example:4150", DOMAIN)
