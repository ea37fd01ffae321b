"""How much speech is doubtful, and what the voice activity detector costs where it is asked whether anybody speaks.

python3 test/benches/doubt_bench.py [--model MODEL] [--rounds N] [--at-once N]

The bundled clips with speech are transcribed, each by itself (most are commands and single words) and joined to clips
of 10 s. Doubtful is what the service asks the detector about; of that, part has a text without gaps, where hearing ends
as somebody has spoken. CPU time is the thread's own for each second of the clips of that part: hearing all of a clip,
hearing it so far, and hearing N of them so far in each call of the network, as when N requests wait. The ways take
turns; the least of the rounds counts. The table goes to `test/results/doubt_bench.txt` and `.json` too.
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
"""How the names of clips begin that are no utterance."""


@dataclass(frozen=True)
class Share:
    """What is doubtful of some clips, and what asking about one of those costs."""

    clips: str
    number: int
    doubtful: int
    ending_early: int
    """Doubtful ones with a text without gaps."""
    whole_ms: float | None
    """CPU milliseconds of the detector for each second of those, hearing all; None where there are none."""
    early_ms: float | None
    """The same, hearing no further than to the first speech."""
    together_ms: float | None
    """The same, several clips at once."""


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
    """Return clips of `JOINED_S`, each begun by another one and filled with those after it."""
    size = round(JOINED_S * SAMPLE_RATE)
    endless = np.concatenate([*clips, *clips])
    starts = np.cumsum([0, *map(len, clips[:-1])])
    return [endless[start : start + size] for start in starts]


def share_of(name: str, clips: Sequence[Samples], model: NemoModel, rounds: int, at_once: int) -> Share:
    """Return what is doubtful of clips, and what asking about it costs."""
    groups = [clips[start : start + BATCH] for start in range(0, len(clips), BATCH)]
    heard = [each for group in groups for each in model.transcribe(model.collate(group))]
    pairs = [(each, samples) for each, samples in zip(heard, clips, strict=True) if needs_vad_check(each, samples)]
    early = [samples for each, samples in pairs if each.text and not has_gaps(each, samples)]
    costs_ms = costs(early, rounds, at_once) if early else (None, None, None)
    return Share(name, len(clips), len(pairs), len(early), *costs_ms)


def costs(clips: Sequence[Samples], rounds: int, at_once: int) -> list[float]:
    """Return the CPU milliseconds for a second of clips: hearing all, so far, and so far with many at once."""
    detector = SpeechDetector()
    repeated = list(islice(cycle(clips), max(len(clips), at_once)))
    ways = (
        lambda: [run_detection(detector.spans(samples)) for samples in repeated],
        lambda: [run_detection(detector.has_speech(samples, MIN_SPEECH_S)) for samples in repeated],
        lambda: hear_together(detector, repeated, at_once),
    )
    audio_s = sum(map(len, repeated)) / SAMPLE_RATE
    return [cpu_s * 1000 / audio_s for cpu_s in fastest_s(ways, rounds)]


def hear_together(detector: SpeechDetector, clips: Sequence[Samples], at_once: int) -> None:
    """Hear so many clips at a time, as far as needed."""
    questions = DetectionQueue(detector)
    for start in range(0, len(clips), at_once):
        for samples in clips[start : start + at_once]:
            questions.submit(detector.has_speech(samples, MIN_SPEECH_S))
        while questions:
            questions.run_next()


def fastest_s(ways: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Return the CPU seconds of each way."""
    best = [float("inf")] * len(ways)
    for _ in range(rounds + 1):  # the first reads the network
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
