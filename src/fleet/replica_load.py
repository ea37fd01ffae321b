"""What a replica reports about its load, and what an upload can expect there. No clock, no I/O, no Ray."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

UPLOAD_AUDIO_S = 10.0
"""Seconds of audio that an upload counts for until its replica has reported it: a voice message, a turn of a call."""
MAX_AGE_S = 10.0
"""A report older than this, in seconds, says nothing about the queue any more: its replica has ceased to report."""


@dataclass(frozen=True, slots=True)
class ReplicaLoad:
    """The load of one replica as it was reported, and what was sent there since."""

    queued_audio_s: float = 0.0
    """Seconds of decoded audio that wait for the model or are in a batch."""
    uploads: int = 0
    """Requests in progress, from their admission to their answer."""
    sessions: int = 0
    """Realtime sessions that are open."""
    max_sessions: float = math.inf
    """Most sessions that it takes."""
    audio_s_per_s: float = 0.0
    """Seconds of audio that its model takes in a second, by its last batches; 0: not known yet."""
    is_ready: bool = True
    """Whether it takes requests: its model is loaded and it is not told to stop."""
    age_s: float = 0.0
    """Seconds since this was reported."""
    uploads_since: int = 0
    """Uploads sent there since then that are still in progress."""
    sessions_since: int = 0
    """Sessions sent there since then that are still open."""

    @classmethod
    def from_report(cls, report: Mapping[str, float]) -> "ReplicaLoad":
        """Return the load that a replica's report says: `dataclasses.asdict` of a `src.metrics.load.Load`.

        What is missing has its default, so a replica that has not reported yet counts as idle.
        """
        return cls(
            queued_audio_s=report.get("queued_audio_s", 0.0) + report.get("running_audio_s", 0.0),
            uploads=int(report.get("uploads", 0)),
            sessions=int(report.get("sessions", 0)),
            max_sessions=report.get("max_sessions", math.inf),
            audio_s_per_s=report.get("audio_s_per_s", 0.0),
            is_ready=bool(report.get("ready", True)),
        )

    @property
    def open_sessions(self) -> int:
        """Sessions there now, as far as is known."""
        return self.sessions + self.sessions_since

    @property
    def open_uploads(self) -> int:
        """Uploads there now, as far as is known."""
        return self.uploads + self.uploads_since

    def upload_wait_s(self, usual_speed: float) -> float:
        """Return how many seconds an upload would wait there for the model.

        What was queued has been worked off since the report; what was sent since is not in it. Sessions do not count:
        they take a share of the model, and where that is large the queue grows.

        Args:
            usual_speed: seconds of audio per second that a model of unknown speed is taken to do.
        """
        speed = self.audio_s_per_s or usual_speed
        reported_s = self.queued_audio_s if self.age_s <= MAX_AGE_S else 0.0
        return max(0.0, reported_s / speed - self.age_s) + self.uploads_since * UPLOAD_AUDIO_S / speed

    def takes(self, is_session: bool) -> bool:
        """Return whether it is expected to admit an upload, or a session."""
        return self.is_ready and not (is_session and self.open_sessions >= self.max_sessions)
