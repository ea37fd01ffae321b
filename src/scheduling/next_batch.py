"""The next batch of the queue, as it is put together."""

import math
from dataclasses import dataclass, field

from src.audio.samples import SAMPLE_RATE
from src.scheduling.jobs import Job
from src.scheduling.sorted_deque import Entry

SIMILAR_LENGTH = 2.0
"""Clips share a batch if the longest is at most this many times the shortest: at most half of a batch is padding."""

SHORT_S = 2.0
"""Clips shorter than this, in seconds, count as equally long: the fixed cost of a pass outweighs their padding."""


@dataclass(slots=True)
class NextBatch:
    """The first jobs in order that fit together, all of one type.

    Args:
        max_clips: most jobs in it.
        max_samples: largest padded size, which is the longest job times the number of jobs. A longer job goes alone.
    """

    max_clips: int
    max_samples: float
    entries: dict[Job, Entry[Job]] = field(default_factory=dict)
    shortest: int = 0
    longest: int = 0
    outgrown_by: Job | None = None
    """The first job of similar length that would have made it too large; None if there was none."""

    @property
    def is_full(self) -> bool:
        """Whether later jobs cannot make it larger, except for very short ones."""
        return self.outgrown_by is not None or len(self.entries) == self.max_clips

    @property
    def first(self) -> Entry[Job]:
        """The first of its jobs."""
        return next(iter(self.entries.values()))

    @property
    def last(self) -> Entry[Job]:
        """The last of its jobs."""
        return next(reversed(self.entries.values()))

    @property
    def similar(self) -> tuple[float, float]:
        """Lengths that are similar to all of its jobs: the shortest and the longest, in samples."""
        if not self.entries:
            return 0, math.inf
        short = SHORT_S * SAMPLE_RATE
        return (
            self.longest / SIMILAR_LENGTH if self.longest > SIMILAR_LENGTH * short else 0,
            SIMILAR_LENGTH * max(self.shortest, short),
        )

    @property
    def room(self) -> float:
        """The longest job that its padded size has room for, in samples; negative if there is none for any."""
        if not self.entries:
            return math.inf
        longest = self.max_samples / (len(self.entries) + 1)
        return longest if longest >= self.longest else -1

    def add(self, entry: Entry[Job]) -> None:
        """Add a job, in order."""
        length = entry[2].length
        is_last = not self.entries or self.last < entry
        self.shortest = min(self.shortest, length) if self.entries else length
        self.longest = max(self.longest, length)
        self.entries[entry[2]] = entry
        if not is_last:
            self.entries = {each[2]: each for each in sorted(self.entries.values())}

    def accepts(self, job: Job) -> bool:
        """Return whether a job may be added. A similar one that is only too large is noted in `outgrown_by`."""
        shortest, longest = self.similar
        if len(self.entries) == self.max_clips or not shortest <= job.length <= longest:
            return False
        if job.length > self.room:
            self.outgrown_by = self.outgrown_by or job
            return False
        return True
