"""Counters in Prometheus' text format (prometheus.io, "Exposition formats", version 0.0.4)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate

from src.metrics.counters import Counters, Histogram, SourceCounters
from src.metrics.outcome import outcome_of


def expose(counters: Counters) -> str:
    """Return all metrics, each with its HELP and TYPE, in a fixed order. The text is empty if nothing was counted."""
    lines = [
        *_family("parakeet_requests_total", "counter", "Requests and realtime items that ended.", _requests(counters)),
        *_per_source(
            counters, "parakeet_audio_seconds_total", "Audio of the successful requests.", lambda s: s.audio_s
        ),
        *_per_source(
            counters,
            "parakeet_model_busy_seconds_total",
            "Time that the model was busy. Audio divided by it is RTFx.",
            lambda source: source.busy_s,
        ),
    ]
    for name, help_text, histogram_of in _HISTOGRAMS:
        lines += _family(name, "histogram", help_text, _histogram(counters, name, histogram_of))
    lines += _family(
        "parakeet_log_skipped_lines_total",
        "counter",
        "Lines of the metrics log that could not be read.",
        [_sample("parakeet_log_skipped_lines_total", {}, counters.skipped_lines)],
    )
    for name, help_text, value in (
        ("parakeet_last_request_timestamp_seconds", "End of the latest request.", counters.last_ts),
        ("parakeet_process_start_time_seconds", "Start of the process that served last.", counters.process_started),
    ):
        lines += _family(name, "gauge", help_text, [_sample(name, {}, value)] if value else [])
    return "".join(line + "\n" for line in lines)


_HISTOGRAMS: Sequence[tuple[str, str, Callable[[SourceCounters], Histogram]]] = (
    (
        "parakeet_request_duration_seconds",
        "Time from the arrival of a successful request to its end.",
        lambda source: source.total_s,
    ),
    (
        "parakeet_queue_wait_seconds",
        "Time that the first clip of a successful request waited in the queue.",
        lambda source: source.queue_wait_s,
    ),
    (
        "parakeet_inference_duration_seconds",
        "Time that the model spent on the batches of a successful request.",
        lambda source: source.inference_s,
    ),
    (
        "parakeet_batch_size_clips",
        "Clips in the batch of a request's first clip.",
        lambda source: source.batch_size,
    ),
)


def _requests(counters: Counters) -> Iterator[str]:
    for source, found in sorted(counters.sources.items()):
        for failure, count in sorted(found.requests.items()):
            labels = {
                **source._asdict(),
                "outcome": outcome_of(failure.code).name.lower(),
                "code": str(failure.code),
                "error": failure.error,
            }
            yield _sample("parakeet_requests_total", labels, count)


def _per_source(
    counters: Counters, name: str, help_text: str, value_of: Callable[[SourceCounters], float]
) -> list[str]:
    samples = [_sample(name, source._asdict(), value_of(found)) for source, found in sorted(counters.sources.items())]
    return _family(name, "counter", help_text, samples)


def _histogram(counters: Counters, name: str, histogram_of: Callable[[SourceCounters], Histogram]) -> Iterator[str]:
    for source, found in sorted(counters.sources.items()):
        labels, histogram = source._asdict(), histogram_of(found)
        cumulative = list(accumulate(histogram.counts))
        for bound, count in zip([*map(_number, histogram.bounds), "+Inf"], cumulative, strict=True):
            yield _sample(f"{name}_bucket", {**labels, "le": bound}, count)
        yield _sample(f"{name}_sum", labels, histogram.total)
        yield _sample(f"{name}_count", labels, cumulative[-1])


def _family(name: str, kind: str, help_text: str, samples: Sequence[str] | Iterator[str]) -> list[str]:
    """Return the lines of a metric; none if it has no samples."""
    found = list(samples)
    return [f"# HELP {name} {help_text}", f"# TYPE {name} {kind}", *found] if found else []


def _sample(name: str, labels: Mapping[str, str], value: float) -> str:
    pairs = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
    return f"{name}{{{pairs}}} {_number(value)}" if pairs else f"{name} {_number(value)}"


def _escaped(text: str) -> str:
    """Return a label's value with the format's three escapes."""
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(round(value, 6))
