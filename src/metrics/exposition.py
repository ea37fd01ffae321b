"""Counters in Prometheus' text format (prometheus.io, "Exposition formats", version 0.0.4)."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from src.metrics.counters import Counters, Histogram, SourceCounters
from src.metrics.load import ProcessLoad
from src.metrics.outcome import outcome_of

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


_LOADS: Sequence[tuple[str, str, Callable[[Sequence[ProcessLoad]], float]]] = (
    (
        "parakeet_queued_audio_seconds",
        "Decoded audio that waits for the model now.",
        lambda loads: sum(each.load.queued_audio_s for each in loads),
    ),
    (
        "parakeet_open_sessions",
        "Realtime sessions that are open now.",
        lambda loads: sum(each.load.sessions for each in loads),
    ),
    (
        "parakeet_recent_batch_size",
        "Mean number of clips or steps in the batches of the last seconds; 0 if there were none.",
        lambda loads: sum(each.load.batch_size for each in loads) / len(loads),
    ),
)
"""Gauges of how busy the processes of one name are. Those without a name count as one."""


def expose(counters: Counters, service: str, loads: Sequence[ProcessLoad] = ()) -> str:
    """Return all metrics, each with its HELP and TYPE, in a fixed order.

    Args:
        counters: what was counted.
        service: a label of every series, which tells the services of one machine apart.
        loads: how busy each process is now.
    """
    return _Exposition(counters, service, loads).text


@dataclass(frozen=True, slots=True)
class _Exposition:
    counters: Counters
    service: str
    loads: Sequence[ProcessLoad]

    @property
    def text(self) -> str:
        lines = [
            *_family("parakeet_requests_total", "counter", "Requests and realtime items that ended.", self._requests()),
            *self._per_source(
                "parakeet_audio_seconds_total", "Audio of the successful requests.", lambda source: source.audio_s
            ),
            *self._per_source(
                "parakeet_model_busy_seconds_total",
                "Time that the model was busy. Audio divided by it is RTFx.",
                lambda source: source.busy_s,
            ),
        ]
        for name, help_text, histogram_of in _HISTOGRAMS:
            lines += _family(name, "histogram", help_text, self._histogram(name, histogram_of))
        return "".join(line + "\n" for line in [*lines, *self._of_log(), *self._starts(), *self._loads()])

    def _of_log(self) -> Iterator[str]:
        """Yield what has no source."""
        values = (
            (
                "parakeet_log_skipped_lines_total",
                "counter",
                "Lines of the metrics log that could not be read.",
                self.counters.skipped_lines,
            ),
            (
                "parakeet_last_request_timestamp_seconds",
                "gauge",
                "End of the latest request; 0 if there is none.",
                self.counters.last_ts,
            ),
        )
        for name, kind, help_text, value in values:
            yield from _family(name, kind, help_text, [self._sample(name, {}, value)])

    def _starts(self) -> list[str]:
        """Return the starts of replicas, each with its name if it has one."""
        name = "parakeet_process_start_time_seconds"
        started = {replica: start.started for replica, start in sorted(self.counters.starts.items())} or {"": 0.0}
        samples = [self._sample(name, _replica(replica), value) for replica, value in started.items()]
        return _family(name, "gauge", "Start of the process that served last; 0 if that is not known.", samples)

    def _loads(self) -> Iterator[str]:
        by_replica: dict[str, list[ProcessLoad]] = {}
        for each in self.loads:
            by_replica.setdefault(each.replica, []).append(each)
        for name, help_text, value_of in _LOADS:
            samples = [
                self._sample(name, _replica(replica), value_of(loads)) for replica, loads in sorted(by_replica.items())
            ]
            yield from _family(name, "gauge", help_text, samples)

    def _requests(self) -> Iterator[str]:
        for source, found in sorted(self.counters.sources.items()):
            for failure, count in sorted(found.requests.items()):
                labels = {
                    **source._asdict(),
                    "outcome": outcome_of(failure.code).name.lower(),
                    "code": str(failure.code),
                    "error": failure.error,
                }
                yield self._sample("parakeet_requests_total", labels, count)

    def _per_source(self, name: str, help_text: str, value_of: Callable[[SourceCounters], float]) -> list[str]:
        sources = sorted(self.counters.sources.items())
        samples = [self._sample(name, source._asdict(), value_of(found)) for source, found in sources]
        return _family(name, "counter", help_text, samples)

    def _histogram(self, name: str, histogram_of: Callable[[SourceCounters], Histogram]) -> Iterator[str]:
        for source, found in sorted(self.counters.sources.items()):
            labels, histogram = source._asdict(), histogram_of(found)
            cumulative = list(accumulate(histogram.counts))
            for bound, count in zip([*map(_number, histogram.bounds), "+Inf"], cumulative, strict=True):
                yield self._sample(f"{name}_bucket", {**labels, "le": bound}, count)
            yield self._sample(f"{name}_sum", labels, histogram.total)
            yield self._sample(f"{name}_count", labels, cumulative[-1])

    def _sample(self, name: str, labels: Mapping[str, str], value: float) -> str:
        pairs = [f'{label}="{_escaped(text)}"' for label, text in {"service": self.service, **labels}.items()]
        return f"{name}{{{','.join(pairs)}}} {_number(value)}"


def _family(name: str, kind: str, help_text: str, samples: Iterable[str]) -> list[str]:
    """Return the lines of a metric; none if it has no samples."""
    found = list(samples)
    return [f"# HELP {name} {help_text}", f"# TYPE {name} {kind}", *found] if found else []


def _replica(name: str) -> dict[str, str]:
    """Return the label of a replica; none if it has no name."""
    return {"replica": name} if name else {}


def _escaped(text: str) -> str:
    """Return a label's value with the format's three escapes."""
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(round(value, 6))
