"""What live text costs in words and in time, for several ways of cutting an utterance into steps.

python3 test/benches/live_bench.py [--model MODEL] [--append-ms N] [--only TEXT]

The bundled clips with speech of up to a minute are played in audio time, all side by side, on the model itself: appends
of `--append-ms` arrive, and each step is finished at the moment when it could begin. So computing takes no time here,
nor does a network; add both for what a client sees. Times of words are those of the clip's own text. For each way:

- differ: words of the live text that differ from the clip's own text, and of the first three words of the clips.
- first: from the end of the first word to the first delta, median and maximum.
- delay: from the end of a word until it is in a delta, mean and p95. Words that the end of a clip brings count nowhere.
- read: the same until it is in a delta or in the words that may still change.
- changed: words of the latter that the next step takes back.
- broken: deltas that end within a word of the text.
- encoded: seconds that the encoder sees for each second of audio, and steps per second of audio.

"fixed" ways wait for the right context of a whole chunk. The others take steps of a length, and chunks end between
words; "alone" without agreement, so that every word waits for its right context. The table is also saved as
`test/results/live_bench.txt` and `.json`.
"""

import argparse
import csv
import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path

import search_path
import client
import client_report
from bench_model import add_model_argument, checkpoint
from columns import columns
from live_session import HeardItem, LiveResult
from word_delays import SpokenWord, delays_of, words_in

from src.audio.decode import decode
from src.audio.samples import SAMPLE_RATE, Samples
from src.engine.model import StreamStep
from src.engine.nemo_model import NemoModel
from src.engine.windowing import Windowing
from src.realtime.live import LiveTranscript
from src.realtime.window_plan import StepWindow
from src.settings import Settings
from src.text.transcript import Transcript
from src.text.words import words_of

BATCH = 8
CATCH_UP_S = 10.0
MAX_CLIP_S = 60.0
_FIRST = 3
"""First words of a clip that are also counted by themselves."""


@dataclass(frozen=True)
class Way:
    """A way of cutting an utterance into steps."""

    name: str
    windowing: Windowing
    step_s: float | None
    """The shortest step; None: a fixed grid of chunks."""


def ways() -> list[Way]:
    """Return the ways to compare, the default first."""
    now = Windowing.from_settings(Settings())

    def fixed(chunk_s: float, right_s: float, left_s: float = now.left_s) -> Way:
        return Way(f"fixed {left_s:g}, {chunk_s:g}, {right_s:g}", Windowing(left_s, chunk_s, right_s), None)

    def steps(step_s: float, agreed_s: float, left_s: float = now.left_s) -> Way:
        alone = agreed_s >= now.right_s
        name = f"steps of {step_s:g}, " + ("alone" if alone else f"agreed {agreed_s:g}")
        name += f", left {left_s:g}" if left_s != now.left_s else ""
        return Way(name, Windowing(left_s, now.chunk_s, now.right_s, agreed_s), step_s)

    return [
        steps(Settings().realtime_min_chunk_s, now.agreed_right_s),
        *(fixed(0.96, right_s) for right_s in (0.96, 0.64, 0.48)),
        *(fixed(chunk_s, 0.96) for chunk_s in (0.24, 0.48)),
        fixed(0.96, 0.96, 2.4),
        *(steps(step_s, 0.96) for step_s in (0.24, 0.48)),
        *(steps(0.24, agreed_s) for agreed_s in (0.32, 0.64)),
        *(steps(step_s, now.agreed_right_s) for step_s in (0.16, 0.32, 0.48, 0.96, 1.92)),
        *(steps(step_s, now.agreed_right_s, 2.4) for step_s in (0.24, 0.96, 1.92)),
    ]


@dataclass
class Playing:
    """A clip that is being played."""

    samples: Samples
    live: LiveTranscript
    heard: HeardItem = field(default_factory=HeardItem)
    hypotheses: list[str] = field(default_factory=list)
    steps: int = 0
    encoded: int = 0
    """Samples that the encoder has seen."""

    def next_window(self, so_far: int, way: Way) -> StepWindow | None:
        """Return the window of the next step when this many samples of all clips have been played."""
        so_far = min(so_far, len(self.samples))
        return self.live.next_window(so_far, so_far == len(self.samples), way.step_s)

    def begin(self, window: StepWindow) -> StreamStep:
        """Begin a step."""
        self.steps += 1
        self.encoded += window.stop - window.start
        return self.live.begin_step(window, self.samples[window.start : window.stop])

    def note(self, at_s: float) -> None:
        """Note what can be read now."""
        text, hypothesis = self.live.text, self.live.hypothesis
        if text != (self.heard.shown[-1][1] if self.heard.shown else ""):
            self.heard.shown.append((at_s, text))
        self.heard.read.append((at_s, text + hypothesis))
        self.hypotheses.append(hypothesis)


@dataclass(frozen=True)
class LiveFigures:
    """The figures of one way. Shares in percent, times in seconds."""

    way: str
    differ: float
    differ_first: float
    first_p50_s: float | None
    first_max_s: float | None
    delay_mean_s: float | None
    delay_p95_s: float | None
    read_mean_s: float | None
    read_p95_s: float | None
    changed: float
    broken: float
    encoded: float
    steps_per_s: float


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with `argv` (of the command line if None) and return its exit code."""
    parser = argparse.ArgumentParser(description="Measure live text in words and in seconds of audio.")
    add_model_argument(parser)
    parser.add_argument(
        "--append-ms", type=client.positive_int, default=100, metavar="N", help="(default: %(default)s)"
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="only the ways whose name has this text")
    parser.add_argument("--results", type=Path, default=client.RESULTS, metavar="DIR")
    options = parser.parse_args(argv)
    chosen = [way for way in ways() if options.only in way.name]
    if not chosen:
        parser.error(f"--only {options.only}: no way has this in its name")
    model = NemoModel.load(Settings(model_id=checkpoint(options.model)))
    clips = list(spoken_clips())
    batches = [clips[start : start + BATCH] for start in range(0, len(clips), BATCH)]
    own = [each for batch in batches for each in model.transcribe(model.collate(batch))]
    figures = []
    for way in chosen:
        played = play(model, clips, way, round(options.append_ms * SAMPLE_RATE / 1000))
        figures.append(figures_of(way, played, own))
        print(f"{way.name}: {figures[-1].differ:.1f} % of the words differ", file=sys.stderr)
    text = table(figures)
    print(text, end="")
    client_report.save(options.results / "live_bench.txt", text)
    client_report.save(options.results / "live_bench.json", json.dumps([asdict(each) for each in figures]) + "\n")
    return 0


def spoken_clips() -> Iterator[Samples]:
    """Yield the bundled clips with speech, the shortest first, up to `MAX_CLIP_S` (and what a file has beyond that)."""
    with (client.CLIPS / "transcripts.tsv").open() as file:
        names = [row["file"] for row in csv.DictReader(file, delimiter="\t") if row["text"]]
    clips = [decode((client.CLIPS / name).read_bytes()) for name in names]
    yield from sorted((clip for clip in clips if len(clip) <= (MAX_CLIP_S + 1) * SAMPLE_RATE), key=len)


def play(model: NemoModel, clips: Sequence[Samples], way: Way, piece: int) -> list[Playing]:
    """Play clips side by side, `piece` samples of each at a time. The steps of a moment share batches."""
    playing = [
        Playing(samples, LiveTranscript(way.windowing, (), CATCH_UP_S if way.step_s else 0)) for samples in clips
    ]
    for so_far in range(piece, max(map(len, clips)) + piece, piece):
        open_ = [each for each in playing if len(each.samples) > so_far - piece]
        while due := [(each, window) for each in open_ if (window := each.next_window(so_far, way))]:
            for start in range(0, len(due), BATCH):
                advance(model, due[start : start + BATCH], so_far)
        for each in open_:
            if len(each.samples) <= so_far:
                each.live.finish()
                each.heard.transcript = each.live.text
                each.heard.completed_s = len(each.samples) / SAMPLE_RATE
    return playing


def advance(model: NemoModel, due: Sequence[tuple[Playing, StepWindow]], so_far: int) -> None:
    """Run one step of each of some clips."""
    batch = model.collate_steps([each.begin(window) for each, window in due])
    for (each, _), result in zip(due, model.advance(batch), strict=True):
        each.live.finish_step(result)
        if so_far < len(each.samples):
            each.note(so_far / SAMPLE_RATE)


def figures_of(way: Way, played: Sequence[Playing], own: Sequence[Transcript]) -> LiveFigures:
    """Return the figures of one way, given the clips' own texts."""
    pairs = [(words_in(each.heard.transcript), words_in(text.text)) for each, text in zip(played, own, strict=True)]
    firsts = [(live[:_FIRST], words[:_FIRST]) for live, words in pairs]
    delays = [delays_in(each, text) for each, text in zip(played, own, strict=True)]
    first_s = sorted(second for _, _, firsts_s in delays for second in firsts_s)
    delay_s = sorted(second for seconds, _, _ in delays for second in seconds)
    read_s = sorted(second for _, seconds, _ in delays for second in seconds)
    hypotheses = [list(map(words_in, (text for _, text in each.heard.read))) for each in played]
    shown = [(text, each.heard.transcript) for each in played for _, text in each.heard.shown]
    audio_s = sum(len(each.samples) for each in played) / SAMPLE_RATE
    p = client_report.percentile
    return LiveFigures(
        way.name,
        differing(pairs),
        differing(firsts),
        p(first_s, 50),
        max(first_s, default=None),
        sum(delay_s) / len(delay_s) if delay_s else None,
        p(delay_s, 95),
        sum(read_s) / len(read_s) if read_s else None,
        p(read_s, 95),
        taken_back(hypotheses),
        100 * sum(is_broken(text, final) for text, final in shown) / max(1, len(shown)),
        sum(each.encoded for each in played) / SAMPLE_RATE / audio_s,
        sum(each.steps for each in played) / audio_s,
    )


def delays_in(each: Playing, own: Transcript) -> tuple[list[float], list[float], list[float]]:
    """Return the delays of the words of a clip until they were shown, until they could be read, and of the first."""
    spoken = [SpokenWord(word.text, word.end_s) for word in words_of(own, len(each.samples) / SAMPLE_RATE)]
    delays = delays_of(LiveResult((each.heard,)), spoken)

    def before_the_end(seconds: dict[int, float]) -> list[float]:
        return [delay_s for place, delay_s in seconds.items() if spoken[place].end_s + delay_s < each.heard.completed_s]

    return before_the_end(delays.shown_s), before_the_end(delays.read_s), delays.first_s


def differing(pairs: Sequence[tuple[Sequence[str], Sequence[str]]]) -> float:
    """Return the words in which live texts differ from the clips' own, in percent of the latter."""
    return 100 * sum(distance(*pair) for pair in pairs) / max(1, sum(len(words) for _, words in pairs))


def distance(one: Sequence[str], other: Sequence[str]) -> int:
    """Return the number of words to insert, delete or replace to turn one text into another."""
    row = list(range(len(other) + 1))
    for at, word in enumerate(one, 1):
        diagonal, row[0] = row[0], at
        for to, another in enumerate(other, 1):
            diagonal, row[to] = row[to], min(row[to] + 1, row[to - 1] + 1, diagonal + (word != another))
    return row[-1]


def taken_back(read: Sequence[Sequence[Sequence[str]]]) -> float:
    """Return the share of readable words that the next step takes back or replaces, in percent."""
    before = changed = 0
    for texts in read:
        for now, later in pairwise(texts):
            before += len(now)
            changed += sum(later[place : place + 1] != [word] for place, word in enumerate(now))
    return 100 * changed / max(1, before)


def is_broken(text: str, final: str) -> bool:
    """Return whether a text that `final` begins with ends within one of its words."""
    rest = final[len(text) :]
    return bool(text) and text[-1].isalnum() and bool(re.match(r"[^\w\s]*\w", rest))


def table(figures: Sequence[LiveFigures]) -> str:
    """Return the figures as aligned columns."""
    names = ["way", "differ %", "first 3 %", "first p50", "max", "delay", "p95", "read", "p95", "changed %", "broken %"]
    return columns([*names, "encoded", "steps/s"], [list(asdict(each).values()) for each in figures])


if __name__ == "__main__":
    sys.exit(main())
