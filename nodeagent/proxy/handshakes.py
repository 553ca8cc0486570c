"""TLS on a listener: the handshakes of those who call. An edge.

A handshake has a deadline, and there are so many at once at most, of which callers have equal parts when they are used
up. What fails is counted by a reason, one of few, and said in the log with more words.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final

import trio

from nodeagent.proxy.fairness import Accounts
from nodeagent.proxy.tlsfaults import certificate_fault
from nodeagent.proxy.tlswire import HandshakeTooLong, TlsWire
from tls.names import by_name

if TYPE_CHECKING:
    from nodeagent.proxy.caller import Caller
    from nodeagent.proxy.wire import Wire
    from nodeagent.telemetry.stats import ServerStats
    from tls.contexts import Side
    from tls.peer import Peer

_REASONS: Final = {
    "HTTP_REQUEST": ("plain_http", "it speaks HTTP without TLS"),
    "HTTPS_PROXY_REQUEST": ("plain_http", "it speaks HTTP without TLS"),
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": ("no_certificate", "it shows no certificate"),
    "UNSUPPORTED_PROTOCOL": ("version", "it speaks no version of TLS that is allowed here"),
    "NO_SHARED_CIPHER": ("cipher", "it knows no cipher suite that is allowed here"),
    "NO_SUITABLE_SIGNATURE_ALGORITHM": ("cipher", "it takes no signature that the certificate here can make"),
    "CALLBACK_FAILED": ("unknown_name", "it asks for a name (SNI) that no certificate here is for"),
    "WRONG_VERSION_NUMBER": ("not_tls", "it does not speak TLS"),
    "UNEXPECTED_EOF_WHILE_READING": ("closed", "it closed the connection"),
}
"""By what OpenSSL says is the reason. The rest is `protocol`; what the caller says itself, an alert, is `alert`."""


class HandshakeFailed(Exception):
    """A connection comes to nothing. `kind` is one of few words; the message says more."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class PeerRefused(ssl.SSLError):
    """A client whose certificate is in order, and who is not let in all the same."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        """In one word."""


class Handshakes:
    """What makes connections to one listener secure."""

    def __init__(self, side: Callable[[], Side], *, within: float, most: int, stats: ServerStats) -> None:
        """`side` tells what holds for a new connection. A handshake may take `within` seconds, and be one of `most`."""
        self._side = side
        self._within = within
        self._under_way = Accounts(most)
        self._stats = stats

    async def secure(self, wire: Wire, caller: Caller) -> TlsWire:
        """Shake hands on a connection, and return what takes its place. Raises HandshakeFailed, with it closed.

        Cancelling closes it, too.
        """
        stats, under_way = self._stats, self._under_way
        if not under_way.has_place(caller):
            wire.close()
            raise HandshakeFailed("too_many", f"{under_way.connections} handshakes are under way")
        under_way.open(caller)
        stats.tls_handshaking += 1
        try:
            with trio.fail_after(self._within):
                secured = await accept_tls(wire, self._side())
        except trio.TooSlowError:
            raise HandshakeFailed("timeout", f"the handshake was not over after {self._within:g} s") from None
        except OSError as error:
            raise HandshakeFailed(*why_failed(error)) from None
        finally:
            stats.tls_handshaking -= 1
            under_way.close(caller)
        stats.tls_handshakes[secured.version] += 1
        return secured


async def accept_tls(plain: Wire, side: Side) -> TlsWire:
    """Speak TLS on a connection that was accepted, as the server. It takes the place of `plain`, which is let go of.

    Raises OSError, PeerRefused among them. Then, and when cancelled, the socket is closed.
    """
    sock, begun = plain.release()
    try:
        wire = TlsWire(sock, side.context, server_side=True, begun=begun)
    except BaseException:
        sock.close()
        raise
    try:
        await wire.handshake()
        certificate = wire.peer_certificate()
        if certificate is not None:
            wire.client = _peer(certificate, side)
        if side.names:
            wire.is_misdirected = partial(_is_misdirected, side.names, wire.context)
    except BaseException:
        wire.close()
        raise
    return wire


def _is_misdirected(names: Mapping[str, ssl.SSLContext], shown: ssl.SSLContext, authority: bytes) -> bool:
    """Tell whether a host is one of the listener's names, and of another certificate than the one that was shown."""
    found = by_name(names, authority.decode("latin-1").partition(":")[0])
    return found is not None and found is not shown


def _peer(certificate: bytes, side: Side) -> Peer:
    """Say who has shown a certificate that was verified, now or (RFC 5077, 3.3) when its session began."""
    from tls.identity import IdentityError  # only where there are certificates
    from tls.peer import read_peer

    try:
        peer = read_peer(certificate)
    except IdentityError as error:
        raise PeerRefused("certificate_identity", str(error)) from None
    if peer.expires < datetime.now(UTC):
        raise PeerRefused("certificate_expired", f"the certificate of {peer.identity} has expired")
    if side.revoked is not None and side.revoked.revokes_der(certificate):
        raise PeerRefused("certificate_revoked", f"the certificate of {peer.identity} is revoked")
    return peer


def why_failed(error: OSError) -> tuple[str, str]:
    """Say why a handshake failed: in a word of which there are few, and in a sentence about the caller. Pure."""
    match error:
        case PeerRefused():
            return error.kind, str(error)
        case HandshakeTooLong():
            return "too_long", "it says more than belongs to a handshake"
        case ssl.SSLCertVerificationError():
            kind, fault = certificate_fault(error)
            return f"certificate_{kind}", f"its certificate is refused: {fault}"
        case ssl.SSLEOFError():
            return _REASONS["UNEXPECTED_EOF_WHILE_READING"]
        case ssl.SSLError(reason=str(reason)):
            words = reason.replace("_", " ").lower()
            other = ("alert", f"it refuses: {words}") if "_ALERT_" in reason else ("protocol", words)
            return _REASONS.get(reason, other)
        case ssl.SSLError():
            return "protocol", str(error)
        case _:
            return "broken", (error.strerror or str(error)).lower()
