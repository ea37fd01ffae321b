"""The interface between the service and the engine: a model's inputs, its results and its methods.

Nothing here needs torch or NeMo.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from src.audio.samples import SAMPLE_RATE, Samples
from src.engine.batch_limits import BatchLimits
from src.engine.frames import SAMPLES_PER_FRAME
from src.text.transcript import Token, Transcript


@dataclass(frozen=True, slots=True, eq=False)
class StreamStep:
    """A streaming step: one window of an utterance for the model, and the decoder's state before it.

    The encoder sees the whole window. The decoder skips the window's left context and decodes the frames after it; the
    rest is right context.
    """

    samples: Samples
    """The window, (samples,) float32 at 16 kHz; it begins at a frame of the utterance."""
    skip_frames: int
    """Frames of 80 ms in the left context."""
    take_frames: int
    """Frames to decode; an utterance's last window may hold fewer."""
    start_frame: int
    """The number of the first frame to decode, counted from the start of the utterance."""
    decoder_state: Any = None
    """The state that the step before returned, None for an utterance's first step; only the model's thread reads it."""
    keywords: tuple[str, ...] = ()
    """The same for all steps of an utterance."""
    lookahead: bool = False
    """Whether the frames after those, the right context, are decoded too. What they hold may still change, so the
    state after them is thrown away."""

    @property
    def end_s(self) -> float:
        """The end of the window, in seconds from the start of the utterance."""
        return ((self.start_frame - self.skip_frames) * SAMPLES_PER_FRAME + len(self.samples)) / SAMPLE_RATE


@dataclass(frozen=True, slots=True, eq=False)
class StepResult:
    """The tokens that a streaming step decoded, and the decoder's state after it."""

    tokens: tuple[Token, ...]
    """Their times are seconds from the start of the utterance."""
    decoder_state: Any
    """For the next `StreamStep` of the same utterance."""
    lookahead: tuple[Token, ...] = ()
    """The tokens of the right context if the step asked for them; times are those of `tokens`."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Clips for one forward pass."""

    audio: Any
    """The samples of all clips, in the encoder's form."""
    clips_s: tuple[float, ...]
    """The length of each clip in seconds."""
    keyword_trees: Any
    """The keywords of all clips, compiled, in the decoder's form; None if no clip has any."""


@dataclass(frozen=True, slots=True)
class StepBatch:
    """Streaming steps of several utterances for one forward pass."""

    windows: Batch
    """Their windows, for the encoder."""
    steps: tuple[StreamStep, ...]
    """The steps, for the decoder."""


class Model(Protocol):
    """A model, as the scheduler uses it."""

    @property
    def languages(self) -> Sequence[str]:
        """ISO 639-1 codes of the languages that it transcribes, the one to assume first."""

    @property
    def limits(self) -> BatchLimits:
        """How large its batches should be."""

    def has_compiled(self, keywords: tuple[str, ...]) -> bool:
        """Whether `compile` has nothing to do for these keywords."""

    def compile(self, keywords: tuple[str, ...]) -> None:
        """Compile a list of keywords before a batch needs it; any thread may call this."""

    def collate(self, clips: Sequence[Samples], keywords: Sequence[tuple[str, ...]] | None = None) -> Batch:
        """Return a batch of clips with the keywords of each; any thread may call this while the model runs a batch."""

    def transcribe(self, batch: Batch) -> list[Transcript]:
        """Return the transcript of each clip, in order. Only the model's own thread calls this.

        Raises:
            MemoryExhausted: the device has too little memory; a smaller batch may fit.
            DeviceLost: the device does not respond any more; no batch will run.
            Exception: the model fails on one of the clips.
        """

    def collate_steps(self, steps: Sequence[StreamStep]) -> StepBatch:
        """Return a batch of steps of different utterances; any thread may call this."""

    def advance(self, batch: StepBatch) -> list[StepResult]:
        """Return the result of each step, in order; thread and errors are those of `transcribe`."""
