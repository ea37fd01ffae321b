"""The speakers of one recording, or of one item of a session, while it is transcribed."""

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import replace

from src.audio.samples import Samples
from src.diarization.diarizer import Diarization
from src.metrics.trace import Measurements
from src.text.words import Word


class RecordingSpeakers:
    """Calls a diarization: one call at a time, audio in its order, beside the event loop.

    Args:
        diarization: tells the speakers apart.
        pool: threads in which it listens to audio.
        measured: gets the time that it takes.
        start_s: where this recording starts in the diarization's time, if that has heard others before.
        held_s: seconds of audio of known speakers that the diarization holds until it listens.
    """

    def __init__(
        self,
        diarization: Diarization,
        pool: Executor,
        measured: Measurements,
        *,
        start_s: float = 0.0,
        held_s: float = 0.0,
    ) -> None:
        self.held_s = held_s
        self._diarization = diarization
        self._pool = pool
        self._measured = measured
        self._start_s = start_s
        self._order = asyncio.Lock()  # whoever waits for it gets it in turn, so that audio comes in its order
        self._running = threading.Lock()

    async def add(self, samples: Samples, start_s: float) -> None:
        """Listen to the next part of the recording: 16 kHz audio (samples,) that begins at `start_s`."""
        async with self._order:
            await asyncio.get_running_loop().run_in_executor(self._pool, self._add, samples, start_s)

    def label(self, words: Sequence[Word]) -> tuple[str, ...]:
        """Return who says each word of the whole recording. It takes a while."""
        with self._measuring():
            return self._diarization.label(self._shifted(words))

    def label_next(self, words: Sequence[Word]) -> tuple[str, ...]:
        """Return who says each of the next words, whose audio was added. Later audio does not change it."""
        with self._measuring():
            return self._diarization.label_next(self._shifted(words))

    def stop(self) -> None:
        """Have a call that runs return early, as nobody needs it."""
        self._diarization.stop()

    def _add(self, samples: Samples, start_s: float) -> None:
        with self._measuring():
            self._diarization.add(samples, self._start_s + start_s)

    @contextmanager
    def _measuring(self) -> Iterator[None]:
        with self._running:
            started = time.monotonic()
            try:
                yield
            finally:
                self._measured.add_diarization(time.monotonic() - started)

    def _shifted(self, words: Sequence[Word]) -> Sequence[Word]:
        """Return words in the diarization's time."""
        by_s = self._start_s
        if not by_s:
            return words
        return [replace(word, start_s=word.start_s + by_s, end_s=word.end_s + by_s) for word in words]
