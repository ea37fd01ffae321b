"""The outcome of a job that the model has processed."""

from dataclasses import dataclass
from typing import Generic, TypeVar

Result = TypeVar("Result", covariant=True)


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Result]):
    """What the model returned for one job, and what that took."""

    result: Result
    queue_wait_s: float
    """Seconds between the job's entry into the queue and the start of its batch."""
    inference_s: float
    """Seconds that the model needed for the batch."""
    lane: int
    """Number of the lane that ran the batch."""
    batch_size: int
    """Jobs in the batch."""
