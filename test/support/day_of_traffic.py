"""A made-up day of a service: a quiet night, a busy morning, a burst that fills the queue, an outage, a restart.

Run it to write the day as a log that ends now: `python3 test/support/day_of_traffic.py FILE`.
"""

import math
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from records import a_failure, a_record, write_log

from src.metrics import Record

HOUR = 3600.0
DAY = 24 * HOUR
QUIET = (3.0, 8.0)
"""Hours since the start of the day; nobody comes."""
BURST = (14.0, 14.3)
OUTAGE = (17.0, 17.75)
RESTART = (20.5, 20.5 + 51 / 3600)


def day_of_traffic(end: float, per_hour: int = 600, seed: int = 17) -> list[Record]:
    """Return the records of the day that ends at `end` (Unix seconds), in the order in which requests end.

    Args:
        end: end of the day.
        per_hour: requests in the busiest ordinary hour.
        seed: of what is random.
    """
    chance = random.Random(seed)
    start = end - DAY
    records = [
        _record(chance, start + hour * HOUR, hour, start)
        for hour in _hours(chance, per_hour)
        if not any(low <= hour < high for low, high in (QUIET, OUTAGE, RESTART))
    ]
    return sorted(records, key=lambda record: record.ts)


def _hours(chance: random.Random, per_hour: int) -> Iterator[float]:
    hour = 0.0
    while hour < 24:
        usual = 0.15 + 0.85 * max(0.0, math.sin((hour - 7) / 15 * math.pi))
        yield hour
        hour += chance.expovariate(per_hour * usual * (8 if _is(hour, BURST) else 1))


def _is(hour: float, span: tuple[float, float]) -> bool:
    return span[0] <= hour < span[1]


def _process_started(hour: float, start: float) -> float:
    ends = [span[1] for span in (OUTAGE, RESTART) if hour >= span[1]]
    return start + ends[-1] * HOUR if ends else start - 2 * DAY


def _record(chance: random.Random, ts: float, hour: float, start: float) -> Record:
    busy = _is(hour, BURST)
    live = chance.random() < 0.35
    of_process: dict[str, Any] = {
        "route": "/v1/realtime" if live else "/v1/audio/transcriptions",
        "model": "parakeet-tdt-0.6b-v3",
        "sessions": round(14 * max(0.0, math.sin((hour - 7) / 15 * math.pi)) + chance.random() * 3),
        "process_started": _process_started(hour, start),
        "request_id": f"req_{chance.getrandbits(64):016x}",
    }
    failure = _failure(chance, busy)
    if failure:
        return a_failure(*failure, ts, duration_total_s=chance.uniform(0.001, 0.05), **of_process)
    audio_s = chance.uniform(1, 6) if live else min(590.0, chance.lognormvariate(2.5, 1.1))
    batch_size = min(32, 1 + int(chance.expovariate(1 / (14 if busy else 2))))
    queue_wait_s = chance.lognormvariate(-0.5 if busy else -5, 0.9)
    inference_s = 0.01 + audio_s / 900 * batch_size**0.7
    return a_record(
        ts,
        audio_len_s=audio_s,
        batch_size=batch_size,
        queue_wait_s=queue_wait_s,
        duration_inference_s=inference_s,
        duration_total_s=queue_wait_s + inference_s + chance.lognormvariate(-4.5, 0.8),
        **of_process,
    )


def _failure(chance: random.Random, busy: bool) -> tuple[int, str] | None:
    drawn = chance.random()
    if busy and drawn < 0.4:
        return (429, "queue_full") if drawn < 0.28 else (503, "queue_timeout")
    kinds = [(0.004, 400, "invalid_audio"), (0.006, 401, "invalid_api_key"), (0.007, 413, "audio_too_long")]
    kinds += [(0.013, 499, "client_closed"), (0.015, 500, "internal_error"), (0.016, 404, "model_not_found")]
    return next(((code, error) for limit, code, error in kinds if drawn < limit), None)


if __name__ == "__main__":
    write_log(Path(sys.argv[1]), day_of_traffic(time.time()))
