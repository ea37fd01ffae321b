"""How well speakers are told apart in dialogues of bundled clips, and what that costs.

python3 test/benches/speakers_bench.py [--dialogues N] [--first-seed N] [--noise DB] [--model MODEL] [--record]

N dialogues each of one, two, three and four voices that are unlike, and of two and three that are like: turns of 2 to 6
s, pauses of 0.1 to 1 s, and a turn of a single word. Like voices are the five of American women, three of which are of
one person. With `--noise` there is white noise so many dB below the speech. Columns: words with the right speaker;
dialogues with the right number of speakers; single-word turns with the right speaker; and CPU milliseconds of a core
for each second of audio.

Rows: the whole recording at its end; the same if the request says how many speakers there are; turn by turn, as in a
realtime session; and with one clip of each of up to four voices known, where a word only counts with its voice's name.
The words and their times are those that the model makes of each clip alone; with `--model`, it transcribes the dialogue
itself, and a word is said by the voice in whose turn its middle is. `--record` writes those of the clips with `--model`
to `clips/words.tsv`, and ends. The table is also saved as `test/results/speakers_bench.txt`.
"""

import argparse
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import search_path
import client
import client_report
import numpy as np
from bench_model import checkpoint
from columns import columns
from dialogues import CLIPS, Dialogue, clips, dialogue

from src.audio.decode import decode
from src.audio.samples import SAMPLE_RATE, Samples
from src.audio.vad import SpeechDetector
from src.diarization.diarizer import Diarizer, KnownSpeaker, SpeakerOptions
from src.diarization.factory import diarizer_of
from src.engine.nemo_model import NemoModel
from src.settings import Settings
from src.text.words import Word, words_of

LIKE = ("festival-cmu-us-slt-arctic-hts", "flite-slt", "pico-en-us", "rhvoice-clb", "rhvoice-slt")
"""The voices of American women; `slt` is one person."""
TWO_VOICES = "espeak-mix"
"""A name that stands for two voices, which are left out."""
MAX_KNOWN = 4


@dataclass(frozen=True)
class Right:
    """How much of some dialogues is right."""

    words: int = 0
    right_words: int = 0
    dialogues: int = 0
    right_numbers: int = 0
    single_words: int = 0
    right_single_words: int = 0

    def __add__(self, other: "Right") -> "Right":
        return Right(*(one + more for one, more in zip(vars(self).values(), vars(other).values(), strict=True)))


Way = Callable[[Diarizer, Dialogue], Sequence[str]]
"""Labels the words of a dialogue."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with `argv` (of the command line if None) and return its exit code."""
    parser = argparse.ArgumentParser(description="Measure how well speakers are told apart.")
    parser.add_argument("--dialogues", type=client.positive_int, default=10, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--first-seed", type=int, default=0, metavar="N")
    parser.add_argument("--noise", type=float, metavar="DB")
    parser.add_argument("--model")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--results", type=Path, default=client.RESULTS, metavar="DIR")
    options = parser.parse_args(argv)
    model = NemoModel.load(Settings(model_id=checkpoint(options.model))) if options.model else None
    if options.record:
        if model is None:
            parser.error("--record needs --model")
        record(model)
        return 0
    diarizer = diarizer_of(Settings(device="cpu"), SpeechDetector())
    diarizer.load()
    rows = []
    for name, made in groups(options.dialogues, options.first_seed):
        if options.noise is not None:
            made = [noisy(each, options.noise) for each in made]
        if model is not None:
            made = [transcribed(each, model) for each in made]
        rows += [row(name, way, WAYS[way], diarizer, made) for way in WAYS]
    text = columns(["voices", "labelled", "words right", "number right", "single words right", "ms/s"], rows)
    print(text, end="")
    client_report.save(options.results / "speakers_bench.txt", text)
    return 0


def groups(count: int, first_seed: int) -> Iterator[tuple[str, list[Dialogue]]]:
    """Yield the names of groups of dialogues, and their dialogues."""
    for number in (1, 2, 3, 4):
        chosen = [choice(every_voice(), number, seed) for seed in range(first_seed, first_seed + count)]
        yield f"{number} unlike" if number > 1 else "1", [dialogue(*each) for each in chosen]
    for number in (2, 3):
        likes = [(random.Random(seed).sample(LIKE, number), seed) for seed in range(first_seed, first_seed + count)]
        yield f"{number} like", [dialogue(*each) for each in likes]


def every_voice() -> list[str]:
    """Return the names of the bundled voices."""
    return [voice for voice in sorted(clips()) if voice != TWO_VOICES]


def choice(voices: Sequence[str], number: int, seed: int) -> tuple[list[str], int]:
    """Return voices of which one at most is one of the like ones, and a seed."""
    chance = random.Random(seed)
    while True:
        chosen = chance.sample(voices, number)
        if sum(voice in LIKE for voice in chosen) <= 1:
            return chosen, seed


def noisy(each: Dialogue, below_db: float) -> Dialogue:
    """Return a dialogue with white noise so far below the mean power of its sounds."""
    sounds = each.samples[np.abs(each.samples) > 0.01]
    level = float(np.sqrt(np.square(sounds).mean())) * 10 ** (-below_db / 20)
    noise = np.random.default_rng(len(sounds)).normal(0, level, len(each.samples)).astype(np.float32)
    return replace(each, samples=each.samples + noise)


def transcribed(each: Dialogue, model: NemoModel) -> Dialogue:
    """Return a dialogue with the words that the model hears in it, each said by the voice of the nearest word."""
    (transcript,) = model.transcribe(model.collate([each.samples]))
    words = words_of(transcript, len(each.samples) / SAMPLE_RATE)
    middles = np.array([(word.start_s + word.end_s) / 2 for word in each.words])
    nearest = [int(np.abs(middles - (word.start_s + word.end_s) / 2).argmin()) for word in words]
    return Dialogue(each.samples, words, tuple(each.voices[index] for index in nearest))


def whole(diarizer: Diarizer, each: Dialogue, options: SpeakerOptions | None = None) -> Sequence[str]:
    """Label the words of a whole recording."""
    diarization = diarizer.recording(options or SpeakerOptions())
    diarization.add(each.samples, 0.0)
    return diarization.label(each.words)


def counted(diarizer: Diarizer, each: Dialogue) -> Sequence[str]:
    """Label the words of a whole recording whose number of speakers is known."""
    return whole(diarizer, each, SpeakerOptions(num_speakers=len(set(each.voices))))


def turn_by_turn(diarizer: Diarizer, each: Dialogue) -> Sequence[str]:
    """Label each turn when it has been said."""
    diarization = diarizer.recording(SpeakerOptions())
    labels: list[str] = []
    start = 0
    for words in turns(each):
        end = round((words[-1].end_s + 0.1) * SAMPLE_RATE)
        diarization.add(each.samples[start:end], start / SAMPLE_RATE)
        labels += diarization.label_next(words)
        start = end
    return labels


def known(diarizer: Diarizer, each: Dialogue) -> Sequence[str]:
    """Label the words of a whole recording in which up to four voices are known, those by their names."""
    voices = sorted(set(each.voices))[:MAX_KNOWN]
    speakers = tuple(KnownSpeaker(voice, reference(voice)) for voice in voices)
    return whole(diarizer, each, SpeakerOptions(known=speakers))


def reference(voice: str) -> Samples:
    """Return the audio of a voice's first clip."""
    return clips()[voice][0].samples


WAYS: dict[str, Way] = {"whole": whole, "counted": counted, "turn by turn": turn_by_turn, "known": known}


def turns(each: Dialogue) -> list[list[Word]]:
    """Return the words of each turn."""
    pairs = zip(each.words, each.voices, strict=True)
    return [[word for word, _ in turn] for _, turn in groupby(pairs, key=lambda pair: pair[1])]


def row(voices: str, way: str, label: Way, diarizer: Diarizer, made: Sequence[Dialogue]) -> list[str | float]:
    """Return a row of the table."""
    started_s = time.process_time()
    labels = [label(diarizer, each) for each in made]
    spent_ms = 1000 * (time.process_time() - started_s)
    found = sum((judged(each, these, named=way == "known") for each, these in zip(made, labels, strict=True)), Right())
    return [
        voices,
        way,
        f"{found.right_words / found.words:.1%} of {found.words}",
        f"{found.right_numbers} of {found.dialogues}",
        f"{found.right_single_words} of {found.single_words}",
        spent_ms / sum(len(each.samples) / SAMPLE_RATE for each in made),
    ]


def judged(each: Dialogue, labels: Sequence[str], *, named: bool = False) -> Right:
    """Return how much of a dialogue is right: each label stands for one voice, so that as many words as possible are.

    Args:
        each: the dialogue.
        labels: the speaker of each word.
        named: whether a label has to be the voice's name.
    """
    voice_of = {voice: voice for voice in each.voices} if named else voices_of(each, labels)
    is_right = [voice_of.get(label) == voice for voice, label in zip(each.voices, labels, strict=True)]
    single = []
    start = 0
    for words in turns(each):
        single += [is_right[start]] if len(words) == 1 else []
        start += len(words)
    has_number = len(set(labels)) == len(set(each.voices))
    return Right(len(is_right), sum(is_right), 1, int(has_number), len(single), sum(single))


def voices_of(each: Dialogue, labels: Sequence[str]) -> dict[str, str]:
    """Return the voice that each label stands for: pairs with the most words first."""
    pairs = list(zip(labels, each.voices, strict=True))
    found: dict[str, str] = {}
    for label, voice in sorted(set(pairs), key=lambda pair: (-pairs.count(pair), pair)):
        if label not in found and voice not in found.values():
            found[label] = voice
    return found


def record(model: NemoModel) -> None:
    """Write the words of the clips, and when they are said."""
    lines = ["file\tword\tstart_s\tend_s"]
    for path in sorted(CLIPS.glob("*.flac")):
        if not path.stem.startswith(("long-", "noise-", "silence-")):
            samples = decode(path.read_bytes())
            (transcript,) = model.transcribe(model.collate([samples]))
            words = words_of(transcript, len(samples) / SAMPLE_RATE)
            lines += [f"{path.name}\t{word.written}\t{word.start_s:.2f}\t{word.end_s:.2f}" for word in words]
    (CLIPS / "words.tsv").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
