"""The decode worker, a process that decodes one untrusted media file: `python -m src.audio.worker FD`.

This module runs as the parent of the workers. It has every library loaded, waits at the socket FD for files, and forks
a worker for each, which takes 2 ms; a new Python process takes 300. A worker gets its file as shared memory and gives
up everything else before it reads the file. So code that a hostile file injects can compute, read its file, write its
audio, and answer at one socket. It cannot open, connect to, signal, start or inspect anything, and the kernel kills it
if it tries, or if it uses too much time or memory. Each worker sees one file only. `src.audio.sandbox` is the service's
side.
"""

import ctypes
import gc
import io
import json
import math
import mmap
import os
import resource
import signal
import socket
import struct
import sys
import warnings
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
import soundfile

from src.audio import capabilities, seccomp
from src.audio.decode import decode, decode_blocks, load_decoders
from src.audio.rejections import AudioRejection
from src.audio.samples import SAMPLE_RATE, Samples
from src.errors import UnusableAudio

READY_MESSAGE = b"ready"
"""The parent's first message, once it can fork. If the system call filter cannot be used, the reason follows."""
NEXT_REQUEST = b"next"
"""The service's request for the next samples."""
MESSAGE_BYTES = 1 << 16
REPLY = struct.Struct("<II")
"""A worker's reply: 0 and the number of samples in the shared memory; or the position of a rejection in `REJECTIONS`,
counted from 1, and the rejection's number."""
REJECTIONS = tuple(AudioRejection)
SHARED_SAMPLES = 1 << 20
"""The size of the shared memory in samples: 65 s of audio per reply. Only the last reply may have fewer."""
SHARED_BYTES = SHARED_SAMPLES * 4
MIN_SPEED = 20.0
"""Seconds of audio for which a decoder may take one more second of CPU time. MP3 takes one second for 1,000."""
NICENESS = 10
"""Added to the niceness of the service: the model and the event loop have priority over any number of workers."""
CHARSETS = ("ISO6937", *(f"ISO-8859-{part}" for part in range(1, 16)), "UCS-2BE", "KSC_5601", "GB2312", "UTF-8", "")
"""The charsets of FFmpeg's MPEG transport stream demuxer (mpegts.c, `getstr8`). Each is loaded from a file at its first
use, which a worker may not do."""
MAX_OOM_SCORE = "1000"
"""The maximum of `oom_score_adj` (proc(5)): a machine that is out of memory kills the decoders, not the service."""


@dataclass(frozen=True, slots=True)
class DecodeTask:
    """The limits for one file."""

    max_seconds: float
    """The longest audio."""
    timeout_s: float
    """CPU time up to the first audio; see `allowed_cpu_s`."""
    memory_bytes: int
    """Memory that the worker may allocate beyond what it starts with."""

    def encode(self) -> bytes:
        """Return the task as a message to the parent."""
        return json.dumps(asdict(self)).encode()


def allowed_cpu_s(timeout_s: float, decoded_s: float) -> float:
    """Return the CPU time that decoding may have used, in seconds, after `decoded_s` seconds of audio."""
    return timeout_s + decoded_s / MIN_SPEED


def main(descriptor: int) -> None:
    """Run the parent: fork a worker for each file from the socket, until its other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the service handles it
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(MAX_OOM_SCORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")  # printing one reads a file, which kills a worker
    load_decoders()
    _load_charsets()
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # who starts the service may ignore it, as Ray does
    filter_error = _test_filter()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so that no worker remains as a zombie
    with socket.socket(fileno=descriptor) as orders:
        orders.send(READY_MESSAGE + filter_error.encode())
        while True:
            message, descriptors, _, _ = socket.recv_fds(orders, MESSAGE_BYTES, 3)
            if not message:
                return
            if os.fork() == 0:
                _run_and_exit(DecodeTask(**json.loads(message)), *descriptors, is_filtered=not filter_error)
            for each in descriptors:
                os.close(each)


def _load_charsets() -> None:
    """Make the C library load the charsets that FFmpeg uses to read the names of broadcast programmes."""
    iconv_open = ctypes.CDLL(None).iconv_open
    iconv_open.restype = ctypes.c_void_p
    for charset in CHARSETS:
        iconv_open(b"UTF-8", charset.encode())


def _test_filter() -> str:
    """Decode a file in a child process under the system call filter. Return why that fails, or "" if it works."""
    file = io.BytesIO()
    soundfile.write(file, np.zeros(SAMPLE_RATE, np.float32), SAMPLE_RATE, format="FLAC")
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        try:
            seccomp.install()
            decode(file.getvalue())
        except Exception as error:
            os.write(writer, str(error).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        reason = pipe.read(MESSAGE_BYTES // 2).decode()
    exit_code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if exit_code == -signal.SIGSYS:
        return "decoding needs calls that it does not allow"
    if exit_code:  # killed from outside, which says nothing about the filter: do not go on without one
        raise SystemExit("The test of the system call filter was killed.")
    return reason


def _run_and_exit(task: DecodeTask, connection: int, upload: int, shared: int, *, is_filtered: bool) -> NoReturn:
    """Decode one file in this process, then exit in any case: the parent's code must not go on here."""
    try:
        with open(upload, "rb") as file:
            file.seek(0)  # the service shares the file position
            data = file.read()
        memory = mmap.mmap(shared, SHARED_BYTES)
        pid = str(os.getpid()).encode()
        _confine(task, connection, is_filtered=is_filtered)
        os.write(connection, pid)
        _serve(task, data, np.frombuffer(memory, np.float32), connection)
    finally:
        os._exit(0)  # after an error too: there is nothing left to write it to, and the service sees the end


def _confine(task: DecodeTask, connection: int, *, is_filtered: bool) -> None:
    """Give up everything that decoding does not need. Of the open files, also the logs, only the connection stays."""
    os.nice(NICENESS)
    for each in os.listdir("/proc/self/fd"):
        if int(each) != connection:
            with suppress(OSError):
                os.close(int(each))
    with suppress(OSError):  # a filter around the service may refuse; files are decoded all the same
        capabilities.drop_all()
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    _limit(resource.RLIMIT_AS, used + task.memory_bytes)
    _limit(resource.RLIMIT_CPU, math.ceil(allowed_cpu_s(task.timeout_s, task.max_seconds)))
    for forbidden in (resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC, resource.RLIMIT_NOFILE):
        _limit(forbidden, 0)
    if is_filtered:
        seccomp.install()


def _limit(kind: int, value: int) -> None:
    """Lower the soft and the hard limit: even without the filter, a process without capabilities cannot raise it."""
    _, hard = resource.getrlimit(kind)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


def _serve(task: DecodeTask, data: bytes, shared: Samples, connection: int) -> None:
    """Reply to each request for audio, until the service closes the connection."""
    source = _SampleSource(task, data)
    while os.read(connection, MESSAGE_BYTES):
        os.write(connection, REPLY.pack(*_reply(source, shared)))


def _reply(source: "_SampleSource", shared: Samples) -> tuple[int, int]:
    try:
        return 0, source.fill(shared)
    except UnusableAudio as error:
        name, number = error.rejection
        return 1 + REJECTIONS.index(AudioRejection[name]), int(min(max(number, 0), 2**32 - 1))


class _SampleSource:
    """The audio of a file, read in portions of any size."""

    def __init__(self, task: DecodeTask, data: bytes) -> None:
        self._blocks = decode_blocks(data, max_seconds=task.max_seconds)
        self._rest = np.empty(0, np.float32)

    def fill(self, shared: Samples) -> int:
        """Write the next samples into `shared`, and return their number: less than its length only at the end."""
        end = 0
        while end < len(shared) and self._has_more():
            part = self._rest[: len(shared) - end]
            shared[end : end + len(part)] = part
            self._rest = self._rest[len(part) :]
            end += len(part)
        return end

    def _has_more(self) -> bool:
        """Return whether samples are left; decode the next block if necessary."""
        while not len(self._rest):
            try:
                block = next(self._blocks, None)
            except MemoryError:
                raise AudioRejection.MEMORY.error() from None
            if block is None:
                return False
            self._rest = block
        return True


if __name__ == "__main__":
    main(int(sys.argv[1]))
