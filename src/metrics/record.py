"""One line of the metrics log."""

import json
import math
from dataclasses import dataclass, fields

DECIMALS = 6  # microseconds


@dataclass(frozen=True, slots=True)
class Record:
    """One finished request, or one committed item of a realtime session, whatever became of it.

    The fields are the keys of its line, in this order. `None` stands for what a request never reached: one that was
    turned away at the door has no audio, no queue wait and no batch.
    """

    ts: float
    """When it ended, in Unix seconds."""
    status: str
    """`ok` or `error`; a client that left counts as an error."""
    code: int
    """HTTP status of the answer; 499 for a client that left before there was one."""
    audio_len_s: float | None
    """Seconds of audio."""
    duration_preprocess_s: float | None
    """Seconds spent on reading and decoding the audio."""
    duration_inference_s: float | None
    """Seconds the model worked on the batches that this request was in."""
    duration_total_s: float
    """Seconds from the request's arrival to its end."""
    queue_wait_s: float | None
    """Seconds in the queue."""
    model: str
    request_id: str
    route: str
    lane: int | None
    """The lane worker that took it."""
    batch_size: int | None
    """Clips in the batch that it was in."""
    error: str | None
    """The `code` of the error's body, such as `queue_full`."""

    def to_line(self) -> str:
        """Return the record as one JSON object in one line of ASCII, without the line's end."""
        return json.dumps({name: _rounded(getattr(self, name)) for name in _NAMES}, separators=(",", ":"))


_NAMES = tuple(field.name for field in fields(Record))


def _rounded(value: float | str | None) -> float | str | None:
    """Cut floats to microseconds; JSON knows neither NaN nor infinity, so they become null."""
    if not isinstance(value, float):
        return value
    return round(value, DECIMALS) if math.isfinite(value) else None
