"""The service on a model that answers at once, so that what is left is the cost of serving.

python3 test/instant_model.py [--profile FILE]

Everything else is the service as it is, set up by its environment. `--profile` writes what the event loop's thread did,
in cProfile's format; that makes it two to three times slower.
"""

import argparse
import cProfile
import ctypes
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from src.__main__ import main, run_and_exit
from src.asr.transcript import WORD_START, Token, Transcript, text_of
from src.settings import Settings

WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "the", "lazy", "dog", "while", "the", "old", "tree", "sleeps"]


class InstantModel:
    """Hears the same fourteen words in every clip."""

    languages = ("en",)

    def __init__(self, _: Settings) -> None:
        tokens = tuple(
            Token(number, WORD_START + word, number * 0.64, number * 0.64 + 0.32, -0.01)
            for number, word in enumerate(WORDS)
        )
        self._transcript = Transcript(text_of(tokens), tokens)

    def collate(self, clips: Sequence[np.ndarray], boosts: object = None) -> int:
        return len(clips)

    def transcribe(self, batch: int) -> list[Transcript]:
        return [self._transcript] * batch


def name_threads() -> None:
    """Tell the system the names of threads that start from now on, for /proc; Python itself does so from 3.14 on."""
    set_name = ctypes.CDLL(None).prctl
    run = threading.Thread.run

    def named_run(self: threading.Thread) -> None:
        set_name(15, self.name.encode()[:15], 0, 0, 0)  # 15 is PR_SET_NAME, and the name's longest length
        run(self)

    threading.Thread.run = named_run


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Run the service on a model that answers at once.")
    parser.add_argument("--profile", metavar="FILE", help="write a profile of the event loop's thread")
    options = parser.parse_args()
    name_threads()
    if options.profile is None:
        run_and_exit(InstantModel)
    profile = cProfile.Profile(time.thread_time)  # CPU time, so neither the interpreter lock nor idling counts
    code = profile.runcall(main, InstantModel)
    profile.dump_stats(options.profile)
    sys.exit(code)
