"""What the length of chunks costs: words of long audio that are wrong, when it is cut into chunks of several lengths.

python3 test/benches/chunks_bench.py [--model MODEL] [--minutes N] [CHUNK:CONTEXT ...]

Bundled clips are joined to recordings, with pauses of 0.3 to 1.5 s and without any. Each is cut into chunks of at most
CHUNK seconds, each with CONTEXT more of its neighbours, transcribed and merged, as the service does it. Columns:
words that are wrong against what was read; words that differ from the text of 120 s chunks; longest stretch of audio
without new text; seconds that the model gets for each second of audio; CPU seconds. The table is also saved as
`test/results/chunks_bench.txt`.
"""

import argparse
import csv
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import search_path
import client
import client_report
from bench_model import add_model_argument, checkpoint
from columns import Cell, columns
from live_bench import distance
from long_audio import GAPS_S, joined, sentences, without_pauses
from media import clip

from src.audio.blocks import BLOCK_SAMPLES
from src.audio.chunking import Chunk, split
from src.audio.samples import Samples
from src.audio.vad import SpeechDetector
from src.engine.nemo_model import NemoModel
from src.settings import Settings
from src.text.merge import Merger, join_deltas

CLIP_S = 4.2
"""Mean length of a clip with its pause."""
RECORDING_S = 300.0
NAMES = ("audio", "chunk", "context", "words", "wrong", "differ", "longest_s", "model_s", "cpu_s")
LENGTHS = ("120:0", "20:0", "10:0", "10:1", "10:2")


@dataclass(frozen=True)
class Cutting:
    """How audio is cut, in seconds."""

    chunk_s: float
    context_s: float

    @classmethod
    def of(cls, text: str) -> "Cutting":
        """Return what CHUNK:CONTEXT says."""
        chunk_s, _, context_s = text.partition(":")
        return cls(float(chunk_s), float(context_s or 0))


@dataclass(frozen=True)
class Recording:
    """Audio with the words that are read in it."""

    samples: Samples
    words: list[str]


@dataclass(frozen=True)
class Result:
    """The text of a recording in chunks, and what it took."""

    words: list[str]
    longest_s: float
    model_s: float
    cpu_s: float


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with `argv` (of the command line if None) and return its exit code."""
    parser = argparse.ArgumentParser(description="Measure what the length of chunks costs.")
    add_model_argument(parser)
    parser.add_argument("--minutes", type=client.positive_int, default=30, help="(default: %(default)s)")
    parser.add_argument("--results", type=Path, default=client.RESULTS, metavar="DIR")
    parser.add_argument("cuttings", nargs="*", default=LENGTHS, metavar="CHUNK:CONTEXT")
    options = parser.parse_args(argv)
    model, detector = NemoModel.load(Settings(model_id=checkpoint(options.model))), SpeechDetector()
    count = max(1, round(options.minutes * 60 / RECORDING_S))
    groups = {
        "pauses": list(recordings(count, GAPS_S, SpeechDetector(), with_pauses=True)),
        "no pauses": list(recordings(count, [0.0], SpeechDetector(), with_pauses=False)),
    }
    lines: list[list[Cell]] = []
    for name, group in groups.items():
        base = [transcribed(each, Cutting(120, 0), model, detector) for each in group]
        for cutting in map(Cutting.of, options.cuttings):
            results = [transcribed(each, cutting, model, detector) for each in group]
            lines.append([name, f"{cutting.chunk_s:g}", f"{cutting.context_s:g}", *figures(group, base, results)])
    text = columns(NAMES, lines)
    print(text, end="")
    client_report.save(options.results / "chunks_bench.txt", text)
    return 0


def recordings(
    count: int, gaps_s: Sequence[float], detector: SpeechDetector, *, with_pauses: bool
) -> Iterator[Recording]:
    """Yield recordings of five minutes, each of other clips in another order."""
    with (client.CLIPS / "transcripts.tsv").open() as file:
        texts = {row["file"]: row["text"] for row in csv.DictReader(file, delimiter="\t")}
    names = sentences()
    size = round(RECORDING_S / CLIP_S)
    load = clip if with_pauses else without_pauses(detector)
    for number in range(count):
        order = random.Random(number)
        chosen = [name for _ in range(-(-size // len(names))) for name in order.sample(names, len(names))][:size]
        samples, _ = joined(chosen, cycle(gaps_s), load=load)
        yield Recording(samples, [word for name in chosen for word in texts[f"{name}.flac"].split()])


def transcribed(recording: Recording, cutting: Cutting, model: NemoModel, detector: SpeechDetector) -> Result:
    """Return the text of a recording in chunks."""
    started = time.process_time()
    samples = recording.samples
    blocks = (samples[at : at + BLOCK_SAMPLES] for at in range(0, len(samples), BLOCK_SAMPLES))
    chunks: list[Chunk] = list(split(blocks, detector, chunk_seconds=cutting.chunk_s, context_s=cutting.context_s))
    merger = Merger()
    deltas = [merger.add(chunk, model.transcribe(model.collate([chunk.samples]))[0]) for chunk in chunks]
    text = join_deltas([*deltas, merger.finish()]).text
    model_s = sum(len(chunk.samples) for chunk in chunks) / len(samples)
    longest_s = max(chunk.to_s - chunk.from_s for chunk in chunks)
    return Result(text.split(), longest_s, model_s, time.process_time() - started)


def figures(group: Sequence[Recording], base: Sequence[Result], results: Sequence[Result]) -> list[Cell]:
    """Return the cells of one row."""
    wrong = sum(distance(each.words, recording.words) for each, recording in zip(results, group, strict=True))
    differ = sum(distance(each.words, other.words) for each, other in zip(results, base, strict=True))
    words = sum(len(each.words) for each in group)
    longest_s = max(each.longest_s for each in results)
    model_s = sum(each.model_s for each in results) / len(results)
    cpu_s = sum(each.cpu_s for each in results)
    return [words, wrong, differ, longest_s, model_s, cpu_s]


if __name__ == "__main__":
    sys.exit(main())
