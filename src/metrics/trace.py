"""The trace of a request or realtime item: its status and figures while it runs, and its log lines at the end."""

import asyncio
import logging
import os
import time
from dataclasses import dataclass, field, replace
from typing import NoReturn

from src.metrics.log import MetricsLog
from src.metrics.record import Record
from src.metrics.refusals import Refusal

log = logging.getLogger("src.access")

CLIENT_CLOSED = 499
"""Status of a request whose client disconnected before the response. nginx uses the same number."""
COUNTED_S = 60.0
"""How often the refused requests without a line of their own are written, as one line for each kind."""


def new_request_id() -> str:
    """Return a unique request id in OpenAI's form: `req_` and 32 hexadecimal digits."""
    return f"req_{os.urandom(16).hex()}"


@dataclass(slots=True)
class Measurements:
    """Figures that a transcription fills in while it runs. Times are in seconds; None means not reached yet.

    `add_audio` may be called in the thread that decodes, and `add_diarization` in one thread at a time; all else is
    written in the event loop.
    """

    audio_len_s: float | None = None
    duration_preprocess_s: float | None = None
    duration_inference_s: float | None = None
    queue_wait_s: float | None = None
    lane: int | None = None
    batch_size: int | None = None
    duration_diarize_s: float | None = None

    def add_audio(self, seconds: float) -> None:
        """Add audio that was decoded."""
        self.audio_len_s = (self.audio_len_s or 0.0) + seconds

    def add_preprocessing(self, seconds: float) -> None:
        """Add time spent on decoding and cutting."""
        self.duration_preprocess_s = (self.duration_preprocess_s or 0.0) + seconds

    def add_diarization(self, seconds: float) -> None:
        """Add time spent on telling speakers apart."""
        self.duration_diarize_s = (self.duration_diarize_s or 0.0) + seconds

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
        self,
        *,
        model: str,
        route: str,
        sessions: int | None = None,
        process_started: float | None = None,
        replica: str | None = None,
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
            duration_diarize_s=self.measured.duration_diarize_s,
            replica=replica,
        )


def write_trace(
    trace: Trace, metrics: MetricsLog, *, model: str, route: str, label: str, client: str | None = None
) -> None:
    """Write a request or item that ends now to the metrics log and to the access log, one line each.

    Requests that fail before they bring audio are only counted when many come: see `write_counts`.

    Args:
        trace: the request or item.
        metrics: the metrics log.
        model: name of the model.
        route: path template of the route.
        label: its name in the access log, such as `POST /v1/audio/transcriptions` or `WS /v1/realtime item`.
        client: the address that it came from, if the access log is to name that.
    """
    if trace.status >= 400 and trace.measured.audio_len_s is None:
        refusal = Refusal(model, route, label, trace.status, trace.error_code)
        if not metrics.refusals.has_line(refusal, time.monotonic()):
            return
    record = _record(trace, metrics, model, route)
    metrics.write(record)
    audio = "" if record.audio_len_s is None else f", audio {record.audio_len_s:.2f} s"
    origin = f", from {client}" if client else ""
    log.info("%s %s in %.3f s%s, %s%s", label, trace.outcome, record.duration_total_s, audio, record.request_id, origin)


def _record(trace: Trace, metrics: MetricsLog, model: str, route: str) -> Record:
    return trace.record(
        model=model,
        route=route,
        sessions=metrics.live_sessions(),
        process_started=metrics.process_started,
        replica=metrics.replica,
    )


def write_refusal(metrics: MetricsLog, model: str, protocol: str, status: int, code: str) -> None:
    """Write a request that the server has answered in place of the application: broken, too slow or no WebSocket.

    Args:
        metrics: the metrics log.
        model: name of the model.
        protocol: `HTTP` or `WS`.
        status: the answer's status.
        code: the error's code.
    """
    trace = Trace(new_request_id(), status=status, error_code=code)
    write_trace(trace, metrics, model=model, route="unknown", label=f"{protocol} unknown")


def write_counts(metrics: MetricsLog) -> None:
    """Write the refused requests that had no line of their own since the last call, one line for each kind."""
    for refusal, count in metrics.refusals.take_counts().items():
        trace = Trace("", status=refusal.status, error_code=refusal.code)
        record = _record(trace, metrics, refusal.model, refusal.route)
        metrics.write(replace(record, duration_total_s=0.0, count=count))
        log.info("%s %s, %d more like it", refusal.label, trace.outcome, count)


async def write_counts_periodically(metrics: MetricsLog) -> NoReturn:
    """Call `write_counts` every `COUNTED_S`, until cancelled."""
    while True:
        await asyncio.sleep(COUNTED_S)
        write_counts(metrics)
