"""What the rest of the service knows of the engine: what goes into a model, what comes out of it, and what it is asked.

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
    """One window of a stream for the model, with what the model remembers of the stream so far."""

    samples: Samples
    """(samples,) float32 at 16 kHz: left context, chunk, right context. It begins with a frame of the stream."""
    skip_frames: int
    """Frames of 80 ms that the left context has."""
    take_frames: int
    """Frames that the chunk has; those that the window does not have are not missed."""
    start_frame: int
    """The number of the chunk's first frame in the stream."""
    decoder_state: Any = None
    """What the step before returned, None for the first of a stream. Only the thread of the model reads it."""
    keywords: tuple[str, ...] = ()
    """Hot words, the same for all steps of a stream."""

    @property
    def end_s(self) -> float:
        """Where in the stream the window ends, in seconds."""
        return ((self.start_frame - self.skip_frames) * SAMPLES_PER_FRAME + len(self.samples)) / SAMPLE_RATE


@dataclass(frozen=True, slots=True, eq=False)
class StepResult:
    """What the model heard in the chunk of a step."""

    tokens: tuple[Token, ...]
    """Their times are seconds from the start of the stream."""
    decoder_state: Any
    """For the next `StreamStep`; of no use to any other stream."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Clips joined for one forward pass."""

    audio: Any
    """The samples as the encoder takes them."""
    clips_s: tuple[float, ...]
    """The lengths of the clips."""
    keyword_trees: Any
    """The hot words of the clips, compiled for the decoder; None where no clip has any."""


@dataclass(frozen=True, slots=True)
class StepBatch:
    """Steps of several streams joined for one forward pass."""

    windows: Batch
    """What the encoder sees."""
    steps: tuple[StreamStep, ...]
    """What the decoder goes by."""


class Model(Protocol):
    """What the scheduler asks of a model."""

    @property
    def languages(self) -> Sequence[str]:
        """ISO 639-1 codes of the languages that it knows, the usual one first."""

    @property
    def limits(self) -> BatchLimits:
        """How large its batches should be."""

    def has_compiled(self, keywords: tuple[str, ...]) -> bool:
        """Whether `compile` has nothing to do for these hot words."""

    def compile(self, keywords: tuple[str, ...]) -> None:
        """Make hot words ready, so that no batch has to wait for that; any thread may do so."""

    def collate(self, clips: Sequence[Samples], keywords: Sequence[tuple[str, ...]] | None = None) -> Batch:
        """Join clips, and the hot words of each, into a batch; any thread may do so while the model runs another."""

    def transcribe(self, batch: Batch) -> list[Transcript]:
        """Return the transcript of each clip, in order. Only the model's own thread calls this.

        Raises:
            MemoryExhausted: a smaller batch may do.
            DeviceLost: nothing will do any more.
            Exception: something is wrong with a clip.
        """

    def collate_steps(self, steps: Sequence[StreamStep]) -> StepBatch:
        """Join steps of different streams into a batch; any thread may do so."""

    def advance(self, batch: StepBatch) -> list[StepResult]:
        """Return what is heard in the chunk of each step, in order; errors and thread are those of `transcribe`."""
