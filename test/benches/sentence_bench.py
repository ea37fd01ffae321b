"""Where `semantic_vad` may end a turn: sentences that are cut in the middle, against the delay after a whole one.

python3 test/benches/sentence_bench.py [--model MODEL] [--append-ms N]

Each short bundled clip with speech is one sentence. It gets a pause of 2.5 s between two words near its middle, and 8 s
of silence after it. All are played in audio time, side by side, as in `live_bench.py`. For each length of the pause
that ends a turn after a sentence, `SENTENCE_PAUSES_MS` of `src/realtime/config.py` among them:

- cut: sentences of which the turn ends within a pause in their middle that lasts 0.5, 1, 1.5 or 2.5 s, in percent.
- delay: from the end of the whole sentence to the end of its turn, mean and p95, in seconds; without the early end it
  is the longest pause that the eagerness allows: 8, 4 or 2 s.
- late: sentences that only the longest pause of `auto`, 4 s, ends, in percent.

Clips of digits are sentences too, and any of their digits may end one. The table is also saved as
`test/results/sentence_bench.txt`.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import search_path
import client
import client_report
import numpy as np
from bench_model import add_model_argument, checkpoint
from columns import columns
from live_bench import BATCH, CATCH_UP_S, spoken_clips, ways

from src.audio.samples import SAMPLE_RATE, Samples
from src.audio.vad import SpeechDetector, run_detection
from src.engine.nemo_model import NemoModel
from src.realtime.live import LiveTranscript
from src.realtime.session import SENTENCE_SEEN_S
from src.settings import Settings
from src.text.segments import ends_sentence
from src.text.transcript import Transcript
from src.text.words import words_of

MAX_CLIP_S = 7.0
MIDDLE_S = 2.5
INNER_S = (0.5, 1.0, 1.5, 2.5)
AFTER_S = 8.0
LIMIT_S = 4.0
PAUSES_S = (0.3, 0.4, 0.6, 0.8, 1.0, 1.2, 1.6, 2.0)


@dataclass
class Sentence:
    """A sentence with a pause in its middle, while it is played."""

    samples: Samples
    middle_s: float
    """Where speech ends before the pause."""
    end_s: float
    """Where speech ends for good."""
    live: LiveTranscript
    ends: list[tuple[float, float, bool]] = field(default_factory=list)
    """For each step: when it was finished, up to where it had seen the audio, and whether its text ended a sentence."""

    def ended_at(self, speech_end_s: float, pause_s: float, until_s: float) -> float | None:
        """Return how long after `speech_end_s` a turn ends after a sentence; None if not before `until_s` after it."""
        is_end = False
        for at_s, seen_s, ends in [*self.ends, (np.inf, np.inf, False)]:
            waits_until_s = speech_end_s + pause_s
            if is_end and waits_until_s <= at_s:
                return waits_until_s - speech_end_s if waits_until_s < speech_end_s + until_s else None
            if at_s >= speech_end_s + until_s:
                return None
            is_end = ends and seen_s >= speech_end_s + SENTENCE_SEEN_S
            if is_end and at_s >= waits_until_s:
                return at_s - speech_end_s
        return None


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with `argv` (of the command line if None) and return its exit code."""
    parser = argparse.ArgumentParser(description="Measure where turns may end after sentences.")
    add_model_argument(parser)
    parser.add_argument(
        "--append-ms", type=client.positive_int, default=100, metavar="N", help="(default: %(default)s)"
    )
    parser.add_argument("--results", type=Path, default=client.RESULTS, metavar="DIR")
    options = parser.parse_args(argv)
    model = NemoModel.load(Settings(model_id=checkpoint(options.model)))
    sentences = list(sentences_of(model))
    play(model, sentences, round(options.append_ms * SAMPLE_RATE / 1000))
    text = table(sentences)
    print(text, end="")
    client_report.save(options.results / "sentence_bench.txt", text)
    return 0


def sentences_of(model: NemoModel) -> Iterator[Sentence]:
    """Yield the short clips with a pause in their middle and silence behind them."""
    detector = SpeechDetector()
    clips = [clip for clip in spoken_clips() if len(clip) <= MAX_CLIP_S * SAMPLE_RATE]
    for start in range(0, len(clips), BATCH):
        batch = clips[start : start + BATCH]
        for clip, text in zip(batch, model.transcribe(model.collate(batch)), strict=True):
            cut = middle_of(text, len(clip))
            if cut is None:
                continue
            silences = (np.zeros(round(seconds * SAMPLE_RATE), np.float32) for seconds in (MIDDLE_S, AFTER_S))
            pause, after = silences
            samples = np.concatenate([clip[:cut], pause, clip[cut:], after])
            ends = [span.end_s for span in run_detection(detector.spans(samples))]
            before = [end_s for end_s in ends if end_s < cut / SAMPLE_RATE + MIDDLE_S]
            if before and before[-1] != ends[-1]:
                yield Sentence(samples, before[-1], ends[-1], LiveTranscript(ways()[0].windowing, (), CATCH_UP_S))


def middle_of(text: Transcript, samples: int) -> int | None:
    """Return the sample between two words where the longest gap near the middle of a clip is; None if there is none."""
    words = words_of(text, samples / SAMPLE_RATE)
    inner = range(max(1, len(words) // 3), min(len(words) - 1, 2 * len(words) // 3) + 1)
    gaps = [(words[place].start_s - words[place - 1].end_s, place) for place in inner]
    if not gaps:
        return None
    _, place = max(gaps)
    return round((words[place].start_s + words[place - 1].end_s) / 2 * SAMPLE_RATE)


def play(model: NemoModel, sentences: Sequence[Sentence], piece: int) -> None:
    """Play all sentences side by side, `piece` samples of each at a time, and note when their texts end sentences."""
    step_s = ways()[0].step_s
    for so_far in range(piece, max(len(each.samples) for each in sentences) + piece, piece):
        open_ = [each for each in sentences if len(each.samples) >= so_far]
        while due := [(each, window) for each in open_ if (window := each.live.next_window(so_far, False, step_s))]:
            for start in range(0, len(due), BATCH):
                chosen = due[start : start + BATCH]
                steps = [
                    each.live.begin_step(window, each.samples[window.start : window.stop]) for each, window in chosen
                ]
                for (each, _), result in zip(chosen, model.advance(model.collate_steps(steps)), strict=True):
                    each.live.finish_step(result)
                    ends = ends_sentence(each.live.text + each.live.hypothesis)
                    each.ends.append((so_far / SAMPLE_RATE, each.live.seen_samples / SAMPLE_RATE, ends))


def table(sentences: Sequence[Sentence]) -> str:
    """Return the figures of each pause as aligned columns."""
    rows: list[list[str | float | None]] = []
    for pause_s in PAUSES_S:
        cut = [
            100 * sum(each.ended_at(each.middle_s, pause_s, inner_s) is not None for each in sentences) / len(sentences)
            for inner_s in INNER_S
        ]
        ended = [each.ended_at(each.end_s, pause_s, LIMIT_S) for each in sentences]
        delays = sorted(LIMIT_S if each is None else each for each in ended)
        late = 100 * ended.count(None) / len(sentences)
        rows.append([f"{pause_s:g} s", *cut, sum(delays) / len(delays), client_report.percentile(delays, 95), late])
    head = ["pause", *(f"cut in {inner_s:g} s %" for inner_s in INNER_S), "delay", "p95", "late %"]
    return f"{len(sentences)} sentences\n" + columns(head, rows)


if __name__ == "__main__":
    sys.exit(main())
