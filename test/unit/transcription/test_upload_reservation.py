"""Memory for decoded uploads: reserved by an estimate, grown while it is decoded, released as it is transcribed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest
from media import wav

from src.audio.decode import PcmFormat
from src.errors import QueueFull
from src.memory.budget import Budget, Reservation
from src.memory.budget_queue import BudgetQueue
from src.transcription.audio_source import ItemAudio, Upload
from src.transcription.upload_reservation import (
    EXTRA_S,
    MIN_BYTES_PER_S,
    UploadReservation,
    audio_bytes,
    estimated_s,
)

SECOND = np.zeros(16_000, np.float32)


@asynccontextmanager
async def reserved(budget: Budget, seconds: float) -> AsyncIterator[tuple[BudgetQueue, Reservation]]:
    queue = BudgetQueue(budget, 0, lambda: QueueFull("no memory"))
    async with queue.reserved(audio_bytes(seconds)) as reservation:
        yield queue, reservation


@pytest.mark.parametrize(
    ("source", "seconds"),
    [
        (Upload(wav(np.zeros(8000 * 30), rate=8000)), EXTRA_S + 30),
        (Upload(wav(np.zeros(16_000 * 30), channels=2)), EXTRA_S + 30),
        (Upload(bytes(32_000 * 7), PcmFormat(16_000)), EXTRA_S + 7),
        (Upload(bytes(MIN_BYTES_PER_S * 50)), EXTRA_S + 50),
        (Upload(bytes(MIN_BYTES_PER_S * 5000)), 600),
        (Upload(b""), EXTRA_S),
        (ItemAudio(SECOND), 0),
    ],
)
def test_the_estimate_follows_from_the_size_and_the_format(source, seconds):
    assert estimated_s(source, 600) == pytest.approx(seconds, abs=0.01)


async def test_audio_beyond_the_estimate_takes_more_memory():
    budget = Budget(audio_bytes(100))
    async with reserved(budget, 2) as (queue, reservation):
        memory = UploadReservation(queue, reservation, max_s=30)
        taken = [reservation.bytes for _ in memory.track([SECOND] * 5)]
        assert taken == [audio_bytes(seconds) for seconds in (2, 2, 4, 4, 8)]
    assert budget.reserved_bytes == 0


async def test_an_upload_takes_no_more_than_may_be_in_memory_at_a_time():
    async with reserved(Budget(audio_bytes(100)), 2) as (queue, reservation):
        memory = UploadReservation(queue, reservation, max_s=3)
        assert len(list(memory.track([SECOND] * 10))) == 10
        assert reservation.bytes == audio_bytes(3)


async def test_audio_for_which_there_is_no_memory_is_rejected():
    budget = Budget(audio_bytes(5))
    with budget.reserved() as other:
        other.resize(audio_bytes(2))
        async with reserved(budget, 1) as (queue, reservation):
            blocks = UploadReservation(queue, reservation, max_s=30).track([SECOND] * 10)
            assert [len(next(blocks)) for _ in range(3)] == [16_000] * 3
            with pytest.raises(QueueFull, match="no memory"):
                next(blocks)


async def test_memory_is_released_once_all_is_decoded():
    async with reserved(Budget(audio_bytes(100)), 10) as (queue, reservation):
        memory = UploadReservation(queue, reservation, max_s=30)
        blocks = memory.track([SECOND] * 6)
        next(blocks)
        memory.release(1)
        assert reservation.bytes == audio_bytes(10)
        list(blocks)
        memory.release(1)
        assert reservation.bytes == audio_bytes(5)
        memory.release(6)
        assert reservation.bytes == 0
