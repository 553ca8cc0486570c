"""Why an endpoint is out: told once in the log, when it goes and when it is back, and shown with it meanwhile."""

from __future__ import annotations

from typing import Final

import structlog

from balancer.accrual import Change, Reason
from balancer.node import Node
from balancer.response_class import ResponseClass
from nodeagent.proxy.errors import ProxyError

MAX_CHARS: Final = 300
"""Of what is said of one failure."""

_OUT: Final = frozenset((Change.EJECTED, Change.REFUSED, Change.GONE, Change.ASKED))

log = structlog.get_logger("nodeagent.verdicts")


class Verdicts:
    """Of one client's balancer; its `heard` is that balancer's `on_health`."""

    __slots__ = ("_client", "_router", "why")

    def __init__(self, router: str, client: str) -> None:
        self._router = router
        self._client = client
        self.why = ""
        """What went wrong with the request whose outcome the balancer is told next."""

    def heard(self, node: Node, change: Change) -> None:
        """Say it, and note it at the node. linkerd logs it too ("marking connection to ... as dead")."""
        about = {"router": self._router, "client": self._client, "endpoint": node.endpoint.show()}
        if change is Change.REVIVED:
            node.trouble = None
            log.info("an endpoint is alive again", **about)
            return
        node.trouble = self.why[:MAX_CHARS]
        if change in _OUT:
            reason = node.accrual.reason
            say = log.info if reason is Reason.ASKED else log.warning
            say("an endpoint is out", reason=reason and reason.value, error=node.trouble, **about)

    def all_out(self, policy: str) -> None:
        """Say that no endpoint is alive, and by which `whenAllDead` requests go on."""
        log.warning("no endpoint is alive", router=self._router, client=self._client, whenAllDead=policy)


def of_status(status: int) -> str:
    """What is said of an answer that was no success."""
    return f"answered {status}"


def of_error(error: BaseException, outcome: ResponseClass) -> str:
    """What is said of a request without an answer, of which the balancer is told `outcome`."""
    if isinstance(error, ProxyError):
        return error.message
    match outcome:
        case ResponseClass.FAILURE:
            return "no response in time"
        case ResponseClass.LOST:
            return "another endpoint, which was asked later, answered before it"
        case _:
            return "no response before the caller gave up"
