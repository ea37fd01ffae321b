"""A batch as sub-batches of clips of similar length."""

from collections.abc import Sequence
from dataclasses import dataclass

from src.engine.encoder.buckets import Bucket, Buckets, aligned_frames


@dataclass(frozen=True, slots=True)
class SubBatch:
    """Clips of a batch, by their numbers in it, and the bucket that holds them."""

    clips: tuple[int, ...]
    bucket: Bucket


@dataclass(frozen=True, slots=True)
class Cost:
    """What a part costs, in seconds."""

    overhead_s: float = 1.5e-3
    """Each part by itself: the launch, and kernels too small for the device."""
    frame_s: float = 2.9e-6
    """Each padded frame of it. Both are estimates, from counted kernels and bytes of the 0.6B shape and what an H100
    does in a second; they hold until the device has been measured."""

    @classmethod
    def fit(cls, small: tuple[int, float], large: tuple[int, float]) -> "Cost":
        """Return the cost that two measured parts have, each given as its frames and its seconds."""
        frame_s = max(0.0, large[1] - small[1]) / (large[0] - small[0])
        return cls(max(0.0, small[1] - frame_s * small[0]), frame_s)

    def of(self, bucket: Bucket) -> float:
        """Return what a part in this bucket costs."""
        return self.overhead_s + self.frame_s * bucket.size


def split_batch(lengths: Sequence[int], buckets: Buckets, cost: Cost) -> list[SubBatch]:
    """Deal clips, given by their lengths in samples, out to buckets at the least cost in all.

    Sorted by length, the longest first, each part is a run of neighbours, and as many as its bucket has room for: to
    move a shorter clip to a free row of an earlier part makes nothing dearer. So it is enough to choose, from each clip
    on, among the numbers of clips that buckets have. A clip that fits no bucket is a part of its own, in a bucket of
    its own length that is not among `buckets`. Equal lengths keep their order.
    """
    order = sorted(range(len(lengths)), key=lambda number: -lengths[number])
    costs_s = [0.0] * (len(order) + 1)  # of all clips from each on
    chosen: list[SubBatch] = []  # the part that begins with each, from the last on
    for first in reversed(range(len(order))):
        choices = _parts_from(first, order, lengths, buckets)
        costs_s[first], part = min(
            ((cost.of(part.bucket) + costs_s[first + len(part.clips)], part) for part in choices),
            key=lambda choice: choice[0],
        )
        chosen.append(part)
    parts: list[SubBatch] = []
    first = 0
    while first < len(order):
        parts.append(chosen[len(order) - 1 - first])
        first += len(parts[-1].clips)
    return parts


def _parts_from(first: int, order: Sequence[int], lengths: Sequence[int], buckets: Buckets) -> list[SubBatch]:
    """Return the parts that may begin with the clip `order[first]`."""
    longest = lengths[order[first]]
    parts = []
    for count in buckets.clip_counts:
        bucket = buckets.smallest_for(min(count, len(order) - first), longest)
        if bucket is not None:
            parts.append(SubBatch(tuple(order[first : first + count]), bucket))
        if first + count >= len(order):
            break
    return parts or [SubBatch((order[first],), Bucket(1, aligned_frames(longest)))]


def split_by_length(lengths: Sequence[int], most: int) -> list[list[int]]:
    """Return the numbers of clips of these lengths, put together by length.

    A part's longest clip times its clips is at most `most`; a longer clip is alone.
    """
    parts: list[list[int]] = [[]]
    for number in sorted(range(len(lengths)), key=lengths.__getitem__):
        if parts[-1] and lengths[number] * (len(parts[-1]) + 1) > most:
            parts.append([])
        parts[-1].append(number)
    return parts
