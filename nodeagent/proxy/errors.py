"""Every answer that the agent gives on its own, as one small tree of errors.

    ProxyError
      BadRequest            the request cannot be understood           400 (or 414, 417, 421, 431, 501, 505)
      Denied                policy says no                             403 (or 503: no keys to read tokens with)
        BadToken            a token that is not good                   401
        Unauthenticated     no credentials, or others are asked for    401
      DestinationForbidden  that address may not be dialled            403
      NoSuchName            the name binds to nothing                  502
      NoEndpoints           bound, and nothing to send it to           503
        AllDead             its endpoints are all dead                 503
      Overloaded            a limit of the agent is reached            503
        EndpointFull        the limit of one endpoint                  503
      ConnectFailed         refused or unreachable                     502
      ConnectTimeout        no answer to a connect                     504
      TlsFailed             the handshake                              502
        TlsCertificateFailed  a certificate is refused                 502
      ResponseIncomplete    the backend closed too early               502
        ConnectionStale     it had closed a kept connection            502
      ResponseInvalid       the backend does not speak HTTP            502
      BindTimeout           naming took too long                       504
      DeadlineExceeded      attempt, total or propagated deadline      504
        TrialTimeout        no answer from what may have recovered     504
      LoopDetected          the request goes in circles                502
      InternalError         a bug                                      500

Each knows its status, its Proxy-Status type (RFC 9209, section 2.3), and whether the request provably never left
(`unsent`): that is decided where the fact is known, and it alone makes a repeat safe whatever the method.
The text is `STAGE NAME: what happened`, with the four stages identify, bind, balance, dial.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from nodeagent.proxy.messages import Response, block_of

if TYPE_CHECKING:
    from nodeagent.telemetry.exchange import Derivation


class ProxyError(Exception):
    """An answer that the agent makes itself. `message` is one line for people."""

    status = 502
    type = "proxy_internal_error"
    unsent = False
    retry_after: int | None = None
    """Seconds for a Retry-After field."""
    challenge: str | None = None
    """The WWW-Authenticate field, which 401 must have (RFC 9110, 15.5.2)."""
    derivation: Derivation | None = None
    """How a name came to be bound to nothing."""

    def __init__(self, message: str, *, status: int | None = None, unsent: bool | None = None) -> None:
        super().__init__(message)
        self.message = message
        if status is not None:
            self.status = status
        if unsent is not None:
            self.unsent = unsent


class BadRequest(ProxyError):
    """The client's fault: not valid HTTP, no Host, a bad dtab header, nobody identifies it."""

    status = 400
    type = "http_request_error"


class Denied(ProxyError):
    """Refused by policy."""

    status = 403
    type = "http_request_denied"


class BadToken(Denied):
    """It shows a token that is not good."""

    status = 401

    def __init__(self, message: str, why: str) -> None:
        """`why` has neither quotes nor backslashes."""
        super().__init__(message)
        self.challenge = f'Bearer error="invalid_token", error_description="{why}"'  # RFC 6750, 3.1


class Unauthenticated(Denied):
    """It does not show what it has to; whoever was asked says so, and what that is."""

    status = 401

    def __init__(self, challenge: str) -> None:
        super().__init__("policy: denied")
        self.challenge = challenge


class DestinationForbidden(ProxyError):
    """The address that would be dialled is not allowed."""

    status = 403
    type = "destination_ip_prohibited"
    unsent = True


class NoSuchName(ProxyError):
    """The name binds to nothing (Neg), or to Fail or Empty."""

    status = 502
    type = "destination_not_found"


class NoEndpoints(ProxyError):
    """The name is bound but has no usable endpoint, or the agent drains."""

    status = 503
    type = "destination_unavailable"
    unsent = True


class AllDead(NoEndpoints):
    """It has endpoints, none of them is alive, and they are not to be tried then."""

    retry_after = 1


class Overloaded(ProxyError):
    """In-flight, queue or memory limit reached: come back later."""

    status = 503
    type = "connection_limit_reached"
    unsent = True
    retry_after = 1


class EndpointFull(Overloaded):
    """As many requests as its pool allows hold or await a connection to one endpoint: another may have room."""

    def __init__(self, message: str, *, waited: bool) -> None:
        """`waited` tells that the request has spent the time that it may wait."""
        super().__init__(message)
        self.waited = waited

    @property
    def reason(self) -> str:
        """For the metrics: what of the queue was exhausted, its places or its time."""
        return "queue_timeout" if self.waited else "queue_full"


class ConnectFailed(ProxyError):
    """Connect refused or unreachable: nothing was sent."""

    status = 502
    type = "connection_refused"
    unsent = True
    nobody_listens = False
    """Whether the host is there, and nobody on that port."""


class ConnectTimeout(ProxyError):
    """Connect got no answer in time: nothing was sent."""

    status = 504
    type = "connection_timeout"
    unsent = True


class TlsFailed(ProxyError):
    """The handshake with the backend failed: nothing was sent."""

    status = 502
    type = "tls_protocol_error"
    unsent = True


class TlsCertificateFailed(TlsFailed):
    """The backend's certificate is not good, or ours is not for it: nothing was sent."""

    type = "tls_certificate_error"


class ResponseIncomplete(ProxyError):
    """The backend closed before a whole response head."""

    status = 502
    type = "http_response_incomplete"


class ConnectionStale(ResponseIncomplete):
    """The backend had closed a kept connection before the request reached it: nothing was sent."""

    unsent = True


class ResponseInvalid(ProxyError):
    """The backend's response is not valid HTTP."""

    status = 502
    type = "http_protocol_error"


class BindTimeout(ProxyError):
    """Naming did not finish within `bindingTimeoutMs`."""

    status = 504
    type = "dns_timeout"
    unsent = True


class DeadlineExceeded(ProxyError):
    """The attempt's, the request's or the caller's own deadline passed."""

    status = 504
    type = "http_response_timeout"


class TrialTimeout(DeadlineExceeded):
    """What may have recovered has not, and only a request that can be repeated was made to wait for it."""


class LoopDetected(ProxyError):
    """The request has passed through too often, or would reach the agent itself."""

    status = 502
    type = "proxy_loop_detected"


class InternalError(ProxyError):
    """A bug in the agent; the log has the rest."""

    status = 500
    type = "proxy_internal_error"


REASONS = {
    400: b"Bad Request",
    403: b"Forbidden",
    408: b"Request Timeout",
    414: b"URI Too Long",
    417: b"Expectation Failed",
    429: b"Too Many Requests",
    431: b"Request Header Fields Too Large",
    500: b"Internal Server Error",
    501: b"Not Implemented",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
    505: b"HTTP Version Not Supported",
}

MAX_ERROR_HEADER = 2048
"""Bytes of text in l5d-err and Proxy-Status: a name can be long, a header section cannot."""


def to_response(error: ProxyError, max_body: int = 5 << 20) -> Response:
    """Show `error` to a person (body), to linkerd's tools (l5d-err) and to machines (Proxy-Status)."""
    line = " ".join(error.message.split())
    printable = "".join(c if " " <= c <= "~" else "?" for c in line)[:MAX_ERROR_HEADER]
    quoted = printable.replace("\\", "\\\\").replace('"', '\\"')
    lines = [
        b"Content-Type: text/plain; charset=utf-8",
        b"l5d-err: " + quote(line[:MAX_ERROR_HEADER], safe="").encode()[: 3 * MAX_ERROR_HEADER],
        f'Proxy-Status: nodeagent; error={error.type}; details="{quoted}"'.encode(),
    ]
    if error.unsent:
        lines.append(b"l5d-retryable: true")
    if error.challenge is not None:
        lines.append(f"WWW-Authenticate: {error.challenge}".encode())
    if error.retry_after is not None:
        lines.append(b"Retry-After: %d" % error.retry_after)
    body = (line.encode("utf-8", "replace") + b"\n")[:max_body]
    return Response(error.status, REASONS.get(error.status, b""), block_of(lines), {}, body, len(body))
