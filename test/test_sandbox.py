"""Decoding in processes of their own: the same audio, and whatever becomes of a process costs its file alone."""

import io
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import CLIPS, until
from processes import decode_parents, decode_workers, kill

from src.audio.decode import decode, decode_blocks
from src.audio.sandbox import Sandbox
from src.errors import AudioTooLong, DecoderUnavailable, EmptyAudio, InvalidAudio

ROOT = Path(__file__).parent.parent
SHORT = (CLIPS / "piper-joe-1.flac").read_bytes()
LONGER_THAN_ONE_EXCHANGE = (CLIPS / "long-120s.flac").read_bytes()


@pytest.fixture
def sandbox():
    made = Sandbox(timeout_s=30, memory_mb=512)
    yield made
    made.close()


def blocks(sandbox, data, max_seconds=600.0):
    return list(sandbox.decode(data, max_seconds=max_seconds).blocks())


@pytest.mark.parametrize("data", [SHORT, LONGER_THAN_ONE_EXCHANGE])
def test_audio_comes_back_in_the_very_blocks_that_decoding_here_gives(sandbox, data):
    for there, here in zip(blocks(sandbox, data), decode_blocks(data), strict=True):
        np.testing.assert_array_equal(there, here)


def test_a_block_larger_than_the_shared_memory_comes_in_pieces(sandbox):
    file = io.BytesIO()
    soundfile.write(file, np.random.default_rng(0).normal(scale=0.1, size=8_000 * 200), 8_000, format="FLAC")
    np.testing.assert_array_equal(np.concatenate(blocks(sandbox, file.getvalue())), decode(file.getvalue()))


@pytest.mark.parametrize(
    ("data", "max_seconds", "error"),
    [(b"<html>", 600, InvalidAudio), (b"", 600, EmptyAudio), (LONGER_THAN_ONE_EXCHANGE, 60, AudioTooLong)],
)
def test_what_is_wrong_with_a_file_is_said_as_it_is_here(sandbox, data, max_seconds, error):
    with pytest.raises(error) as here:
        decode(data, max_seconds=max_seconds)
    with pytest.raises(error) as there:
        blocks(sandbox, data, max_seconds)
    assert (there.value.body, there.value.status) == (here.value.body, here.value.status)


def started(sandbox):
    """A decoding that has given its first block and has more."""
    decoding = sandbox.decode(LONGER_THAN_ONE_EXCHANGE, max_seconds=600)
    stream = decoding.blocks()
    first = next(stream)
    assert len(first)
    return decoding, stream


def test_a_worker_that_is_killed_costs_its_file_alone(sandbox):
    _, stream = started(sandbox)
    kill(decode_workers())
    with pytest.raises(InvalidAudio, match="crashed"):
        list(stream)
    assert np.array_equal(np.concatenate(blocks(sandbox, SHORT)), decode(SHORT))


def test_a_worker_that_hangs_is_killed_and_costs_its_file_alone():
    sandbox = Sandbox(timeout_s=0.5, memory_mb=512)
    _, stream = started(sandbox)
    (worker,) = decode_workers()
    os.kill(worker, signal.SIGSTOP)
    assert len(blocks(sandbox, SHORT))
    with pytest.raises(InvalidAudio):
        list(stream)
    until(lambda: not decode_workers())
    sandbox.close()


def test_a_file_that_takes_too_much_memory_costs_itself_alone():
    sandbox = Sandbox(timeout_s=30, memory_mb=1)
    with pytest.raises(InvalidAudio):
        blocks(sandbox, LONGER_THAN_ONE_EXCHANGE)
    sandbox.close()


def test_a_file_that_takes_too_much_cpu_time_is_ended_by_the_kernel(sandbox):
    program = "from src.audio.worker import _allow_cpu; _allow_cpu(0.5)\nwhile True: pass"
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False)
    assert ended.returncode == -signal.SIGXCPU


def test_a_worker_can_open_neither_files_nor_connections():
    program = """
import socket
from src.audio.worker import Task, _confine
_confine(Task(600, 10, 2**30))
for attempt in (lambda: open("/etc/passwd"), lambda: socket.socket(), lambda: open("/tmp/new", "w")):
    try:
        print("could", attempt())
    except OSError as error:
        print(error.strerror)
"""
    printed = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True)
    assert printed.stdout.splitlines() == ["Too many open files"] * 3


def test_the_parent_of_the_workers_is_replaced_when_it_was_killed(sandbox):
    blocks(sandbox, SHORT)
    before = decode_parents()
    kill(before)
    assert len(blocks(sandbox, SHORT))
    assert decode_parents() != before


def test_many_threads_survive_the_death_of_the_parent_together(sandbox):
    blocks(sandbox, SHORT)
    kill(decode_parents())
    with ThreadPoolExecutor(8) as threads:
        lengths = list(threads.map(lambda _: sum(map(len, blocks(sandbox, SHORT))), range(16)))
    assert set(lengths) == {len(decode(SHORT))}


def test_cancelling_ends_the_worker_and_wakes_who_waits_for_it(sandbox):
    decoding, stream = started(sandbox)
    (worker,) = decode_workers()
    os.kill(worker, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(list, stream)
        decoding.cancel()
        assert isinstance(waiting.exception(30), InvalidAudio)
    until(lambda: not decode_workers())


def test_a_decoding_that_is_cancelled_before_it_begins_gives_nothing(sandbox):
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


def test_a_closed_sandbox_says_that_it_decodes_nothing(sandbox):
    sandbox.close()
    with pytest.raises(DecoderUnavailable):
        blocks(sandbox, SHORT)
