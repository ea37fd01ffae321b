"""From a source to its transcript: chunks in order, and figures also of what fails. Sandbox and media: test/service."""

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from itertools import pairwise

import media
import numpy as np
import pytest
from fakes import HeldModel, clip
from loud_speakers import LoudDiarization
from media import SAMPLE_RATE, pcm16, wav

from src.audio.decode import PcmFormat
from src.audio.sandbox import Sandbox
from src.audio.vad import SpeechDetector
from src.diarization.diarizer import SpeakerOptions
from src.errors import AudioTooLong, EmptyAudio, InvalidRequest, QueueFull, TranscriptionFailed
from src.memory.budget import Budget
from src.memory.budget_queue import BudgetQueue
from src.metrics.trace import Measurements
from src.scheduling.scheduler import Scheduler
from src.settings import Settings
from src.transcription.audio_source import AudioSource, ItemAudio, Upload
from src.transcription.recording_speakers import RecordingSpeakers
from src.transcription.service import TranscriptionService

SPEECH = media.clip("piper-joe-1")


class Service:
    """A service with a model whose text is a clip's last sample in thousandths, as `HeldModel` has it."""

    def __init__(self, scheduler: Scheduler, transcription: TranscriptionService, memory: Budget) -> None:
        self.memory = memory
        self._scheduler = scheduler
        self._transcription = transcription

    async def deltas(
        self, source: AudioSource, measured: Measurements | None = None, *, grows: bool = False
    ) -> list[str]:
        async with self._scheduler.admit() as admission:
            stream = self._transcription.stream(admission, source, measured or Measurements(), grows=grows)
            return [delta.text async for delta in stream]

    async def heard(self, source: AudioSource, diarization: LoudDiarization, *, grows: bool = False) -> list[str]:
        """Return the deltas of a source while a diarization listens."""
        with ThreadPoolExecutor(2) as pool:
            speakers = RecordingSpeakers(diarization, pool, Measurements())
            try:
                async with self._scheduler.admit() as admission:
                    stream = self._transcription.stream(
                        admission, source, Measurements(), grows=grows, speakers=speakers
                    )
                    return [delta.text async for delta in stream]
            finally:
                speakers.stop()

    async def text(self, source: AudioSource) -> str:
        async with self._scheduler.admit() as admission:
            return (await self._transcription.transcribe(admission, source, Measurements())).text


@asynccontextmanager
async def serving(model: HeldModel, **settings: float) -> AsyncIterator[Service]:
    limits = Settings(**{"microbatch_window_ms": 0, "max_queue_wait_s": 600, **settings})
    scheduler = Scheduler(limits)
    await scheduler.start(lambda: model)
    memory = Budget(10**9)
    queue = BudgetQueue(memory, 600, lambda: QueueFull("no memory"))
    sandbox = Sandbox(timeout_s=60, memory_mb=500, total_mb=2000, max_workers=1)
    with ThreadPoolExecutor(1) as pool:
        service = TranscriptionService(limits, scheduler, SpeechDetector(), sandbox, queue, pool, pool)
        yield Service(scheduler, service, memory)
    sandbox.close()
    await scheduler.stop(0)


def speech(*numbers: int) -> np.ndarray:
    """Speech of 8 s for each number, with pauses; what ends a part is a sample with its number."""
    parts = []
    for number in numbers:
        parts.append(np.tile(SPEECH, 4)[: 8 * SAMPLE_RATE - 16_000])
        parts.append(np.full(16_000, number / 1000, np.float32))
    return np.concatenate(parts).astype(np.float32)


@pytest.mark.parametrize(("chunk_seconds", "least"), [(120, 6), (14, 6), (13, 5)])
async def test_audio_whose_text_grows_has_a_clip_for_each_ten_seconds(chunk_seconds, least):
    audio = np.tile(SPEECH, round(60 * SAMPLE_RATE / len(SPEECH)))
    async with serving(model := HeldModel(held=False), chunk_seconds=chunk_seconds) as service:
        await service.deltas(Upload(wav(audio)), grows=True)
        assert len(model.clips) >= least
        model.batches.clear()
        await service.deltas(Upload(wav(audio[: 9 * SAMPLE_RATE])), grows=True)
        assert len(model.clips) == 1


@pytest.mark.parametrize(
    "source",
    [
        Upload(wav(clip(7))),
        Upload(pcm16(clip(7)), PcmFormat()),
        ItemAudio(clip(7)),
    ],
    ids=["WAV", "PCM", "item"],
)
async def test_short_audio_is_one_clip(source):
    async with serving(HeldModel(held=False)) as service:
        measured = Measurements()
        assert await service.deltas(source, measured) == ["7", ""]
        assert await service.text(source) == "7"
    assert measured.audio_len_s == 1
    assert measured.duration_preprocess_s is not None
    assert (measured.lane, measured.batch_size) == (0, 1)
    assert service.memory.reserved_bytes == 0


@pytest.mark.parametrize("of_item", [False, True])
async def test_long_audio_is_cut_and_its_chunks_come_in_order(of_item):
    samples = speech(*range(1, 6))
    model = HeldModel(held=False)
    async with serving(model, chunk_seconds=10) as service:
        measured = Measurements()
        deltas = await service.deltas(ItemAudio(samples) if of_item else Upload(wav(samples)), measured)
    assert len(model.clips) >= 4
    assert "".join(deltas).split() == model.clips
    assert measured.audio_len_s == pytest.approx(len(samples) / SAMPLE_RATE)
    assert service.memory.reserved_bytes == 0


@pytest.mark.parametrize("grows", [False, True])
async def test_speakers_hear_all_of_a_long_recording_once_and_in_order(grows):
    samples = speech(*range(1, 6))
    async with serving(HeldModel(held=False), chunk_seconds=14) as service:
        without = await service.deltas(Upload(wav(samples)), grows=grows)
        diarization = LoudDiarization(SpeakerOptions())
        assert await service.heard(Upload(wav(samples)), diarization, grows=grows) == without
    assert len(diarization.parts) >= 3
    heard_s = sum(end_s - start_s for start_s, end_s in diarization.parts)
    assert len(samples) / SAMPLE_RATE - 6 < heard_s <= len(samples) / SAMPLE_RATE, "only long silence is left out"
    assert all(end_s <= start_s + 1e-4 for (_, end_s), (start_s, _) in pairwise(diarization.parts))


async def test_an_error_of_what_tells_speakers_apart_is_the_requests():
    async with serving(HeldModel(held=False)) as service:
        with pytest.raises(InvalidRequest):
            await service.heard(Upload(wav(clip(7))), LoudDiarization(SpeakerOptions(), InvalidRequest("no speech")))
        assert service.memory.reserved_bytes == 0


async def test_an_error_of_the_model_does_not_wait_for_speakers():
    diarization = LoudDiarization(SpeakerOptions())
    diarization.free.clear()
    async with serving(HeldModel(held=False)) as service:
        with pytest.raises(TranscriptionFailed):
            await service.heard(Upload(wav(clip(7, poison=True))), diarization)
        assert service.memory.reserved_bytes == 0


async def test_what_fails_in_the_model_has_the_figures_that_it_reached():
    async with serving(HeldModel(held=False)) as service:
        measured = Measurements()
        with pytest.raises(TranscriptionFailed):
            await service.deltas(Upload(wav(clip(7, poison=True))), measured)
    assert measured.audio_len_s == 1
    assert measured.duration_preprocess_s is not None
    assert measured.duration_inference_s is None
    assert service.memory.reserved_bytes == 0


async def test_what_cannot_be_used_never_reaches_the_model():
    model = HeldModel(held=False)
    async with serving(model, max_audio_seconds=20) as service:
        measured = Measurements()
        with pytest.raises(AudioTooLong):
            await service.deltas(Upload(wav(np.zeros(21 * SAMPLE_RATE))), measured)
        with pytest.raises(EmptyAudio):
            await service.deltas(Upload(b""))
    assert model.clips == []
    assert measured.duration_preprocess_s is not None
    assert service.memory.reserved_bytes == 0
