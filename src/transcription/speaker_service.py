"""Speakers for those who ask for them: of an upload, with recordings of known ones, or of a realtime session."""

from collections.abc import AsyncIterator
from concurrent.futures import Executor
from contextlib import asynccontextmanager

from src.audio.samples import SAMPLE_RATE
from src.diarization.diarizer import Diarization, Diarizer, KnownSpeaker, SpeakerOptions
from src.memory.budget_queue import BudgetQueue
from src.metrics.trace import Measurements
from src.scheduling.admissions import Admission
from src.transcription.known_speakers import MAX_S, PADDING_S, SpeakersWanted, decode_references
from src.transcription.recording_speakers import RecordingSpeakers
from src.transcription.source_decoder import SourceDecoder
from src.transcription.upload_reservation import audio_bytes

ITEM_GAP_S = 1.0
"""The time between two items of a session, as far as the diarization knows."""


class SpeakerService:
    """Makes the speakers of recordings and sessions.

    Args:
        diarizer: tells speakers apart.
        decoder: decodes recordings of known speakers.
        audio_memory: memory for the decoded audio of uploads.
        pool: threads in which diarizations listen.
        max_speakers: the most that are told apart if a request does not say how many there are.
    """

    def __init__(
        self,
        diarizer: Diarizer,
        decoder: SourceDecoder,
        audio_memory: BudgetQueue,
        pool: Executor,
        max_speakers: int,
    ) -> None:
        self._diarizer = diarizer
        self._decoder = decoder
        self._audio_memory = audio_memory
        self._pool = pool
        self._max_speakers = max_speakers

    @asynccontextmanager
    async def of_upload(
        self, admission: Admission, wanted: SpeakersWanted | None, measured: Measurements
    ) -> AsyncIterator[RecordingSpeakers | None]:
        """Yield the speakers of one upload; None if none are `wanted`. They stop at the end of the block.

        Raises:
            SpeakersUnavailable: speakers cannot be told apart here.
            InvalidRequest: a recording of a known speaker cannot be used.
            DecoderUnavailable, QueueFull: there is no process or no memory to decode it.
        """
        if wanted is None:
            yield None
            return
        self._diarizer.check()
        admission.body_received()
        known = await self._known(wanted, measured)
        diarization = self._diarizer.recording(SpeakerOptions(wanted.count, self._max_speakers, known))
        held_s = sum(len(each.samples) for each in known) / SAMPLE_RATE
        speakers = RecordingSpeakers(diarization, self._pool, measured, held_s=held_s)
        try:
            yield speakers
        finally:
            speakers.stop()

    async def _known(self, wanted: SpeakersWanted, measured: Measurements) -> tuple[KnownSpeaker, ...]:
        """Decode the recordings. Their memory is the upload's once that has some."""
        async with self._audio_memory.reserved(audio_bytes(len(wanted.references) * (MAX_S + PADDING_S))):
            return await decode_references(wanted.references, self._decoder, measured)

    def of_session(self) -> "SessionSpeakers":
        """Return the speakers of a new realtime session.

        Raises:
            SpeakersUnavailable: speakers cannot be told apart here.
        """
        self._diarizer.check()
        return SessionSpeakers(self._diarizer.recording(SpeakerOptions(max_speakers=self._max_speakers)), self._pool)


class SessionSpeakers:
    """The speakers of a realtime session, the same over all its items.

    Args:
        diarization: hears the items one after the other.
        pool: threads in which it listens.
    """

    def __init__(self, diarization: Diarization, pool: Executor) -> None:
        self._diarization = diarization
        self._pool = pool
        self._next_s = 0.0

    def of_item(self, audio_s: float, measured: Measurements) -> RecordingSpeakers:
        """Return the speakers of the next item, which lasts `audio_s` seconds. `measured` gets the time they take."""
        start_s, self._next_s = self._next_s, self._next_s + audio_s + ITEM_GAP_S
        return RecordingSpeakers(self._diarization, self._pool, measured, start_s=start_s)

    def stop(self) -> None:
        """Have a call that runs return early, as nobody needs it."""
        self._diarization.stop()
