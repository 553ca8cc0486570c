"""Telling endpoints of the caller's certificate. Composed when a name is bound; others pay nothing for it.

What callers say in `X-Forwarded-Client-Cert` themselves never comes so far: it is one of the fields that the agent owns
(messages.py). linkerd 1.x's ForwardClientCertFilter, in Envoy's form.
"""

from __future__ import annotations

from nodeagent.proxy.classify import Classify
from nodeagent.proxy.messages import Request, Response
from nodeagent.proxy.rehost import Send


def with_client_cert(send: Send) -> Send:
    """The same attempts, with the certificate of whoever has shown one."""

    async def send_with(request: Request, classify: Classify) -> Response:
        if request.client is not None:
            request.fields += b"X-Forwarded-Client-Cert: %b\r\n" % request.client.header
        return await send(request, classify)

    return send_with
