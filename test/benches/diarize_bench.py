"""What speakers cost a long recording: the same dialogue as `json` and as `diarized_json`, by turns.

python3 test/benches/diarize_bench.py [--minutes M] [--rounds N] [--model MODEL] [--voices N] [--seed N]

The dialogue is of unlike bundled voices: turns of 2 to 6 s, pauses of 0.1 to 1 s. A service of its own transcribes it
as one WAV file of 16 kHz over HTTP, which it decodes itself. Columns: seconds until the answer, the ratio to the first
row, CPU seconds of the service, its largest memory so far in MB, and the number of words of each speaker. A row is the
best round, because other programs can only add to it. The table is also saved as `test/results/diarize_bench.txt`.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import search_path
import client
import client_report
import httpx
import numpy as np
from bench_model import add_model_argument
from columns import Cell, columns
from dialogues import dialogue
from media import SAMPLE_RATE, wav
from own_service import Server, cpu_s, peak_mb, serving
from speakers_bench import choice, every_voice

TURNS = 100
"""Turns of a part of the dialogue, whose voices follow each other at random."""
FORMATS = ("json", "diarized_json")


@dataclass(frozen=True)
class Cost:
    """What one transcription has cost, and how many words each speaker had."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    words: dict[str, int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with `argv` (of the command line if None) and return its exit code; raises `client.Failure`."""
    parser = argparse.ArgumentParser(description="Measure what telling speakers apart costs a long recording.")
    parser.add_argument("--minutes", type=client.positive, default=60.0, metavar="M", help="(default: %(default)g)")
    parser.add_argument("--rounds", type=client.positive_int, default=2, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--voices", type=client.positive_int, default=4, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="(default: %(default)s)")
    add_model_argument(parser)
    parser.add_argument("--results", type=Path, default=client.RESULTS, metavar="DIR")
    options = parser.parse_args(argv)
    file = wav(long_dialogue(options.voices, options.seed, options.minutes * 60))
    costs: dict[str, list[Cost]] = {form: [] for form in FORMATS}
    limit_s = str(options.minutes * 60 + 60)
    with serving(options.model, PARAKEET_MAX_AUDIO_SECONDS=limit_s, PARAKEET_MAX_UPLOAD_MB="1000") as server:
        transcribe(server, wav(long_dialogue(options.voices, options.seed, 60.0)), FORMATS[-1])  # loads the networks
        for _ in range(options.rounds):
            for form in FORMATS:
                costs[form].append(transcribe(server, file, form))
    text = table({form: min(tried, key=lambda each: each.wall_s) for form, tried in costs.items()})
    print(text, end="")
    client_report.save(options.results / "diarize_bench.txt", text)
    return 0


def long_dialogue(voices: int, seed: int, seconds: float) -> np.ndarray:
    """Return the samples (samples,) of a dialogue of at least so many seconds, cut there."""
    chosen, _ = choice(every_voice(), voices, seed)
    parts: list[np.ndarray] = []
    size = round(seconds * SAMPLE_RATE)
    while sum(map(len, parts)) < size:
        parts.append(dialogue(chosen, seed + len(parts), TURNS).samples)
    return np.concatenate(parts)[:size]


def transcribe(server: Server, file: bytes, form: str) -> Cost:
    """Transcribe a file, and return what that has cost.

    Raises:
        client.Failure: the service refused it.
    """
    before_s, started_s = cpu_s(server.pid), time.perf_counter()
    fields = {"response_format": form, "model": "whisper-1", "chunking_strategy": "auto"}
    answer = httpx.post(
        f"{server.url}/v1/audio/transcriptions", files={"file": ("a.wav", file)}, data=fields, timeout=None
    )
    wall_s = time.perf_counter() - started_s
    if not answer.is_success:
        raise client.Failure(answer.text)
    words: Counter[str] = Counter()
    for segment in answer.json().get("segments", []):
        words[segment["speaker"]] += len(segment["text"].split())
    return Cost(wall_s, cpu_s(server.pid) - before_s, peak_mb(server.pid), dict(words.most_common()))


def table(costs: dict[str, Cost]) -> str:
    """Return costs as aligned columns, with the ratio of each to the first."""
    first = next(iter(costs.values()))
    rows: list[list[Cell]] = [
        [
            form,
            each.wall_s,
            each.wall_s / first.wall_s,
            each.cpu_s,
            each.peak_mb,
            ", ".join(f"{speaker} {count}" for speaker, count in each.words.items()),
        ]
        for form, each in costs.items()
    ]
    return columns(["answer", "seconds", "ratio", "CPU s", "peak MB", "words of each speaker"], rows)


if __name__ == "__main__":
    sys.exit(client.run(main))
