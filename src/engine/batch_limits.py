"""Limits on the size of a batch: the settings, and defaults that suit the device."""

from collections.abc import Sequence
from dataclasses import dataclass

from src.settings import Settings

GB = 1e9
CPU_CLIPS, CPU_AUDIO_S = 8, 1200.0
"""Defaults for a CPU. More clips in a batch are no faster there, and all of them wait for the last."""
CLIPS_BY_MEMORY = ((40 * GB, 64), (16 * GB, 32), (0.0, 16))
"""Default clips of a batch on a GPU, by the least memory that the GPU has in bytes.

These are estimates from counted kernels and bytes of the 0.6B shape: 8 clips of 10 s take as long as the launches of
their 1,300 kernels, and about 64 clips keep a large GPU busy."""
CLIP_S = 30.0
"""Length of clips in seconds of which a GPU's default audio limit allows a full batch."""
PREFERRED_SIZES = (8, 16, 32, 64)
"""If more clips wait than the smallest of these, a GPU takes one of these numbers; it would pad those in between."""


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """Limits on the size of a batch."""

    max_clips: int = CPU_CLIPS
    max_audio_s: float = CPU_AUDIO_S
    """Limit in seconds on the padded size, which is the longest clip times the clips. A longer clip goes alone."""
    preferred_sizes: tuple[int, ...] = ()
    """Numbers of clips that need no padded rows, ascending; empty if all numbers are equally good."""

    @classmethod
    def from_settings(cls, settings: Settings, gpu_bytes: int | None = None) -> "BatchLimits":
        """Return the limits that `settings` give; the others are defaults for a GPU with `gpu_bytes`, or for a CPU."""
        if gpu_bytes is None:
            return cls().with_settings(settings)
        clips = next(clips for min_bytes, clips in CLIPS_BY_MEMORY if gpu_bytes >= min_bytes)
        return cls(clips, clips * CLIP_S, PREFERRED_SIZES).with_settings(settings)

    def with_settings(self, settings: Settings) -> "BatchLimits":
        """Return these limits, overridden by the ones that `settings` give."""
        max_clips = settings.microbatch_max_batch or self.max_clips
        max_audio_s = settings.microbatch_max_audio_s or self.max_audio_s
        return BatchLimits(max_clips, max_audio_s, tuple(size for size in self.preferred_sizes if size <= max_clips))

    def __str__(self) -> str:
        """Return the limits for the log."""
        return f"at most {self.max_clips} clips and {self.max_audio_s:g} s of audio"


def preferred_batch_size(waiting: int, preferred_sizes: Sequence[int]) -> int:
    """Return how many of `waiting` clips to take: the largest preferred size that they fill, all if they fill none."""
    return max((size for size in preferred_sizes if size <= waiting), default=waiting)
