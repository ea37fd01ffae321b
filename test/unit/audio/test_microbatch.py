"""Detections in batches: which run together, and how the end or error of one affects the others."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from media import clip

from src.audio.microbatch import MAX_BATCH, DetectionQueue, MicroBatcher
from src.audio.silero import Silero
from src.audio.vad import DetectionRequest, SpeechDetector, run_detection

BROKEN = np.empty((2, 2), np.float32)
"""No samples; the detector cannot make anything of them."""


@pytest.fixture(scope="module")
def detector() -> SpeechDetector:
    return SpeechDetector()


@pytest.fixture
def calls(monkeypatch) -> list[int]:
    """Of how many streams each call of the network was."""
    found: list[int] = []
    run = Silero.run

    def counted(network, blocks, states):
        found.append(len(blocks))
        return run(network, blocks, states)

    monkeypatch.setattr(Silero, "run", counted)
    return found


def broken(detector):
    """A detection whose second request no network can process."""
    stream = detector.new_stream()
    yield DetectionRequest(stream, clip("noise-pink-4s")[:16_000])
    yield DetectionRequest(stream, BROKEN)


def test_waiting_detections_run_together_and_later_ones_join(detector, calls):
    queue = DetectionQueue(detector)
    short, long = clip("piper-joe-1"), clip("noise-pink-4s")
    answers = [queue.submit(detector.has_speech(samples, 0.15)) for samples in (long, short, short)]
    queue.run_next()
    assert calls == [3]
    answers.append(queue.submit(detector.has_speech(short, 0.15)))
    while queue:
        queue.run_next()
    assert calls[:2] == [3, 2]
    assert [answer.result() for answer in answers] == [False, True, True, True]


def test_at_most_max_batch_detections_run_at_a_time(detector, calls):
    queue = DetectionQueue(detector)
    answers = [queue.submit(detector.spans(clip("fsdd-jackson-1"))) for _ in range(2 * MAX_BATCH + 1)]
    while queue:
        queue.run_next()
    assert max(calls) == MAX_BATCH
    assert {answer.result() for answer in answers} == {run_detection(detector.spans(clip("fsdd-jackson-1")))}


def test_a_cancelled_detection_stops(detector, calls):
    queue = DetectionQueue(detector)
    begun, kept = (queue.submit(detector.has_speech(clip("noise-pink-4s"), 0.15)) for _ in range(2))
    queue.run_next()
    waiting = queue.submit(detector.spans(clip("noise-pink-4s")))
    assert begun.cancel()
    assert waiting.cancel()
    while queue:
        queue.run_next()
    assert calls[0] == 2
    assert set(calls[1:]) == {1}
    assert kept.result() is False


def test_an_error_fails_only_its_own_detection(detector):
    queue = DetectionQueue(detector)
    clips = [clip(name) for name in ("piper-joe-1", "noise-pink-4s", "flite-slt-1")]
    answers = [queue.submit(detector.spans(samples)) for samples in clips]
    failing = queue.submit(broken(detector))
    while queue:
        queue.run_next()
    assert isinstance(failing.exception(), ValueError)
    assert [answer.result() for answer in answers] == [run_detection(detector.spans(samples)) for samples in clips]


async def held_batcher(detector, threads, held: threading.Event, max_batches: int = 1) -> MicroBatcher:
    """A microbatcher whose threads do something else until `held` is set."""
    for _ in range(max_batches):
        threads.submit(held.wait)
    return MicroBatcher(detector, threads, max_batches)


def test_detections_submitted_while_the_thread_is_busy_run_together(detector, calls):
    async def ask() -> list[bool]:
        batcher = await held_batcher(detector, threads, held)
        samples = clip("piper-joe-1")
        asked = [asyncio.create_task(batcher.submit(detector.has_speech(samples, 0.15))) for _ in range(6)]
        await asyncio.sleep(0)  # now they wait
        asked.pop().cancel()
        await asyncio.sleep(0)
        held.set()
        return await asyncio.gather(*asked)

    held = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        assert asyncio.run(ask()) == [True] * 5
    assert calls == [5]


def test_a_second_batch_begins_once_the_first_is_full_and_has_a_thread_of_its_own(detector, monkeypatch):
    async def ask() -> list[tuple]:
        batcher = await held_batcher(detector, threads, held, max_batches=2)
        samples = clip("fsdd-jackson-1")
        asked = [asyncio.create_task(batcher.submit(detector.spans(samples))) for _ in range(MAX_BATCH + 3)]
        await asyncio.sleep(0)  # now they wait
        held.set()
        return await asyncio.gather(*asked)

    both = threading.Barrier(2)
    run, sizes = Silero.run, []

    def met(network, blocks, states):
        if len(sizes) < 2:
            sizes.append(len(blocks))
            both.wait(60)  # for the other batch, which runs at the same time
        return run(network, blocks, states)

    monkeypatch.setattr(Silero, "run", met)
    held = threading.Event()
    with ThreadPoolExecutor(2) as threads:
        found = asyncio.run(ask())
    assert sorted(sizes) == [3, MAX_BATCH]
    assert set(found) == {run_detection(detector.spans(clip("fsdd-jackson-1")))}


def test_what_a_running_call_has_taken_counts(detector, monkeypatch):
    queue = DetectionQueue(detector)
    run, seen = Silero.run, []

    def watched(network, blocks, states):
        seen.append(len(queue))
        return run(network, blocks, states)

    monkeypatch.setattr(Silero, "run", watched)
    for _ in range(3):
        queue.submit(detector.spans(clip("fsdd-jackson-1")))
    queue.run_next()
    assert seen[0] == 3


def test_detections_are_cancelled_if_the_threads_are_gone(detector):
    async def ask() -> None:
        batcher = await held_batcher(detector, threads, held)
        asked = asyncio.create_task(batcher.submit(detector.spans(clip("piper-joe-1"))))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        threads.shutdown(wait=False, cancel_futures=True)
        with pytest.raises(asyncio.CancelledError):
            await asked

    held = threading.Event()
    threads = ThreadPoolExecutor(1)
    try:
        asyncio.run(ask())
    finally:
        held.set()
