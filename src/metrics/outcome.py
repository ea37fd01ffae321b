"""What became of a request, in the four kinds that an operator tells apart."""

from enum import Enum


class RequestOutcome(Enum):
    """The kinds, each with its name in words."""

    SUCCESS = "success"
    REFUSED = "refused"
    """429 and 503: the service could not take or finish the request now, and says so. The client may come again."""
    CLIENT_ERROR = "client error"
    """Other 4xx: the request was wrong, or its client left (499)."""
    FAILED = "failed"
    """5xx: the service did not do what it should."""


REFUSALS = (429, 503)


def outcome_of(code: int) -> RequestOutcome:
    """Return the kind of an HTTP status. Successes have one below 400."""
    if code < 400:
        return RequestOutcome.SUCCESS
    if code in REFUSALS:
        return RequestOutcome.REFUSED
    return RequestOutcome.CLIENT_ERROR if code < 500 else RequestOutcome.FAILED
