"""How many transcripts need the detector's check, and what the check costs.

python3 test/benches/doubt_bench.py [--model MODEL] [--rounds N] [--at-once N]

The bundled clips with speech are transcribed, each by itself (most are commands and single words) and joined to clips
of 10 s. The service checks doubtful transcripts with the speech detector. If such a text has no gaps, detection stops
at the first speech. The CPU time, per second of those clips, is the thread's own: detection over a whole clip, up to
the first speech, and up to the first speech for N clips in each call of the network, as when N requests wait. The three
take turns, and the fastest round counts. The table is also saved as `test/results/doubt_bench.txt` and `.json`.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path

import search_path
import client
import client_report
import numpy as np
from bench_model import add_model_argument, checkpoint
from columns import columns

from src.audio.decode import decode
from src.audio.microbatch import MAX_BATCH, DetectionQueue
from src.audio.samples import SAMPLE_RATE, Samples
from src.audio.vad import SpeechDetector, run_detection
from src.engine.nemo_model import NemoModel
from src.settings import Settings
from src.transcription.vad_fallback import MIN_SPEECH_S, has_gaps, needs_vad_check

JOINED_S = 10.0
BATCH = 8
WITHOUT_SPEECH = ("noise-", "silence-", "long-")
"""Prefixes of the names of clips without an utterance."""


@dataclass(frozen=True)
class Share:
    """How many of some clips need the check, and what it costs."""

    clips: str
    number: int
    doubtful: int
    ending_early: int
    """Those of them whose text has no gaps."""
    whole_ms: float | None
    """CPU milliseconds of the detector per second of those, over all of a clip; None without any."""
    early_ms: float | None
    """The same, up to the first speech."""
    together_ms: float | None
    """The same, up to the first speech of several clips at once."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with `argv` (of the command line if None) and return its exit code."""
    parser = argparse.ArgumentParser(description="Measure the share of doubtful speech and what the detector costs.")
    add_model_argument(parser)
    parser.add_argument("--rounds", type=client.positive_int, default=5, help="(default: %(default)s)")
    parser.add_argument(
        "--at-once", type=client.positive_int, default=MAX_BATCH, metavar="N", help="(default: %(default)s)"
    )
    parser.add_argument("--results", type=Path, default=client.RESULTS, metavar="DIR")
    options = parser.parse_args(argv)
    names = sorted(path for path in client.CLIPS.glob("*.flac") if not path.stem.startswith(WITHOUT_SPEECH))
    spoken = [decode(path.read_bytes()) for path in names]
    model = NemoModel.load(Settings(model_id=checkpoint(options.model)))
    groups = {"each by itself": spoken, f"joined to {JOINED_S:g} s": joined(spoken)}
    shares = [share_of(name, clips, model, options.rounds, options.at_once) for name, clips in groups.items()]
    text = table(shares)
    print(text, end="")
    client_report.save(options.results / "doubt_bench.txt", text)
    client_report.save(options.results / "doubt_bench.json", json.dumps([asdict(each) for each in shares]) + "\n")
    return 0


def joined(clips: Sequence[Samples]) -> list[Samples]:
    """Return clips of `JOINED_S`, each of which starts with a different clip and continues with the next ones."""
    size = round(JOINED_S * SAMPLE_RATE)
    endless = np.concatenate([*clips, *clips])
    starts = np.cumsum([0, *map(len, clips[:-1])])
    return [endless[start : start + size] for start in starts]


def share_of(name: str, clips: Sequence[Samples], model: NemoModel, rounds: int, at_once: int) -> Share:
    """Return how many clips need the check, and what it costs."""
    groups = [clips[start : start + BATCH] for start in range(0, len(clips), BATCH)]
    heard = [each for group in groups for each in model.transcribe(model.collate(group))]
    pairs = [(each, samples) for each, samples in zip(heard, clips, strict=True) if needs_vad_check(each, samples)]
    early = [samples for each, samples in pairs if each.text and not has_gaps(each, samples)]
    costs_ms = costs(early, rounds, at_once) if early else (None, None, None)
    return Share(name, len(clips), len(pairs), len(early), *costs_ms)


def costs(clips: Sequence[Samples], rounds: int, at_once: int) -> list[float]:
    """Return the CPU milliseconds per second of clips: all of them, to the first speech, and so with many at once."""
    detector = SpeechDetector()
    repeated = list(islice(cycle(clips), max(len(clips), at_once)))
    ways = (
        lambda: [run_detection(detector.spans(samples)) for samples in repeated],
        lambda: [run_detection(detector.has_speech(samples, MIN_SPEECH_S)) for samples in repeated],
        lambda: detect_together(detector, repeated, at_once),
    )
    audio_s = sum(map(len, repeated)) / SAMPLE_RATE
    return [cpu_s * 1000 / audio_s for cpu_s in fastest_s(ways, rounds)]


def detect_together(detector: SpeechDetector, clips: Sequence[Samples], at_once: int) -> None:
    """Detect speech in `at_once` clips at a time, as far as needed."""
    queue = DetectionQueue(detector)
    for start in range(0, len(clips), at_once):
        for samples in clips[start : start + at_once]:
            queue.submit(detector.has_speech(samples, MIN_SPEECH_S))
        while queue:
            queue.run_next()


def fastest_s(ways: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Return the CPU seconds of each way."""
    best = [float("inf")] * len(ways)
    for _ in range(rounds + 1):  # the first loads the network
        for number, way in enumerate(ways):
            started_s = time.thread_time()
            way()
            best[number] = min(best[number], time.thread_time() - started_s)
    return best


def table(shares: Sequence[Share]) -> str:
    """Return shares as aligned columns."""
    names = ["clips", "number", "doubtful", "of them ending early", "whole ms/s", "early ms/s", "at once ms/s"]
    return columns(names, [list(asdict(each).values()) for each in shares])


if __name__ == "__main__":
    sys.exit(main())
