"""How much speech is doubtful, and what the voice activity detector costs where it is asked whether anybody speaks.

python3 test/doubt_bench.py [--model MODEL] [--rounds N]

The bundled clips with speech are transcribed, each by itself (most are commands and single words) and joined to clips
of 10 s. Doubtful is what the service asks the detector about; of that, part has a text without gaps, where hearing ends
as soon as somebody has spoken. CPU time is the thread's own for each second of those clips that part is, hearing all of
them and hearing so far, by turns; the least of the rounds counts. The table goes to `test/results/doubt_bench.txt` and
`.json` too.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import client
import client_report
import numpy as np
from bench_model import add_model_argument, checkpoint
from columns import columns

from src.asr.model import NemoModel
from src.asr.rescue import MIN_SPEECH_S, doubtful, has_gaps
from src.audio.decode import SAMPLE_RATE
from src.audio.vad import Samples, SpeechDetector
from src.settings import Settings

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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with `argv` (of the command line if None) and return its exit code."""
    parser = argparse.ArgumentParser(description="Measure the share of doubtful speech and what the detector costs.")
    add_model_argument(parser)
    parser.add_argument("--rounds", type=client.positive_int, default=5, help="(default: %(default)s)")
    parser.add_argument("--results", type=Path, default=client.RESULTS, metavar="DIR")
    options = parser.parse_args(argv)
    names = sorted(path for path in client.CLIPS.glob("*.flac") if not path.stem.startswith(WITHOUT_SPEECH))
    spoken = [client.decode(path.read_bytes()) for path in names]
    model = NemoModel.load(Settings(model_id=checkpoint(options.model)))
    groups = {"each by itself": spoken, f"joined to {JOINED_S:g} s": joined(spoken)}
    shares = [share_of(name, clips, model, options.rounds) for name, clips in groups.items()]
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


def share_of(name: str, clips: Sequence[Samples], model: NemoModel, rounds: int) -> Share:
    """Return what is doubtful of clips, and what asking about it costs."""
    groups = [clips[start : start + BATCH] for start in range(0, len(clips), BATCH)]
    heard = [each for group in groups for each in model.transcribe(model.collate(group))]
    pairs = [(each, samples) for each, samples in zip(heard, clips, strict=True) if doubtful(each, samples)]
    early = [samples for each, samples in pairs if each.text and not has_gaps(each, samples)]
    detector = SpeechDetector()
    ways: tuple[Callable[[Samples], object], ...] = (
        detector.spans,
        lambda samples: detector.hears_speech(samples, MIN_SPEECH_S),
    )
    costs_ms = fastest_ms(ways, early, rounds) if early else (None, None)
    return Share(name, len(clips), len(pairs), len(early), *costs_ms)


def fastest_ms(ways: Sequence[Callable[[Samples], object]], clips: Sequence[Samples], rounds: int) -> list[float]:
    """Return the CPU milliseconds of each way for a second of clips."""
    best = [float("inf")] * len(ways)
    for _ in range(rounds + 1):  # the first reads the network
        for number, way in enumerate(ways):
            started_s = time.thread_time()
            for samples in clips:
                way(samples)
            best[number] = min(best[number], time.thread_time() - started_s)
    return [spent_s * 1000 * SAMPLE_RATE / sum(map(len, clips)) for spent_s in best]


def table(shares: Sequence[Share]) -> str:
    """Return shares as aligned columns."""
    names = ["clips", "number", "doubtful", "of them ending early", "whole ms/s", "early ms/s"]
    return columns(names, [list(asdict(each).values()) for each in shares])


if __name__ == "__main__":
    sys.exit(main())
