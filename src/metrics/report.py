"""What the numbers mean (a window of length W holds the requests that ended after now - W and not after now):

requests     all requests, whatever their outcome
success      the share with status "ok"
req/min      requests divided by the window's length in minutes
audio min    minutes of audio of the successful requests
RTFx         audio seconds of the successful requests per second that the model was busy; each request of a batch
             carries the batch's inference time, so the model was busy for the sum of duration_inference_s / batch_size
total        duration_total_s of the successful requests: 50th, 95th and 99th percentile, in seconds,
queue wait   queue_wait_s of the same,
inference    and duration_inference_s of the same; percentiles interpolate linearly between neighbours
batch        mean batch_size of the requests that were in a batch
errors       requests with status "error", by HTTP status and, in the table, by the error's own code
"""

import re
from collections import Counter
from dataclasses import dataclass

import numpy as np

from src.metrics.history import Column, Requests
from src.metrics.parser import Failure

DECIMALS = 6
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class ReportWindow:
    """A time span that ends now."""

    name: str
    seconds: float

    @classmethod
    def parse(cls, text: str) -> "ReportWindow":
        """Return the window for a text such as `30m`, `1.5h`, `3d` or `90s`.

        Raises:
            ValueError: the text has another form, or its length is 0.
        """
        match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([smhd])", text)
        seconds = float(match[1]) * _SECONDS[match[2]] if match else 0.0
        if not seconds:
            raise ValueError(text)
        return cls(text, seconds)


@dataclass(frozen=True, slots=True)
class Percentiles:
    """The 50th, 95th and 99th percentile of values, in their unit; None if there are no values."""

    p50: float | None
    p95: float | None
    p99: float | None

    @classmethod
    def of(cls, values: Column) -> "Percentiles":
        """Return the percentiles of values (values,), ignoring NaN."""
        known = values[~np.isnan(values)]
        if not known.size:
            return cls(None, None, None)
        return cls(*(float(value) for value in np.percentile(known, (50, 95, 99))))


@dataclass(frozen=True, slots=True)
class Summary:
    """The report's numbers for one window. A mean or ratio of nothing is None."""

    window: ReportWindow
    requests: int
    ok: int
    audio_s: float
    busy_s: float
    total_s: Percentiles
    queue_wait_s: Percentiles
    inference_s: Percentiles
    mean_batch_size: float | None
    errors: dict[Failure, int]

    @property
    def success_rate(self) -> float | None:
        """Share of requests that succeeded, 0 to 1."""
        return self.ok / self.requests if self.requests else None

    @property
    def requests_per_minute(self) -> float:
        """Requests per minute of the window."""
        return self.requests / self.window.seconds * 60

    @property
    def rtfx(self) -> float | None:
        """Seconds of audio per second that the model was busy."""
        return self.audio_s / self.busy_s if self.busy_s else None

    def to_json(self) -> dict[str, object]:
        """Return the summary as `--json` prints it."""
        by_code: Counter[str] = Counter()
        by_error: Counter[str] = Counter()
        for failure, count in self.errors.items():
            by_code[str(failure.code)] += count
            by_error[failure.error or "unknown"] += count
        return {
            "window": self.window.name,
            "window_s": self.window.seconds,
            "requests": self.requests,
            "ok": self.ok,
            "success_rate": _rounded(self.success_rate),
            "requests_per_minute": _rounded(self.requests_per_minute),
            "audio_minutes": _rounded(self.audio_s / 60),
            "rtfx": _rounded(self.rtfx),
            "total_s": _percentiles_json(self.total_s),
            "queue_wait_s": _percentiles_json(self.queue_wait_s),
            "inference_s": _percentiles_json(self.inference_s),
            "mean_batch_size": _rounded(self.mean_batch_size),
            "errors_by_code": dict(by_code),
            "errors_by_reason": dict(by_error),
        }


def summarize(requests: Requests, window: ReportWindow, now: float) -> Summary:
    """Return the report's numbers over `window`, which ends at `now` (Unix seconds)."""
    inside = requests.between(now - window.seconds, now)
    done = inside.where(inside.ok)
    batch_sizes = inside["batch_size"][~np.isnan(inside["batch_size"])]
    return Summary(
        window=window,
        requests=inside.count,
        ok=done.count,
        audio_s=float(np.nansum(done["audio_len_s"])),
        busy_s=float(
            np.nansum(inside["duration_inference_s"] / np.fmax(inside["batch_size"], 1))
        ),  # fmax turns NaN, an unknown batch size, into 1
        total_s=Percentiles.of(done["duration_total_s"]),
        queue_wait_s=Percentiles.of(done["queue_wait_s"]),
        inference_s=Percentiles.of(done["duration_inference_s"]),
        mean_batch_size=float(batch_sizes.mean()) if batch_sizes.size else None,
        errors=count_failures(inside),
    )


def count_failures(requests: Requests) -> dict[Failure, int]:
    """Return the number of requests for each kind of failure, in the order of their status."""
    failed = requests.where(~requests.ok)
    kinds, kind_of = np.unique(failed["failure"], return_inverse=True)
    counts = np.bincount(kind_of, failed["requests"], len(kinds))
    found = {requests.failures[int(kind)]: int(count) for kind, count in zip(kinds, counts, strict=True)}
    return dict(sorted(found.items()))


def _percentiles_json(percentiles: Percentiles) -> dict[str, float | None]:
    return {
        "p50": _rounded(percentiles.p50),
        "p95": _rounded(percentiles.p95),
        "p99": _rounded(percentiles.p99),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DECIMALS)
