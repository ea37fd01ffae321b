"""The shapes that the encoder has a CUDA graph for, and how a batch is dealt out to them. No torch here.

A graph replays one shape, so a batch is padded up to one. Padding costs what real audio costs, and 128 clips of 2 to
30 s in one padded batch are 45 % padding. So a batch is dealt out to parts of like length, which is 17 %.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from src.audio.samples import SAMPLE_RATE
from src.engine.frames import FEATURES_PER_FRAME, SAMPLES_PER_FEATURE

BUCKET_FRAMES = (32, 64, 96, 128, 160, 192, 224, 256, 320, 384, 512, 768, 1024, 1504)
"""Lengths of buckets in encoder frames of 80 ms: close together where most clips are, up to a chunk of 120 s."""
BUCKET_CLIPS = (1, 2, 4, 8, 16, 32, 64)
ALIGNMENT = 8
"""All lengths are multiples of it: rows of attention scores are then aligned as PyTorch's fused kernels want them."""
MAX_WINDOW_BUCKETS = 8
"""Lengths of live windows that get buckets of their own; the default settings have six."""

_GB = 1e9
_FRAMES_BY_MEMORY = ((32 * _GB, 16_384), (12 * _GB, 8_192), (5 * _GB, 4_096), (0, 1_024))
"""Frames of all clips of the largest bucket, where at least so much memory is free. A graph of 16,384 frames (1,311 s
of audio) needs about 3 GB, and once more while it is made; a large GPU is busy from about 8,000 on."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """A shape of the encoder's input: so many clips, each padded to so many frames of 80 ms."""

    clips: int
    frames: int

    @property
    def samples(self) -> int:
        """Samples of each clip at 16 kHz: as many as make 8 features for each frame, the last beyond the clip."""
        return (FEATURES_PER_FRAME * self.frames - 1) * SAMPLES_PER_FEATURE

    @property
    def size(self) -> int:
        """Frames of all clips."""
        return self.clips * self.frames


class Buckets:
    """A set of buckets, to be asked for the smallest that holds some clips."""

    def __init__(self, buckets: Iterable[Bucket]) -> None:
        self._all = sorted(set(buckets), key=lambda bucket: (-bucket.size, -bucket.clips))
        self.clip_counts: tuple[int, ...] = tuple(sorted({bucket.clips for bucket in self._all}))
        """How many clips a bucket may hold, ascending."""
        self._steps = {clips: _steps([each for each in self._all if each.clips >= clips]) for clips in self.clip_counts}

    def __iter__(self) -> Iterator[Bucket]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def smallest_for(self, clips: int, samples: int) -> Bucket | None:
        """Return the smallest bucket for so many clips of up to `samples` samples; None if they fit none."""
        for count in self.clip_counts:
            if count >= clips:
                lengths, buckets = self._steps[count]
                step = bisect_left(lengths, samples)
                return buckets[step] if step < len(buckets) else None
        return None


def _steps(buckets: Iterable[Bucket]) -> tuple[list[int], list[Bucket]]:
    """Return rising lengths in samples, and for each the smallest of these buckets for clips up to that length."""
    best: list[Bucket] = []
    for bucket in sorted(buckets, key=lambda bucket: (-bucket.samples, bucket.size)):
        if not best or bucket.size < best[-1].size:
            best.append(bucket)
    best.reverse()
    return [bucket.samples for bucket in best], best


def choose_buckets(max_clip_s: float, max_clips: int, free_bytes: float, windows: Sequence[int] = ()) -> Buckets:
    """Return the buckets for batches of up to `max_clips` clips of up to `max_clip_s` seconds.

    Args:
        longest_s: the longest clip; where it is longer than the longest bucket, clips of such length fit none.
        most_clips: of a batch; a larger one than the largest bucket's is dealt out.
        free_bytes: the memory of the device that nobody has taken.
        windows: lengths in frames of the windows that streams are decoded by. They are few and come again and again,
            so each has a bucket that holds it without padding, but for the alignment.
    """
    frames = _up_to(BUCKET_FRAMES, _frames_of(max_clip_s))
    exact = {aligned_frames(window * FEATURES_PER_FRAME * SAMPLES_PER_FEATURE) for window in windows}
    frames |= set(sorted(exact)[-MAX_WINDOW_BUCKETS:])
    most = next(most for memory, most in _FRAMES_BY_MEMORY if free_bytes >= memory)
    clips = _up_to(BUCKET_CLIPS, max_clips)
    return Buckets(Bucket(count, length) for count in clips for length in frames if count * length <= most)


def max_padded_frames(max_clip_s: float) -> int:
    """Return the most frames that a clip of up to `max_clip_s` seconds is padded to."""
    frames = _frames_of(max_clip_s)
    return max(frames, *_up_to(BUCKET_FRAMES, frames))


def _frames_of(seconds: float) -> int:
    return aligned_frames(round(seconds * SAMPLE_RATE))


def _up_to(steps: Sequence[int], wanted: int) -> set[int]:
    """Return the steps up to the first that reaches `wanted`."""
    return {steps[0], *(step for below, step in pairwise(steps) if below < wanted)}


def aligned_frames(samples: int) -> int:
    """Return the length, in frames, of the shortest bucket for a clip of so many samples."""
    features = samples // SAMPLES_PER_FEATURE + (samples % SAMPLES_PER_FEATURE > 0) + 1
    return aligned(-(-features // FEATURES_PER_FRAME))


def aligned(size: int, alignment: int = ALIGNMENT) -> int:
    """Return the least multiple of `alignment` that is no less than `size`."""
    return -(-size // alignment) * alignment
