"""The speakers of one recording: audio in its order, one call at a time, in the recording's time, and measured."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from loud_speakers import LoudDiarization

from src.audio.samples import SAMPLE_RATE
from src.diarization.diarizer import SpeakerOptions
from src.errors import InvalidRequest
from src.metrics.trace import Measurements
from src.text.words import Word
from src.transcription.recording_speakers import RecordingSpeakers


def word(start_s: float) -> Word:
    return Word("yes", "yes", start_s, start_s + 0.2, -0.1, ())


def second(loudness: float) -> np.ndarray:
    return np.full(SAMPLE_RATE, loudness, np.float32)


async def test_parts_come_in_their_order_however_many_threads_there_are():
    diarization, measured = LoudDiarization(SpeakerOptions()), Measurements()
    with ThreadPoolExecutor(4) as pool:
        speakers = RecordingSpeakers(diarization, pool, measured)
        await asyncio.gather(*(speakers.add(second(0.2 + 0.1 * (part % 2)), part) for part in range(20)))
    assert diarization.parts == [(part, part + 1) for part in range(20)]
    assert speakers.label([word(0.5), word(1.5), word(2.5)]) == ("A", "B", "A")
    assert measured.duration_diarize_s is not None
    assert measured.duration_diarize_s > 0


async def test_an_item_has_its_own_time_in_a_session():
    diarization = LoudDiarization(SpeakerOptions())
    with ThreadPoolExecutor(1) as pool:
        for start_s, loudness in ((0.0, 0.2), (10.0, 0.4), (20.0, 0.2)):
            speakers = RecordingSpeakers(diarization, pool, Measurements(), start_s=start_s)
            await speakers.add(second(loudness), 0.0)
            assert speakers.label_next([word(0.5)]) == ("B" if loudness == 0.4 else "A",)
    assert diarization.parts == [(0, 1), (10, 11), (20, 21)]


async def test_an_error_while_listening_is_the_callers():
    with ThreadPoolExecutor(1) as pool:
        speakers = RecordingSpeakers(
            LoudDiarization(SpeakerOptions(), InvalidRequest("no speech")), pool, Measurements()
        )
        with pytest.raises(InvalidRequest):
            await speakers.add(second(0.2), 0)


async def test_stopping_ends_what_listens():
    diarization = LoudDiarization(SpeakerOptions())
    diarization.free.clear()
    with ThreadPoolExecutor(1) as pool:
        speakers = RecordingSpeakers(diarization, pool, Measurements())
        listening = asyncio.create_task(speakers.add(second(0.2), 0))
        await asyncio.sleep(0)
        speakers.stop()
        await listening
