"""Speakers for uploads and sessions: what was asked for reaches the diarizer, and all ends with the request."""

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import media
import numpy as np
import pytest
from fakes import HeldModel
from loud_speakers import LoudDiarizer
from media import wav

from src.audio.samples import SAMPLE_RATE
from src.audio.sandbox import Sandbox
from src.errors import InvalidRequest, QueueFull
from src.memory.budget import Budget
from src.memory.budget_queue import BudgetQueue
from src.metrics.trace import Measurements
from src.scheduling.admissions import Admission
from src.scheduling.scheduler import Scheduler
from src.settings import Settings
from src.transcription.audio_source import Upload
from src.transcription.known_speakers import SpeakerReference, SpeakersWanted
from src.transcription.source_decoder import SourceDecoder
from src.transcription.speaker_service import SpeakerService

ANNA = SpeakerReference("Anna", Upload(wav(media.clip("piper-joe-1"))))


@asynccontextmanager
async def serving(diarizer: LoudDiarizer) -> AsyncIterator[tuple[SpeakerService, Admission, Budget]]:
    scheduler = Scheduler(Settings())
    await scheduler.start(lambda: HeldModel(held=False))
    memory = Budget(10**9)
    sandbox = Sandbox(timeout_s=60, memory_mb=500, total_mb=2000, max_workers=1)
    with ThreadPoolExecutor(1) as pool:
        queue = BudgetQueue(memory, 600, lambda: QueueFull("no memory"))
        service = SpeakerService(diarizer, SourceDecoder(sandbox, pool, pool), queue, pool, max_speakers=5)
        async with scheduler.admit() as admission:
            yield service, admission, memory
    await scheduler.stop(0)


async def test_an_upload_that_asks_for_none_has_none():
    diarizer = LoudDiarizer(unavailable=InvalidRequest("no weights"))
    async with (
        serving(diarizer) as (service, admission, _),
        service.of_upload(admission, None, Measurements()) as speakers,
    ):
        assert speakers is None


async def test_what_a_request_says_reaches_the_diarizer_and_its_end_stops_it():
    async with serving(diarizer := LoudDiarizer()) as (service, admission, memory):
        async with service.of_upload(admission, SpeakersWanted(3, (ANNA,)), Measurements()) as speakers:
            (made,) = diarizer.made
            assert (made.options.num_speakers, made.options.max_speakers) == (3, 5)
            assert [each.name for each in made.options.known] == ["Anna"]
            assert speakers is not None
            assert speakers.held_s == len(made.options.known[0].samples) / SAMPLE_RATE
            assert not made.stopped.is_set()
        assert made.stopped.is_set()
        assert memory.reserved_bytes == 0


@pytest.mark.parametrize("wanted", [SpeakersWanted(), SpeakersWanted(None, (SpeakerReference("Ben", Upload(b"")),))])
async def test_what_cannot_be_done_is_an_error(wanted):
    unavailable = None if wanted.references else InvalidRequest("no weights")
    async with serving(diarizer := LoudDiarizer(unavailable=unavailable)) as (service, admission, memory):
        with pytest.raises(InvalidRequest):
            async with service.of_upload(admission, wanted, Measurements()):
                pass
        assert (diarizer.made, memory.reserved_bytes) == ([], 0)


async def test_the_items_of_a_session_follow_each_other_in_one_diarization():
    async with serving(diarizer := LoudDiarizer()) as (service, _, _):
        session = service.of_session()
        for loudness in (0.2, 0.4):
            item = np.full(SAMPLE_RATE, loudness, np.float32)
            await session.of_item(1.0, Measurements()).add(item, 0.0)
        (made,) = diarizer.made
        assert made.parts == [(0.0, 1.0), (2.0, 3.0)]
        session.stop()
        assert made.stopped.is_set()
