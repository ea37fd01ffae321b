"""The service on a model that answers at once, so that only the cost of serving remains.

python3 test/benches/instant_model.py [--every S] [--profile FILE]

Everything else is the real service, configured by its environment. The model returns fourteen words for every clip of
any length, and nothing in the steps of live text. With `--every S` it returns a word for each S seconds of a clip, and
the same words in the steps. `--profile` writes a profile of the event loop's thread in cProfile's format, which makes
that thread two to three times slower.
"""

import argparse
import cProfile
import ctypes
import importlib
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import lru_cache, partial

import search_path

from src.__main__ import main, run_and_exit
from src.audio.samples import SAMPLE_RATE, Samples
from src.engine.batch_limits import BatchLimits
from src.engine.device import limit_torch_threads
from src.engine.frames import FRAME_SECONDS
from src.engine.model import Batch, Model, StepBatch, StepResult, StreamStep
from src.settings import Settings
from src.text.transcript import WORD_START, Token, Transcript, text_of

WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "the", "lazy", "dog", "while", "the", "old", "tree", "sleeps"]


class InstantModel(Model):
    """Returns words at an even pace: fourteen for every clip, or one for each `every_s` seconds of it.

    A step of live text returns the words that end in its chunk, so that all steps of an utterance return its words.
    With `every_s` None they return none.
    """

    languages: Sequence[str] = ("en",)
    limits = BatchLimits()

    def __init__(self, _: Settings, every_s: float | None = None) -> None:
        # NeMo imports it. If it came later, each trim of the heap would scan its objects: 75 ms every 5 s.
        importlib.import_module("torch")
        limit_torch_threads()  # for the speech detector, as when a real model is loaded
        self._every_s = every_s

    def has_compiled(self, keywords: tuple[str, ...]) -> bool:
        return True

    def compile(self, keywords: tuple[str, ...]) -> None:
        pass

    def collate(self, clips: Sequence[Samples], keywords: Sequence[tuple[str, ...]] | None = None) -> Batch:
        return Batch([self._transcribe(len(clip) / SAMPLE_RATE) for clip in clips], (), None)

    def transcribe(self, batch: Batch) -> list[Transcript]:
        return list(batch.audio)

    def collate_steps(self, steps: Sequence[StreamStep]) -> StepBatch:
        return StepBatch(Batch(None, (), None), tuple(steps))

    def advance(self, batch: StepBatch) -> list[StepResult]:
        return [self._advance(step) for step in batch.steps]

    def _advance(self, step: StreamStep) -> StepResult:
        if self._every_s is None:
            return StepResult((), None)
        start_s, stop_s = (frame * FRAME_SECONDS for frame in (step.start_frame, step.start_frame + step.take_frames))
        first, ahead, end = (words_in(s, self._every_s) for s in (start_s, min(stop_s, step.end_s), step.end_s))
        lookahead = tokens(ahead, end, self._every_s) if step.lookahead else ()
        return StepResult(tokens(first, ahead, self._every_s), None, lookahead)

    def _transcribe(self, clip_s: float) -> Transcript:
        return (
            transcript(len(WORDS), 0.64)
            if self._every_s is None
            else transcript(words_in(clip_s, self._every_s), self._every_s)
        )


@lru_cache(maxsize=100)
def transcript(words: int, every_s: float) -> Transcript:
    """Return a transcript of `words` words, one at the end of each `every_s` seconds and half as long."""
    spoken = tokens(0, words, every_s)
    return Transcript(text_of(spoken), spoken)


def tokens(first: int, stop: int, every_s: float) -> tuple[Token, ...]:
    """Return the words of a transcript from number `first` to the one before `stop`, a token each."""
    return tuple(
        Token(number, WORD_START + WORDS[number % len(WORDS)], (number + 0.5) * every_s, (number + 1) * every_s, -0.01)
        for number in range(first, stop)
    )


def words_in(seconds: float, every_s: float) -> int:
    """Return how many words end within the first so many seconds."""
    return int(seconds / every_s + 1e-6)  # a clip of seven times `every_s` has seven


def name_threads() -> None:
    """Give the system the names of threads that start from now on, for /proc; Python does so itself from 3.14 on."""
    set_name = ctypes.CDLL(None).prctl
    run = threading.Thread.run

    def named_run(self: threading.Thread) -> None:
        set_name(15, self.name.encode()[:15], 0, 0, 0)  # 15 is PR_SET_NAME, and the maximum length
        run(self)

    threading.Thread.run = named_run  # type: ignore[method-assign] # for all threads, whoever starts them


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Run the service on a model that answers at once.")
    parser.add_argument("--every", type=float, metavar="S", help="hear a word in each so many seconds")
    parser.add_argument("--profile", metavar="FILE", help="write a profile of the event loop's thread")
    options = parser.parse_args()
    load: Callable[[Settings], Model] = partial(InstantModel, every_s=options.every)
    name_threads()
    if options.profile is None:
        run_and_exit(load)
    profile = cProfile.Profile(time.thread_time)  # CPU time, so neither the interpreter lock nor idling counts
    code = profile.runcall(main, load)
    profile.dump_stats(options.profile)
    sys.exit(code)
