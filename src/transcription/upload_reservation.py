"""Memory for the decoded audio of an upload, reserved before it is decoded."""

from collections.abc import Iterable, Iterator

from src.audio.samples import SAMPLE_RATE, Samples
from src.memory.budget import Reservation
from src.memory.budget_queue import BudgetQueue
from src.memory.plan import AUDIO_BYTES_PER_S
from src.transcription.audio_source import AudioSource, ItemAudio

MIN_BYTES_PER_S = 1_000
"""Assumed size of a media file per second of audio. Only codecs for the narrowest channels need less."""
EXTRA_S = 10.0
"""Audio in seconds that is reserved beyond the estimate."""


def audio_bytes(audio_s: float) -> int:
    """Return the size in memory of `audio_s` seconds of decoded audio."""
    return round(audio_s * AUDIO_BYTES_PER_S)


def estimated_s(source: AudioSource, max_s: float) -> float:
    """Return how many seconds of audio to reserve memory for before `source` is decoded, at most `max_s`."""
    if isinstance(source, ItemAudio):
        return 0.0  # already in memory, and reserved by its session
    plain = source.plain
    bytes_per_s = 2 * plain.channels * plain.rate if plain else MIN_BYTES_PER_S
    return min(max_s, EXTRA_S + len(source.data) / bytes_per_s)


class UploadReservation:
    """The memory that one upload's decoded audio takes. It grows as the upload is decoded and shrinks as it is done.

    `track` grows it in the thread that decodes, `release` shrinks it in the event loop, and never both at a time.

    Args:
        queue: grants memory.
        reservation: the memory granted so far.
        max_s: the most audio of this upload, in seconds, that is in memory at a time.
    """

    def __init__(self, queue: BudgetQueue, reservation: Reservation, max_s: float) -> None:
        self._queue = queue
        self._reservation = reservation
        self._max_s = max_s
        self._decoded_s = 0.0
        self._is_complete = False

    def track(self, blocks: Iterable[Samples]) -> Iterator[Samples]:
        """Yield decoded blocks, and reserve more memory if they exceed the estimate.

        Raises:
            QueueFull: there is no memory for more.
        """
        for block in blocks:
            self._decoded_s += len(block) / SAMPLE_RATE
            self._grow(audio_bytes(min(self._max_s, self._decoded_s)))
            yield block
        self._is_complete = True

    def release(self, until_s: float) -> None:
        """Release the memory of audio before `until_s`. Does nothing until all is decoded, as more takes its place."""
        if self._is_complete:
            self._queue.shrink(self._reservation, audio_bytes(max(0.0, self._decoded_s - until_s)))

    def _grow(self, to_bytes: int) -> None:
        if to_bytes <= self._reservation.bytes:
            return
        ample_bytes = min(max(to_bytes, 2 * self._reservation.bytes), audio_bytes(self._max_s))  # to grow rarely
        if not self._reservation.resize(ample_bytes) and not self._reservation.resize(to_bytes):
            raise self._queue.new_error()
