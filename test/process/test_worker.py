"""The decode worker: what the kernel keeps it from, and its limits."""

import signal
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from media import clip, encode

from src.audio.decode import decode
from src.audio.sandbox import Sandbox
from src.audio.worker import allowed_cpu_s

ROOT = Path(__file__).parents[2]
CONFINED = """
import os, resource
from src.audio.worker import DecodeTask, _confine
reader, writer = os.pipe()
_confine(DecodeTask({max_seconds}, {timeout_s}, 2**30), writer, is_filtered={is_filtered})
"""


@pytest.fixture(scope="module")
def sandbox():
    made = Sandbox(timeout_s=30, memory_mb=512, total_mb=8192, max_workers=8)
    yield made
    made.close()


def confined(program, *, max_seconds=600, timeout_s=10, is_filtered=False):
    """Run a program confined as a worker is; return how it ended."""
    before = CONFINED.format(max_seconds=max_seconds, timeout_s=timeout_s, is_filtered=is_filtered)
    return subprocess.run([sys.executable, "-c", before + program], cwd=ROOT, check=False).returncode


def test_each_20_seconds_of_audio_allow_a_second_of_cpu_time():
    assert allowed_cpu_s(10, 0) == 10
    assert allowed_cpu_s(10, 600) == 40


@pytest.mark.parametrize("is_filtered", [True, False])
def test_a_file_that_takes_too_much_cpu_time_is_killed_by_the_kernel(is_filtered):
    assert confined("while True: pass", max_seconds=1, timeout_s=0.5, is_filtered=is_filtered) == -signal.SIGKILL


def test_a_worker_can_open_nothing_and_has_nothing_but_its_connection():
    attempts = ("open('/etc/passwd')", "open('/tmp/new', 'w')", "os.dup(writer)", "os.pipe()", "os.read(0, 1)")
    for attempt in (*attempts, "os.write(1, b'x')", "os.write(2, b'x')", "os.read(reader, 1)"):
        assert confined(attempt, is_filtered=True) != 0
        assert confined(f"try: {attempt}\nexcept OSError: os._exit(77)") == 77


def test_a_worker_has_no_capabilities_whoever_runs_the_service():
    read = """
import ctypes, struct
sets = ctypes.create_string_buffer(24)
assert not ctypes.CDLL(None).capget(ctypes.create_string_buffer(struct.pack("=Ii", 0x20080522, 0)), sets)
os._exit(77 if sets.raw == bytes(24) else 78)
"""
    assert confined(read) == 77


def test_a_worker_without_a_filter_cannot_raise_its_limits():
    for limit in ("AS", "CPU", "NOFILE", "NPROC", "FSIZE"):
        attempt = f"resource.setrlimit(resource.RLIMIT_{limit}, (-1, -1))"
        assert confined(f"try: {attempt}\nexcept (OSError, ValueError): os._exit(77)") == 77


@pytest.mark.parametrize(
    "charset", [bytes([code]) for code in range(1, 32)] + [b"\x10\0" + bytes([n]) for n in range(16)]
)
def test_broadcasts_with_programme_names_in_any_charset_are_decoded(sandbox, charset):
    stream = transport_stream_named(charset)
    np.testing.assert_array_equal(
        np.concatenate(list(sandbox.decode(stream, max_seconds=600).blocks())), decode(stream)
    )


@cache
def transport_stream():
    return encode(clip("fsdd-theo-2"), "mpegts", "aac")


def transport_stream_named(charset):
    """A transport stream with the name of its service in a charset (EN 300 468, annex A), its checksum in order."""
    stream = bytearray(transport_stream())
    start = stream.index(b"Service01")
    stream[start : start + len(charset)] = charset
    packet = start // 188 * 188
    section = packet + 5  # behind the packet's header and the pointer
    length = 3 + int.from_bytes(stream[section + 1 : section + 3]) % 4096
    end = section + length - 4
    stream[end : end + 4] = crc32_mpeg(stream[section:end]).to_bytes(4)
    return bytes(stream)


def crc32_mpeg(data):
    remainder = 0xFFFFFFFF
    for byte in data:
        remainder ^= byte << 24
        for _ in range(8):
            remainder = (remainder << 1 ^ (0x04C11DB7 if remainder >> 31 else 0)) & 0xFFFFFFFF
    return remainder
