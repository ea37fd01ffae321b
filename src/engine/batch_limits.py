"""How large batches are: what is set, and what suits the device for what is not."""

from collections.abc import Sequence
from dataclasses import dataclass

from src.settings import Settings

GB = 1e9
CPU_CLIPS, CPU_AUDIO_S = 8, 1200.0
"""On a CPU more clips at a time are no faster, and all of them wait for the last."""
CLIPS_BY_MEMORY = ((40 * GB, 64), (16 * GB, 32), (0.0, 16))
"""Clips of a batch on a GPU of at least so many bytes. By counted kernels and bytes of the 0.6B shape, 8 clips of 10 s
take as long as their 1,300 launches do, and 64 are about where a large card is busy."""
CLIP_S = 30.0
"""The length of clips of which a full batch may be made on a GPU."""
PREFERRED_SIZES = (8, 16, 32, 64)
"""Of more clips than the least of these, a GPU takes as many as one of these says: in between it pads."""


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How large a batch may be."""

    max_clips: int = CPU_CLIPS
    max_audio_s: float = CPU_AUDIO_S
    """Padded size, longest clip times clips, in seconds; a longer clip goes alone."""
    preferred_sizes: tuple[int, ...] = ()
    """Numbers of clips that no padding goes with, ascending; none where any number is like any other."""

    @classmethod
    def from_settings(cls, settings: Settings, gpu_bytes: int | None = None) -> "BatchLimits":
        """Return what `settings` say, and where they say nothing, what suits a GPU of so much memory, or a CPU."""
        if gpu_bytes is None:
            return cls().with_settings(settings)
        clips = next(clips for least_bytes, clips in CLIPS_BY_MEMORY if gpu_bytes >= least_bytes)
        return cls(clips, clips * CLIP_S, PREFERRED_SIZES).with_settings(settings)

    def with_settings(self, settings: Settings) -> "BatchLimits":
        """Return the same limits but for those that are set."""
        clips = settings.microbatch_max_batch or self.max_clips
        audio_s = settings.microbatch_max_audio_s or self.max_audio_s
        return BatchLimits(clips, audio_s, tuple(each for each in self.preferred_sizes if each <= clips))

    def __str__(self) -> str:
        """Say what they are, for the log."""
        return f"at most {self.max_clips} clips and {self.max_audio_s:g} s of audio"


def preferred_batch_size(clips: int, preferred_sizes: Sequence[int]) -> int:
    """Return how many of so many clips that wait to take at once: the largest number that comes without padding."""
    return max((each for each in preferred_sizes if each <= clips), default=clips)
