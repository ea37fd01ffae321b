"""The trace of a request or realtime item: its status and figures while it runs, and its log lines at the end."""

import logging
import time
from dataclasses import dataclass, field

from src.metrics.log import MetricsLog
from src.metrics.record import Record

log = logging.getLogger("src.access")

CLIENT_CLOSED = 499
"""Status of a request whose client disconnected before the response. nginx uses the same number."""


@dataclass(slots=True)
class Measurements:
    """Figures that a transcription fills in while it runs. Times are in seconds; None means not reached yet.

    `add_audio` may be called in the thread that decodes, all else is written in the event loop.
    """

    audio_len_s: float | None = None
    duration_preprocess_s: float | None = None
    duration_inference_s: float | None = None
    queue_wait_s: float | None = None
    lane: int | None = None
    batch_size: int | None = None

    def add_audio(self, seconds: float) -> None:
        """Add audio that was decoded."""
        self.audio_len_s = (self.audio_len_s or 0.0) + seconds

    def add_preprocessing(self, seconds: float) -> None:
        """Add time spent on decoding and cutting."""
        self.duration_preprocess_s = (self.duration_preprocess_s or 0.0) + seconds

    def add_clip(self, *, queue_wait_s: float, inference_s: float, lane: int, batch_size: int) -> None:
        """Add a transcribed clip. Inference times are summed; the other figures are those of the first clip."""
        self.duration_inference_s = (self.duration_inference_s or 0.0) + inference_s
        if self.queue_wait_s is None:
            self.queue_wait_s = queue_wait_s
            self.lane = lane
            self.batch_size = batch_size


@dataclass(slots=True)
class Trace:
    """The status and figures of a request or a realtime item so far."""

    request_id: str
    started: float = field(default_factory=time.monotonic)
    status: int = CLIENT_CLOSED
    error_code: str | None = None
    """The `code` of its error, if it ends in one."""
    measured: Measurements = field(default_factory=Measurements)

    @property
    def total_s(self) -> float:
        """Seconds since it started."""
        return time.monotonic() - self.started

    @property
    def outcome(self) -> str:
        """The status and the error's code, if there is one, as text for a log."""
        return f"{self.status} {self.error_code}" if self.error_code else f"{self.status}"

    def record(
        self, *, model: str, route: str, sessions: int | None = None, process_started: float | None = None
    ) -> Record:
        """Return the record of a request or item that ends now. The parameters are fields of `Record`."""
        return Record(
            ts=time.time(),
            status="ok" if self.status < 400 else "error",
            code=self.status,
            audio_len_s=self.measured.audio_len_s,
            duration_preprocess_s=self.measured.duration_preprocess_s,
            duration_inference_s=self.measured.duration_inference_s,
            duration_total_s=self.total_s,
            queue_wait_s=self.measured.queue_wait_s,
            model=model,
            request_id=self.request_id,
            route=route,
            lane=self.measured.lane,
            batch_size=self.measured.batch_size,
            error=self.error_code,
            sessions=sessions,
            process_started=process_started,
        )


def write_trace(trace: Trace, metrics: MetricsLog, *, model: str, route: str, label: str) -> None:
    """Write a request or item that ends now to the metrics log and to the access log, one line each.

    Args:
        trace: the request or item.
        metrics: the metrics log.
        model: name of the model.
        route: path template of the route.
        label: its name in the access log, such as `POST /v1/audio/transcriptions` or `WS /v1/realtime item`.
    """
    record = trace.record(
        model=model, route=route, sessions=metrics.live_sessions(), process_started=metrics.process_started
    )
    metrics.write(record)
    audio = "" if record.audio_len_s is None else f", audio {record.audio_len_s:.2f} s"
    log.info("%s %s in %.3f s%s, %s", label, trace.outcome, record.duration_total_s, audio, record.request_id)
