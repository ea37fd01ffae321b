"""Decoding in worker processes: the same audio as in this process, and a failing worker costs only its own file."""

import asyncio
import io
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import soundfile
from media import CLIPS, mp4_promising
from processes import decode_parents, decode_workers, kill
from running_service import until

from src.audio.blocks import BLOCK_SAMPLES
from src.audio.decode import decode
from src.audio.samples import Samples
from src.audio.sandbox import Sandbox
from src.audio.worker import SHARED_SAMPLES
from src.errors import AudioTooLong, DecoderUnavailable, EmptyAudio, InvalidAudio

ROOT = Path(__file__).parents[2]
SHORT = (CLIPS / "piper-joe-1.flac").read_bytes()
LONGER_THAN_ONE_EXCHANGE = (CLIPS / "long-120s.flac").read_bytes()


def made_sandbox(**given):
    return Sandbox(**{"timeout_s": 30, "memory_mb": 512, "total_mb": 8192, "max_workers": 8} | given)


@pytest.fixture
def sandbox():
    made = made_sandbox()
    yield made
    made.close()


def blocks(sandbox, data, max_seconds=600.0):
    return list(sandbox.decode(data, max_seconds=max_seconds).blocks())


@pytest.mark.parametrize("data", [SHORT, LONGER_THAN_ONE_EXCHANGE])
def test_audio_is_the_same_as_in_this_process(sandbox, data):
    there = blocks(sandbox, data)
    np.testing.assert_array_equal(np.concatenate(there), decode(data))
    assert {len(block) for block in there[:-1]} <= {BLOCK_SAMPLES}


def test_a_block_larger_than_the_shared_memory_comes_in_pieces(sandbox):
    file = io.BytesIO()
    soundfile.write(file, np.random.default_rng(0).normal(scale=0.1, size=8_000 * 200), 8_000, format="FLAC")
    np.testing.assert_array_equal(np.concatenate(blocks(sandbox, file.getvalue())), decode(file.getvalue()))


def test_audio_that_fills_the_shared_memory_exactly_has_an_end(sandbox):
    file = io.BytesIO()
    soundfile.write(file, np.full(2 * SHARED_SAMPLES, 0.1), 16_000, format="FLAC")
    assert sum(map(len, blocks(sandbox, file.getvalue()))) == 2 * SHARED_SAMPLES


@pytest.mark.parametrize(
    ("data", "max_seconds", "error"),
    [(b"<html>", 600, InvalidAudio), (b"", 600, EmptyAudio), (LONGER_THAN_ONE_EXCHANGE, 60, AudioTooLong)],
)
def test_errors_are_the_same_as_in_this_process(sandbox, data, max_seconds, error):
    with pytest.raises(error) as here:
        decode(data, max_seconds=max_seconds)
    with pytest.raises(error) as there:
        blocks(sandbox, data, max_seconds)
    assert (there.value.body, there.value.status) == (here.value.body, here.value.status)


def started(sandbox):
    """Return a decoding that has yielded its first block and has more."""
    decoding = sandbox.decode(LONGER_THAN_ONE_EXCHANGE, max_seconds=600)
    stream = decoding.blocks()
    first = next(stream)
    assert len(first)
    return decoding, stream


def test_a_decoding_has_ended_as_soon_as_its_worker_has(sandbox):
    decoding, stream = started(sandbox)
    assert not decoding.has_ended
    list(stream)
    assert decoding.has_ended
    until(lambda: not decode_workers())
    decoding, stream = started(sandbox)
    stream.close()
    assert decoding.has_ended


def test_a_killed_worker_fails_only_its_own_file(sandbox):
    _, stream = started(sandbox)
    kill(decode_workers())
    with pytest.raises(InvalidAudio, match="crashed"):
        list(stream)
    assert np.array_equal(np.concatenate(blocks(sandbox, SHORT)), decode(SHORT))


def test_a_hanging_worker_is_killed_and_fails_only_its_own_file(monkeypatch):
    sandbox = made_sandbox()
    _, stream = started(sandbox)
    (worker,) = decode_workers()
    os.kill(worker, signal.SIGSTOP)
    assert len(blocks(sandbox, SHORT))
    monkeypatch.setattr("src.audio.sandbox.MAX_WALL_PER_CPU", 0.01)
    with pytest.raises(DecoderUnavailable) as caught:  # it has not used its time: a busy machine looks the same
        list(stream)
    assert caught.value.headers == {"Retry-After": "1"}
    until(lambda: not decode_workers())
    sandbox.close()


def test_a_file_that_takes_too_much_memory_fails():
    sandbox = made_sandbox(memory_mb=1)
    with pytest.raises(InvalidAudio):
        blocks(sandbox, LONGER_THAN_ONE_EXCHANGE)
    sandbox.close()


# Room


async def test_a_file_without_room_waits_for_it():
    small = made_sandbox(max_workers=1)
    async with small.room(SHORT):
        waiting = asyncio.create_task(decoded(small, SHORT))
        await asyncio.sleep(0)
        assert not decode_workers()
    assert np.array_equal(await waiting, decode(SHORT))
    small.close()


async def decoded(sandbox, data):
    """Decode a file as the service does: wait for room, then decode in a thread."""
    async with sandbox.room(data):
        return np.concatenate(await asyncio.to_thread(blocks, sandbox, data))


async def test_a_file_without_room_in_time_gets_retry_after():
    small = made_sandbox(timeout_s=0.01, max_workers=1)
    async with small.room(SHORT):
        with pytest.raises(DecoderUnavailable) as caught:
            await decoded(small, SHORT)
    assert (caught.value.status, caught.value.headers) == (503, {"Retry-After": "1"})


@pytest.mark.parametrize(("given", "most"), [({"max_workers": 3}, 3), ({"memory_mb": 30, "total_mb": 160}, 4)])
async def test_only_as_many_files_have_room_as_there_is_memory_for(given, most):
    small = made_sandbox(**given)
    async with AsyncExitStack() as stack:
        waiting = [asyncio.create_task(stack.enter_async_context(small.room(SHORT))) for _ in range(8)]
        await asyncio.sleep(0)
        assert sum(each.done() for each in waiting) == most
        for each in waiting[most:]:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_file_larger_than_all_room_is_decoded_by_itself():
    small = made_sandbox(total_mb=20)
    async with small.room(bytes(100 * 2**20)):
        waiting = asyncio.create_task(decoded(small, SHORT))
        await asyncio.sleep(0)
        assert not waiting.done()
    assert np.array_equal(await waiting, decode(SHORT))
    small.close()


async def test_files_with_a_huge_index_are_rejected_and_others_are_decoded():
    sandbox = made_sandbox(memory_mb=64, total_mb=400)
    bombs = [decoded(sandbox, mp4_promising(20_000_000)) for _ in range(8)]
    others = [decoded(sandbox, SHORT) for _ in range(4)]
    answers = await asyncio.gather(*bombs, *others, return_exceptions=True)
    assert {each.status for each in answers[:8]} == {400}
    assert {len(cast(Samples, each)) for each in answers[8:]} == {len(decode(SHORT))}
    sandbox.close()


def test_the_parent_of_the_workers_is_replaced_when_it_was_killed(sandbox):
    blocks(sandbox, SHORT)
    before = decode_parents()
    kill(before)
    assert len(blocks(sandbox, SHORT))
    assert decode_parents() != before


def test_a_parent_that_is_killed_before_it_is_ready_is_started_once_more(sandbox):
    with ThreadPoolExecutor(1) as threads:
        decoded = threads.submit(blocks, sandbox, SHORT)
        until(decode_parents)
        kill(decode_parents())
        assert np.array_equal(np.concatenate(decoded.result(300)), decode(SHORT))


def test_many_threads_survive_the_death_of_the_parent_together(sandbox):
    blocks(sandbox, SHORT)
    kill(decode_parents())
    with ThreadPoolExecutor(8) as threads:
        lengths = list(threads.map(lambda _: sum(map(len, blocks(sandbox, SHORT))), range(16)))
    assert set(lengths) == {len(decode(SHORT))}


def test_cancelling_kills_the_worker_and_wakes_the_waiting_thread(sandbox):
    decoding, stream = started(sandbox)
    (worker,) = decode_workers()
    os.kill(worker, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(list, stream)
        decoding.cancel()
        assert isinstance(waiting.exception(300), InvalidAudio)
    until(lambda: not decode_workers())


def test_a_decoding_that_is_cancelled_before_its_start_yields_nothing(sandbox):
    decoding = sandbox.decode(SHORT, max_seconds=600)
    decoding.cancel()
    assert list(decoding.blocks()) == []


def test_no_descriptor_and_no_process_remains(sandbox):
    blocks(sandbox, SHORT)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        blocks(sandbox, SHORT)
        decoding, stream = started(sandbox)
        decoding.cancel()
        stream.close()
    assert len(os.listdir("/proc/self/fd")) == before
    until(lambda: not decode_workers())


def test_a_closed_sandbox_is_unavailable(sandbox):
    sandbox.close()
    with pytest.raises(DecoderUnavailable):
        blocks(sandbox, SHORT)
