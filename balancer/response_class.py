"""What one finished request says about the endpoint that served it.

The words are finagle's. A classifier decides which applies; load, health and retries act on it.
"""

import enum


class ResponseClass(enum.Enum):
    """The verdict on one request, as given to ``Balancer.end``."""

    SUCCESS = "success"
    FAILURE = "failure"
    RETRYABLE = "retryable"
    """A failure too, but one that may be tried again."""
    REFUSED = "refused"
    """A failure too: no connection came about. No classifier says so, there is no response to look at."""
    REJECTED = "rejected"
    """The endpoint wants fewer requests (429): no failure, but nothing that should look fast. As REFUSED."""
    GIVEN_UP = "given up"
    """Its caller left after it was asked, and before it answered. As REFUSED."""
    LOST = "lost"
    """It was not answered when a copy, sent later to another endpoint, was. As REFUSED."""
    IGNORABLE = "ignorable"
    """Nothing was learnt, for example because the caller broke off its own request."""
