"""What went wrong with TLS, in words: as an error of the route, and of which there are few. Pure."""

from __future__ import annotations

import ssl
from typing import Final

from nodeagent.proxy.errors import TlsCertificateFailed, TlsFailed

CERTIFICATE_FAULTS: Final = {
    9: ("not_yet_valid", "it is not valid yet"),
    10: ("expired", "it has expired"),
    18: ("untrusted", "it is self-signed, and not trusted"),
    19: ("untrusted", "its issuer is not trusted"),
    20: ("untrusted", "its issuer is unknown"),
    21: ("untrusted", "its issuer is unknown"),
    26: ("usage", "it is not for this use (extended key usage)"),
}
"""By X509_V_ERR_... of OpenSSL, in a word and in a sentence about a certificate; the others are said in its words."""


_REFUSALS: Final = {
    "SSLV3_ALERT_BAD_CERTIFICATE": "it is not in order",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "it is not for this use",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "it is revoked",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "it has expired",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "it is not accepted",
    "TLSV1_ALERT_UNKNOWN_CA": "its issuer is not trusted there",
    "TLSV1_ALERT_ACCESS_DENIED": "whose it is may not call",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "none was shown, and one is asked for",
}
"""Alerts about the certificate of this side (RFC 8446, 6.2), as OpenSSL calls them."""


def tls_failure(error: Exception, where: str) -> TlsFailed:
    """Say why TLS did not come about; the `type` tells a certificate that is refused from the rest."""
    refusal = refused_by_peer(error, where)
    if refusal is not None:
        return refusal
    match error:
        case ssl.SSLCertVerificationError():
            _, fault = certificate_fault(error)
            return TlsCertificateFailed(f"{where}: the certificate is refused: {fault}")
        case ssl.SSLEOFError() | ssl.SSLError(reason="UNEXPECTED_EOF_WHILE_READING"):  # the latter before 3.11.4
            reason = "the connection was closed"
        case ssl.SSLError(reason="WRONG_VERSION_NUMBER"):
            reason = "the endpoint does not speak TLS"
        case ssl.SSLError(reason=str(reason)):
            reason = reason.replace("_", " ").lower()
        case OSError(strerror=str(reason)):
            reason = reason.lower()
        case _:
            reason = str(error)
    return TlsFailed(f"{where}: no TLS: {reason}")


def refused_by_peer(error: BaseException, where: str) -> TlsCertificateFailed | None:
    """Say that the peer refuses the certificate of this side, if `error` is that; else None.

    In TLS 1.3 a client hears of it only when it reads an answer. What it has sent by then was not even looked at: the
    handshake was not over for the server.
    """
    why = _REFUSALS.get(error.reason or "") if isinstance(error, ssl.SSLError) else None
    return None if why is None else TlsCertificateFailed(f"{where}: our certificate is refused: {why}")


def certificate_fault(error: ssl.SSLCertVerificationError) -> tuple[str, str]:
    """Say what is wrong with a certificate that is refused: in a word of which there are few, and in a sentence."""
    return CERTIFICATE_FAULTS.get(error.verify_code, ("invalid", error.verify_message.rstrip(".").lower()))
