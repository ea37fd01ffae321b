"""The input shapes that the encoder has CUDA graphs for. This module does not need torch.

A CUDA graph replays one shape, so each batch, or sub-batch (`sub_batches`), is padded to the shape of a bucket.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from src.audio.samples import SAMPLE_RATE
from src.engine.frames import FEATURES_PER_FRAME, SAMPLES_PER_FEATURE

BUCKET_FRAMES = (32, 64, 96, 128, 160, 192, 224, 256, 320, 384, 512, 768, 1024, 1504)
"""Lengths of buckets in encoder frames of 80 ms: dense where most clips are, up to a chunk of 120 s."""
BUCKET_CLIPS = (1, 2, 4, 8, 16, 32, 64)
"""Numbers of clips of buckets."""
ALIGNMENT = 8
"""All lengths are multiples of it, as PyTorch's fused attention needs aligned rows of attention scores."""
MAX_WINDOW_BUCKETS = 8
"""Limit on the lengths of buckets for the windows of live text. Those of the longest windows count: a session has them
all the time, and in a batch of 64, eight frames less of padding save a tenth of the time. Short windows are few, and
padding them from 16 to 32 frames costs 50 us by estimate (see `Cost`)."""

_GB = 1e9
_MAX_FRAMES_BY_MEMORY = ((32 * _GB, 16_384), (12 * _GB, 8_192), (5 * _GB, 4_096), (0, 1_024))
"""Total frames of the largest bucket, by the least free memory in bytes. A graph of 16,384 frames (1,311 s of audio)
needs about 3 GB, and as much again while it is captured; about 8,000 frames keep a large GPU busy."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """A shape of the encoder's input: a number of clips, each padded to the same number of frames of 80 ms."""

    clips: int
    frames: int

    @property
    def samples(self) -> int:
        """Samples of each clip at 16 kHz; with the one padding feature at the end they make 8 features per frame."""
        return (FEATURES_PER_FRAME * self.frames - 1) * SAMPLES_PER_FEATURE

    @property
    def total_frames(self) -> int:
        """Frames of all clips together."""
        return self.clips * self.frames


class Buckets:
    """A set of buckets with a fast search for the smallest that fits some clips. Iterates from large to small."""

    def __init__(self, buckets: Iterable[Bucket]) -> None:
        self._all = sorted(set(buckets), key=lambda bucket: (-bucket.total_frames, -bucket.clips))
        self.clip_counts: tuple[int, ...] = tuple(sorted({bucket.clips for bucket in self._all}))
        """The numbers of clips that buckets have, ascending."""
        self._steps = {clips: _steps([each for each in self._all if each.clips >= clips]) for clips in self.clip_counts}

    def __iter__(self) -> Iterator[Bucket]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def smallest_for(self, clips: int, samples: int) -> Bucket | None:
        """Return the smallest bucket for `clips` clips of up to `samples` samples, None if no bucket fits them."""
        for count in self.clip_counts:
            if count >= clips:
                lengths, buckets = self._steps[count]
                step = bisect_left(lengths, samples)
                return buckets[step] if step < len(buckets) else None
        return None


def _steps(buckets: Iterable[Bucket]) -> tuple[list[int], list[Bucket]]:
    """Return ascending lengths in samples, and for each the smallest of `buckets` for clips up to that length."""
    best: list[Bucket] = []
    for bucket in sorted(buckets, key=lambda bucket: (-bucket.samples, bucket.total_frames)):
        if not best or bucket.total_frames < best[-1].total_frames:
            best.append(bucket)
    best.reverse()
    return [bucket.samples for bucket in best], best


def choose_buckets(max_clip_s: float, max_clips: int, free_bytes: float, windows: Sequence[int] = ()) -> Buckets:
    """Return the buckets for batches of up to `max_clips` clips of up to `max_clip_s` seconds.

    Args:
        max_clip_s: length of the longest clip; clips longer than the longest bucket fit no bucket.
        max_clips: clips of the largest batch; a batch larger than the largest bucket is split.
        free_bytes: memory of the device that is not in use.
        windows: lengths in frames of the windows of live text. The longest get buckets of their lengths, rounded up to
            the alignment.
    """
    frames = _up_to(BUCKET_FRAMES, _padded_frames(max_clip_s))
    window_frames = {aligned_frames(window * FEATURES_PER_FRAME * SAMPLES_PER_FEATURE) for window in windows}
    frames |= set(sorted(window_frames)[-MAX_WINDOW_BUCKETS:])
    max_frames = next(max_frames for min_bytes, max_frames in _MAX_FRAMES_BY_MEMORY if free_bytes >= min_bytes)
    clips = _up_to(BUCKET_CLIPS, max_clips)
    return Buckets(Bucket(count, length) for count in clips for length in frames if count * length <= max_frames)


def max_padded_frames(max_clip_s: float) -> int:
    """Return the largest number of frames that a clip of up to `max_clip_s` seconds is padded to."""
    frames = _padded_frames(max_clip_s)
    return max(frames, *_up_to(BUCKET_FRAMES, frames))


def _padded_frames(seconds: float) -> int:
    return aligned_frames(round(seconds * SAMPLE_RATE))


def _up_to(steps: Sequence[int], target: int) -> set[int]:
    """Return the steps up to the first that is at least `target`."""
    return {steps[0], *(step for below, step in pairwise(steps) if below < target)}


def aligned_frames(samples: int) -> int:
    """Return the length in frames of the shortest bucket for a clip of `samples` samples."""
    features = samples // SAMPLES_PER_FEATURE + (samples % SAMPLES_PER_FEATURE > 0) + 1
    return aligned(-(-features // FEATURES_PER_FRAME))


def aligned(size: int, alignment: int = ALIGNMENT) -> int:
    """Return `size` rounded up to a multiple of `alignment`."""
    return -(-size // alignment) * alignment
