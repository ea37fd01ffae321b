"""Dialogues made of the bundled clips: turns of one voice each, with pauses between them.

The words of each clip, and their times, are those that the bundled checkpoint makes of the clip alone
(`clips/words.tsv`, written by `benches/speakers_bench.py --record`).
"""

import csv
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import soundfile

from src.audio.samples import SAMPLE_RATE, Samples
from src.text.words import Word

CLIPS = Path(__file__).parents[1] / "clips"
SHORTEST_S, LONGEST_S = 2.0, 6.0
"""How long a turn is, unless it is a single word."""
PAUSES_S = (0.1, 1.0)
EDGE_S = 0.04
"""What is kept before and after the words of a turn that is cut out of a clip."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Something that one voice says."""

    voice: str
    samples: Samples
    words: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class Dialogue:
    """Turns one after the other."""

    samples: Samples
    words: tuple[Word, ...]
    voices: tuple[str, ...]
    """The voice of each word."""


def word(text: str, start_s: float, end_s: float) -> Word:
    """A word without tokens."""
    return Word(re.sub(r"\W+$", "", text), text, start_s, end_s, 0.0, ())


def moved(each: Word, by_s: float) -> Word:
    """A word that is said later."""
    return word(each.written, each.start_s + by_s, each.end_s + by_s)


@cache
def clips() -> dict[str, tuple[Turn, ...]]:
    """All clips of each voice, without the silence around the words."""
    spoken: dict[str, list[Word]] = {}
    with (CLIPS / "words.tsv").open() as file:
        for row in csv.DictReader(file, delimiter="\t"):
            spoken.setdefault(row["file"], []).append(word(row["word"], float(row["start_s"]), float(row["end_s"])))
    voices: dict[str, list[Turn]] = {}
    for name, words in spoken.items():
        voice = re.sub(r"-\d+\.flac$", "", name)
        samples, _ = soundfile.read(CLIPS / name, dtype="float32")
        voices.setdefault(voice, []).append(cut(Turn(voice, samples, tuple(words)), 0, len(words)))
    return {voice: tuple(turns) for voice, turns in voices.items()}


def cut(turn: Turn, first: int, last: int) -> Turn:
    """Words `first` to `last` (exclusive) of a turn, by themselves."""
    loud = np.flatnonzero(np.abs(turn.samples) > 0.02 * np.abs(turn.samples).max())
    start_s = loud[0] / SAMPLE_RATE if first == 0 else turn.words[first].start_s
    end_s = loud[-1] / SAMPLE_RATE if last == len(turn.words) else turn.words[last].start_s
    start_s = max(0.0, start_s - EDGE_S)
    samples = turn.samples[round(start_s * SAMPLE_RATE) : round((end_s + EDGE_S) * SAMPLE_RATE)]
    return Turn(turn.voice, samples, tuple(moved(each, -start_s) for each in turn.words[first:last]))


def joined(turns: Sequence[Turn], pauses_s: Sequence[float]) -> Dialogue:
    """Turns with a pause before each of them."""
    parts: list[Samples] = []
    words: list[Word] = []
    voices: list[str] = []
    length = 0
    for turn, pause_s in zip(turns, pauses_s, strict=True):
        silence = np.zeros(round(pause_s * SAMPLE_RATE), np.float32)
        start_s = (length + len(silence)) / SAMPLE_RATE
        words += [moved(each, start_s) for each in turn.words]
        voices += [turn.voice] * len(turn.words)
        parts += [silence, turn.samples]
        length += len(silence) + len(turn.samples)
    return Dialogue(np.concatenate(parts), tuple(words), tuple(voices))


def dialogue(voices: Sequence[str], seed: int, turns: int = 12) -> Dialogue:
    """A dialogue of these voices: turns of 2 to 6 s, one of them a single word, and pauses of 0.1 to 1 s.

    Each voice has at least two turns of that length, and no voice has two turns one after the other, unless it is the
    only one.
    """
    chance = random.Random(f"{seed} {' '.join(voices)}")
    order = _order(voices, turns, chance)
    spoken = [_turn(voice, chance) for voice in order]
    short = chance.randrange(len(voices), len(order))
    spoken[short] = _one_word(order[short], chance)
    return joined(spoken, [chance.uniform(*PAUSES_S) for _ in spoken])


def _order(voices: Sequence[str], turns: int, chance: random.Random) -> list[str]:
    order = list(voices)
    while len(order) < turns:
        others = [voice for voice in voices if voice != order[-1]] or list(voices)
        fewest = min(order.count(voice) for voice in others)
        rare = [voice for voice in others if order.count(voice) == fewest]
        order.append(chance.choice(rare if len(order) < 2 * len(voices) else others))
    return order


def _turn(voice: str, chance: random.Random) -> Turn:
    """One or two clips of a voice, 2 to 6 s in all."""
    first, *others = chance.sample(clips()[voice], len(clips()[voice]))
    parts = [first]
    if others and len(first.samples) + len(others[0].samples) < (LONGEST_S - 0.2) * SAMPLE_RATE:
        parts.append(others[0])
    said = joined(parts, [0.0, *[0.2] * (len(parts) - 1)])
    if len(said.samples) < SHORTEST_S * SAMPLE_RATE and others:
        said = joined([first, others[0]], [0.0, 0.2])
    return Turn(voice, said.samples, said.words)


def _one_word(voice: str, chance: random.Random) -> Turn:
    """The first or the last word of a clip."""
    turn = chance.choice(clips()[voice])
    return cut(turn, 0, 1) if chance.random() < 0.5 else cut(turn, len(turn.words) - 1, len(turn.words))
