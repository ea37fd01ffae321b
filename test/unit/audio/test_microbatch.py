"""Many clips heard at once: who goes with whom, and what one's end or error is to the others."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from media import clip

from src.audio.microbatch import MAX_TOGETHER, MicroBatcher, Questions
from src.audio.silero import Silero
from src.audio.vad import Piece, SpeechDetector, alone

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
    """A question whose second piece no network can hear."""
    stream = detector.stream()
    yield Piece(stream, clip("noise-pink-4s")[:16_000])
    yield Piece(stream, BROKEN)


def test_those_who_wait_go_together_and_others_join_them_later(detector, calls):
    questions = Questions(detector)
    short, long = clip("piper-joe-1"), clip("noise-pink-4s")
    answers = [questions.ask(detector.hears_speech(samples, 0.15)) for samples in (long, short, short)]
    questions.hear()
    assert calls == [3]
    answers.append(questions.ask(detector.hears_speech(short, 0.15)))
    while questions:
        questions.hear()
    assert calls[:2] == [3, 2]
    assert [answer.result() for answer in answers] == [False, True, True, True]


def test_no_more_than_the_most_are_heard_at_a_time(detector, calls):
    questions = Questions(detector)
    answers = [questions.ask(detector.spans(clip("fsdd-jackson-1"))) for _ in range(2 * MAX_TOGETHER + 1)]
    while questions:
        questions.hear()
    assert max(calls) == MAX_TOGETHER
    assert {answer.result() for answer in answers} == {alone(detector.spans(clip("fsdd-jackson-1")))}


def test_a_question_taken_back_is_heard_no_further(detector, calls):
    questions = Questions(detector)
    begun, kept = (questions.ask(detector.hears_speech(clip("noise-pink-4s"), 0.15)) for _ in range(2))
    questions.hear()
    waiting = questions.ask(detector.spans(clip("noise-pink-4s")))
    assert begun.cancel()
    assert waiting.cancel()
    while questions:
        questions.hear()
    assert calls[0] == 2
    assert set(calls[1:]) == {1}
    assert kept.result() is False


def test_an_error_of_one_costs_that_one(detector):
    questions = Questions(detector)
    clips = [clip(name) for name in ("piper-joe-1", "noise-pink-4s", "flite-slt-1")]
    answers = [questions.ask(detector.spans(samples)) for samples in clips]
    failing = questions.ask(broken(detector))
    while questions:
        questions.hear()
    assert isinstance(failing.exception(), ValueError)
    assert [answer.result() for answer in answers] == [alone(detector.spans(samples)) for samples in clips]


async def held_batcher(detector, threads, held: threading.Event) -> MicroBatcher:
    """A microbatcher whose only thread does something else until `held` is set."""
    threads.submit(held.wait)
    return MicroBatcher(detector, threads)


def test_who_asks_while_the_thread_is_busy_goes_with_the_others(detector, calls):
    async def ask() -> list[bool]:
        batcher = await held_batcher(detector, threads, held)
        samples = clip("piper-joe-1")
        asked = [asyncio.create_task(batcher.ask(detector.hears_speech(samples, 0.15))) for _ in range(6)]
        await asyncio.sleep(0)  # now they wait
        asked.pop().cancel()
        await asyncio.sleep(0)
        held.set()
        return await asyncio.gather(*asked)

    held = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        assert asyncio.run(ask()) == [True] * 5
    assert calls == [5]


def test_nobody_waits_for_threads_that_are_gone(detector):
    async def ask() -> None:
        batcher = await held_batcher(detector, threads, held)
        asked = asyncio.create_task(batcher.ask(detector.spans(clip("piper-joe-1"))))
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
