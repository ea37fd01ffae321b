"""A line of the metrics log."""

import json
import math
from dataclasses import dataclass, fields

DECIMALS = 6  # microseconds


@dataclass(frozen=True, slots=True)
class Record:
    """A finished request, or a finished item of a realtime session, whether it succeeded or not.

    The fields are the keys of the line, in this order. None means that the request did not get that far: a request that
    was rejected on arrival has no audio, no queue wait and no batch.
    """

    ts: float
    """End of the request, in Unix seconds."""
    status: str
    """`ok` or `error`. A client that disconnects counts as an error."""
    code: int
    """HTTP status of the response; 499 if the client disconnected."""
    audio_len_s: float | None
    """Seconds of audio."""
    duration_preprocess_s: float | None
    """Seconds spent on decoding and cutting the audio."""
    duration_inference_s: float | None
    """Seconds that the model spent on the batches that had a clip of this request."""
    duration_total_s: float
    """Seconds from the arrival of the request to its end."""
    queue_wait_s: float | None
    """Seconds that its first clip waited in the queue."""
    model: str
    request_id: str
    route: str
    lane: int | None
    """Number of the lane that ran its first clip."""
    batch_size: int | None
    """Clips in the batch of its first clip."""
    error: str | None
    """The `code` of the error response, such as `queue_full`."""
    sessions: int | None = None
    """Realtime sessions that were open in this process when the request ended."""
    process_started: float | None = None
    """When this process started, in Unix seconds: a reader tells a restart from a quiet hour by it."""
    count: int | None = None
    """Number of requests that the line stands for, if more than one."""
    duration_diarize_s: float | None = None
    """Seconds spent on telling speakers apart, beside the model, if the request asked who speaks."""
    replica: str | None = None
    """Name of the replica that served the request, where there are several."""

    def to_line(self) -> str:
        """Return the record as a JSON object on one line of ASCII, without a line break."""
        entry = {name: _rounded(getattr(self, name)) for name in _NAMES}
        extras = {name: _rounded(value) for name in OPTIONAL_NAMES if (value := getattr(self, name)) is not None}
        return json.dumps(entry | extras, separators=(",", ":"))


OPTIONAL_NAMES = ("sessions", "process_started", "count", "duration_diarize_s", "replica")
"""The last fields: a line has those of them that are known. Lines of earlier versions have none."""
_NAMES = tuple(field.name for field in fields(Record) if field.name not in OPTIONAL_NAMES)


def _rounded(value: float | str | None) -> float | str | None:
    """Round floats to microseconds. NaN and infinity become null, as JSON has neither."""
    if not isinstance(value, float):
        return value
    return round(value, DECIMALS) if math.isfinite(value) else None
