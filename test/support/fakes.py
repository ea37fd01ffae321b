"""Models for tests: slow, held or failing when the test says so."""

import threading
import time
from collections.abc import Callable, Sequence

import numpy as np

from src.audio.samples import SAMPLE_RATE, Samples
from src.engine.batch_limits import BatchLimits
from src.engine.model import Batch, Model, StepBatch, StepResult, StreamStep
from src.text.transcript import WORD_START, Token, Transcript

FRAME_S = 0.08
POISON = 0.5
"""First sample of a clip for which a model raises."""


class HeldModel(Model):
    """A model that finishes a batch only when released, and identifies each clip in its text.

    The text is the clip's last sample in thousandths. A batch with a clip that begins with `POISON` raises. A step
    works like a clip: its text is its only token, and its decoder state lists the texts of all steps of its stream.
    """

    def __init__(self, *, held: bool = True) -> None:
        self.batches: list[list[str]] = []
        self.started = threading.Semaphore(0)
        self._permits = threading.Semaphore(0)
        self._free = threading.Event()
        if not held:
            self._free.set()

    languages: Sequence[str] = ("en",)
    limits = BatchLimits()

    def has_compiled(self, keywords: tuple[str, ...]) -> bool:
        return True

    def compile(self, keywords: tuple[str, ...]) -> None:
        raise AssertionError("all keywords are compiled")

    def collate(self, clips: Sequence[Samples], keywords: Sequence[tuple[str, ...]] | None = None) -> Batch:
        return Batch(clips, tuple(len(each) / SAMPLE_RATE for each in clips), None)

    def transcribe(self, batch: Batch) -> list[Transcript]:
        return [Transcript(text) for text in self._run(batch.audio)]

    def collate_steps(self, steps: Sequence[StreamStep]) -> StepBatch:
        return StepBatch(self.collate([step.samples for step in steps]), tuple(steps))

    def advance(self, batch: StepBatch) -> list[StepResult]:
        texts = self._run(batch.windows.audio)
        return [_result(text, step) for text, step in zip(texts, batch.steps, strict=True)]

    def _run(self, clips: Sequence[Samples]) -> list[str]:
        texts = [str(round(float(clip[-1]) * 1000)) for clip in clips]
        self.batches.append(texts)
        self.started.release()
        while not self._free.is_set() and not self._permits.acquire(timeout=0.01):
            pass
        if any(clip[0] > 0.9 * POISON for clip in clips):
            raise RuntimeError("poison")
        return texts

    def release(self) -> None:
        """Let one batch finish."""
        self._permits.release()

    def release_all(self) -> None:
        """Let this and all later batches finish at once."""
        self._free.set()

    @property
    def clips(self) -> list[str]:
        """Every clip that reached the model, in order."""
        return [text for batch in self.batches for text in batch]


class SlowModel(HeldModel):
    """A model that takes `batch_s` for each batch."""

    def __init__(self, batch_s: float = 0.1) -> None:
        super().__init__(held=False)
        self._batch_s = batch_s

    def _run(self, clips: Sequence[Samples]) -> list[str]:
        time.sleep(self._batch_s)
        return super()._run(clips)


class FaultyModel(HeldModel):
    """A model that raises `error` for each batch whose texts `fails` accepts."""

    def __init__(
        self, error: Exception, fails: Callable[[list[str]], bool] = lambda texts: True, *, held: bool = False
    ) -> None:
        super().__init__(held=held)
        self._error = error
        self._fails = fails

    def transcribe(self, batch: Batch) -> list[Transcript]:
        transcripts = super().transcribe(batch)
        if self._fails([transcript.text for transcript in transcripts]):
            raise self._error
        return transcripts


def _result(text: str, step: StreamStep) -> StepResult:
    start_s = step.start_frame * FRAME_S
    token = Token(0, WORD_START + text, start_s, start_s + FRAME_S, -0.25)
    return StepResult((token,), [*(step.decoder_state or []), text])


def clip(number: int, seconds: float = 1.0, *, poison: bool = False) -> Samples:
    """Samples of a clip whose text a `HeldModel` gives as `str(number)`."""
    samples = np.full(round(seconds * SAMPLE_RATE), 0.25, dtype=np.float32)
    samples[0] = POISON if poison else 0.25
    samples[-1] = number / 1000
    return samples


def step(number: int, seconds: float = 1.0, *, poison: bool = False, decoder_state: object = None) -> StreamStep:
    """Return a step whose text a `HeldModel` gives as `str(number)`."""
    return StreamStep(clip(number, seconds, poison=poison), 0, round(seconds / FRAME_S), 0, decoder_state)
