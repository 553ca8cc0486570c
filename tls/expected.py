"""Whether a peer is the one that was meant, by its SPIFFE id. Pure.

Who is expected is written as an id, in which `{node}` stands for the name of the peer's host as discovery tells it:
`spiffe://mesh.example/host/{node}`. Where discovery does not tell, any name will do, and the rest still counts.
"""

from __future__ import annotations

import re
from typing import Final

from cryptography import x509

from tls.identity import IdentityError, SpiffeId, peer_identity

NODE: Final = "{node}"

_NAME: Final = "[A-Za-z0-9._-]+"
"""What a name may be made of: a segment of an id, or a part of one."""


def check_expected(text: str) -> str:
    """Return `text`, which says who is expected. Raises IdentityError when it could not be an id."""
    if not SpiffeId.parse(text.replace(NODE, "node")).path:
        raise IdentityError(f"{text[:80]} is a trust domain; expected a path that says who in it")
    return text


def verify_peer(certificate: bytes | None, expected: str, node: str | None) -> str:
    """Return the id of a certificate (DER) whose chain was verified already. `node` is the name of the host, if known.

    Raises IdentityError when the certificate has none, or is somebody else's.
    """
    if certificate is None:
        raise IdentityError("none is shown")
    try:
        identity = str(peer_identity(x509.load_der_x509_certificate(certificate)))
    except IdentityError:
        raise
    except (ValueError, x509.InvalidVersion) as error:
        raise IdentityError(f"it cannot be read: {str(error)[:120]}") from None
    if node is None:
        if not re.fullmatch(_NAME.join(map(re.escape, expected.split(NODE))), identity):
            raise IdentityError(f"it is of {identity}, not of {expected.replace(NODE, '*')}")
    elif identity != expected.replace(NODE, node):
        raise IdentityError(f"it is of {identity}, not of {expected.replace(NODE, node)}")
    return identity
