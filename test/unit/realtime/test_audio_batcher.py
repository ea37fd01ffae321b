"""Rounds of audio: whose audio is in them, when they run, and how an error or a cancellation affects the others."""

import asyncio
import json
from typing import Any

import numpy as np
import pytest
from media import clip
from session_harness import CLEAR, RATE, SessionHarness, append, manual, silence
from virtual_time import in_virtual_time, virtual_loop

from src.audio.vad import SpeechDetector
from src.realtime import audio_batcher
from src.realtime.audio_batcher import (
    MAX_PAUSE_S,
    MIN_PAUSE_S,
    PAUSE_RATIO,
    RETRY_S,
    AudioBatcher,
    pause_after,
    run_round,
)
from src.realtime.outputs import Output
from src.realtime.session import Session

SPOKEN = np.concatenate([silence(0.5), clip("piper-joe-1"), silence(1.0)])
ROUND_S = 0.001


@pytest.fixture(scope="module")
def detector() -> SpeechDetector:
    return SpeechDetector()


@pytest.fixture
def client(detector):
    """Return a new session, and its client."""
    return lambda **options: SessionHarness(new_speech_stream=detector.new_stream, **options)


@pytest.fixture
def rounds(monkeypatch) -> list[tuple[float, list[Session]]]:
    """When each round ran, and with which sessions. A round takes `ROUND_S`."""
    found = []

    def recorded(detector, sessions):
        loop = virtual_loop()
        found.append((round(loop.now_s, 6), list(sessions)))
        loop.takes(ROUND_S)
        return run_round(detector, sessions)

    monkeypatch.setattr(audio_batcher, "run_round", recorded)
    return found


def kinds(outputs: Any) -> list[str]:
    return [json.loads(each.encoded("event_1"))["type"] for each in outputs if hasattr(each, "encoded")]


# A round


def test_a_round_decodes_a_second_of_each_session_and_detects_turns_in_it(detector, client):
    speaking, manual_client = client(), client()
    manual_client.send(manual())
    for each in (speaking, manual_client):
        each.send_only(append(SPOKEN))
    left_s = speaking.session.undecoded_s
    found: list[list[Output]] = [[], []]
    while speaking.session.undecoded_s:
        results: Any = run_round(detector, [speaking.session, manual_client.session])
        for outputs, result in zip(found, results, strict=True):
            outputs += result
        assert speaking.session.undecoded_s == pytest.approx(max(0, left_s - 1))
        left_s = speaking.session.undecoded_s
    assert [kind.split(".")[-1] for kind in kinds(found[0])][:3] == ["speech_started", "speech_stopped", "committed"]
    assert found[1] == []
    assert manual_client.session.undecoded_s == 0


def test_a_session_with_nothing_to_decode_has_no_outputs(detector, client):
    fresh, short = client(), client()
    short.send_only(append(silence(0.5)))  # the first second waits for a format to be named
    assert run_round(detector, [fresh.session, short.session]) == [[], []]
    assert short.session.undecoded_s == 0.5


def test_a_session_that_fails_fails_alone(detector, client):
    def no_id(kind: str) -> str:
        raise OSError(kind)

    failing, others = client(), [client(), client()]
    failing.session._new_id = no_id
    for each in (failing, *others):
        each.send_only(append(SPOKEN[:RATE]))
    results: Any = run_round(detector, [others[0].session, failing.session, others[1].session])
    first, error, last = results
    assert isinstance(error, OSError)
    assert kinds(first) == kinds(last) == ["input_audio_buffer.speech_started"]


def test_a_session_whose_gain_control_fails_fails_alone(detector, client):
    failing, other = client(), client()
    for each in (failing, other):
        each.send_only(append(SPOKEN[:RATE]))
    failing.session._input._detector._gain._loudness = np.zeros(3, np.float32)
    results: Any = run_round(detector, [failing.session, other.session])
    assert isinstance(results[0], ValueError)
    assert kinds(results[1]) == ["input_audio_buffer.speech_started"]


# When rounds run


def test_the_pause_grows_with_the_round_within_limits():
    assert pause_after(0) == MIN_PAUSE_S
    assert pause_after(0.01) == pytest.approx(0.01 * PAUSE_RATIO)
    assert pause_after(5) == MAX_PAUSE_S


@in_virtual_time
async def test_a_lone_session_has_its_round_at_once_and_others_gather_for_the_next(detector, client, rounds):
    batcher = AudioBatcher(detector, None)
    sessions = [client().session for _ in range(4)]
    submit = [lambda session=session: batcher.submit(session, asyncio.Lock()) for session in sessions]
    first = submit[0]()
    await asyncio.sleep(0.0005)
    later = [submit[1](), submit[2]()]
    assert await first == []
    assert rounds == [(0, sessions[:1])]
    assert await asyncio.gather(*later) == [[], []]
    await asyncio.sleep(1)
    await submit[3]()
    next_at = ROUND_S + MIN_PAUSE_S
    assert rounds[1:] == [(next_at, sessions[1:3]), (pytest.approx(next_at + ROUND_S + 1, abs=1e-6), sessions[3:])]


@in_virtual_time
async def test_long_audio_takes_a_round_for_each_second_and_holds_up_nobody(detector, client, rounds):
    batcher, long, short = AudioBatcher(detector, None), client(), client()
    long.send_only(append(silence(30)))
    short.send_only(append(silence(1)))
    lock = asyncio.Lock()
    await batcher.submit(long.session, lock)
    assert long.session.undecoded_s == 29
    again = batcher.submit(long.session, lock)
    await batcher.submit(short.session, asyncio.Lock())
    assert (long.session.undecoded_s, short.session.undecoded_s) == (28, 0)
    assert again.done()
    assert [len(sessions) for _, sessions in rounds] == [1, 2]


@in_virtual_time
async def test_a_session_that_waits_already_is_not_added_again(detector, client, rounds):
    batcher, session, lock = AudioBatcher(detector, None), client().session, asyncio.Lock()
    future = batcher.submit(session, lock)
    assert batcher.submit(session, lock) is future
    await future
    assert [sessions for _, sessions in rounds] == [[session]]


# Locks


@in_virtual_time
async def test_a_session_in_use_waits_without_holding_up_the_others(detector, client, rounds):
    batcher, busy, free, lock = AudioBatcher(detector, None), client().session, client().session, asyncio.Lock()
    await lock.acquire()
    waiting = batcher.submit(busy, lock)
    await batcher.submit(free, asyncio.Lock())
    assert not waiting.done()
    await asyncio.sleep(1)
    lock.release()
    await waiting
    assert [sessions for _, sessions in rounds] == [[free], [busy]]
    assert rounds[1][0] == pytest.approx(1 + ROUND_S, abs=2 * RETRY_S)
    await virtual_loop().settled()
    assert not lock.locked()


@in_virtual_time
async def test_a_task_that_waits_for_the_lock_is_not_overtaken(detector, client, rounds):
    batcher, session, lock, order = AudioBatcher(detector, None), client().session, asyncio.Lock(), []

    async def use() -> None:
        async with lock:
            order.append("task")
            await asyncio.sleep(1)

    await lock.acquire()
    task = asyncio.create_task(use())
    await asyncio.sleep(0)
    waiting = batcher.submit(session, lock)
    lock.release()  # the task is woken, and has not run yet
    await waiting
    assert order == ["task"]
    assert rounds[0][0] >= 1
    await task


@in_virtual_time
async def test_the_lock_is_held_during_the_round_and_until_the_outputs_are_handled(detector, client, rounds):
    batcher, session, lock = AudioBatcher(detector, None), client().session, asyncio.Lock()
    handled: list[str] = []

    async def handle() -> None:
        await batcher.submit(session, lock)
        handled.append("outputs")

    async def use() -> None:
        async with lock:
            handled.append("lock")

    await asyncio.sleep(0)
    handling = asyncio.create_task(handle())
    await asyncio.sleep(ROUND_S / 2)
    assert lock.locked()
    await asyncio.gather(handling, asyncio.create_task(use()))
    assert handled == ["outputs", "lock"]


# Errors and cancellation


@in_virtual_time
async def test_an_error_is_that_of_its_session_alone(detector, client, rounds):
    batcher, failing, other = AudioBatcher(detector, None), client(), client()
    for each in (failing, other):
        each.send_only(append(SPOKEN[:RATE]))
    failing.session._new_id = {}.__getitem__
    lock = asyncio.Lock()
    error, outputs = await asyncio.gather(
        batcher.submit(failing.session, lock),
        batcher.submit(other.session, asyncio.Lock()),
        return_exceptions=True,
    )
    assert isinstance(error, KeyError)
    assert kinds(outputs) == ["input_audio_buffer.speech_started"]
    await virtual_loop().settled()
    assert not lock.locked()


@in_virtual_time
async def test_a_session_cancelled_before_its_round_has_none_and_may_come_again(detector, client, rounds):
    batcher, gone, other, lock = AudioBatcher(detector, None), client().session, client().session, asyncio.Lock()
    batcher.submit(gone, lock).cancel()
    await batcher.submit(other, asyncio.Lock())
    assert [sessions for _, sessions in rounds] == [[other]]
    batcher.submit(gone, lock).cancel()
    await batcher.submit(gone, lock)
    assert [sessions for _, sessions in rounds] == [[other], [gone]]


@in_virtual_time
async def test_a_session_cancelled_in_its_round_is_still_worked_on(detector, client, rounds):
    batcher, client_gone, lock = AudioBatcher(detector, None), client(), asyncio.Lock()
    client_gone.send_only(append(silence(1)))
    future = batcher.submit(client_gone.session, lock)
    await asyncio.sleep(ROUND_S / 2)
    future.cancel()
    assert lock.locked()
    await asyncio.sleep(ROUND_S)
    assert not lock.locked()
    assert client_gone.session.undecoded_s == 0
    assert client_gone.send(CLEAR)[-1]["type"] == "input_audio_buffer.cleared"


@in_virtual_time
@pytest.mark.parametrize("error", [MemoryError, RuntimeError, asyncio.CancelledError])
async def test_if_a_round_does_not_run_each_session_in_it_knows(detector, client, monkeypatch, error):
    def gone(*args: Any) -> None:
        raise error

    monkeypatch.setattr(audio_batcher, "run_round", gone)
    batcher, locks = AudioBatcher(detector, None), [asyncio.Lock(), asyncio.Lock()]
    futures = [batcher.submit(client().session, lock) for lock in locks]
    found = await asyncio.gather(*futures, return_exceptions=True)
    assert [type(each) for each in found] == [error] * 2
    await asyncio.sleep(1)
    assert not any(lock.locked() for lock in locks)


@in_virtual_time
async def test_sessions_that_wait_when_rounds_end_for_good_are_cancelled(detector, client, monkeypatch):
    def gone(*args: Any) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(audio_batcher, "run_round", gone)
    batcher, lock = AudioBatcher(detector, None), asyncio.Lock()
    await lock.acquire()
    waiting = batcher.submit(client().session, lock)
    batcher.submit(client().session, asyncio.Lock())
    with pytest.raises(asyncio.CancelledError):
        await waiting
    lock.release()
