"""The process in which strangers' media files are decoded, one for each file: `python -m src.audio.worker FD`.

What runs under this name is the parent of the workers. It has every library loaded, waits at the socket FD for files,
and forks a worker for each, which takes 2 ms where a new Python takes 300. A worker gets its file as memory, and gives
up all else before it reads it: whatever code a hostile file makes run there can compute, read its file, write its
audio and answer at one socket. It cannot open, connect, signal, start or look into anything, and the kernel ends it
when it tries or takes too much time or memory. No worker sees two files. `src.audio.sandbox` is the other side.
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
from numpy.typing import NDArray

from src.audio import seccomp
from src.audio.decode import decode, decode_blocks, load_decoders
from src.audio.rejections import AudioRejection
from src.audio.samples import SAMPLE_RATE
from src.errors import UnusableAudio

READY_MESSAGE = b"ready"
"""What the parent says once it can fork; behind it, why the kernel takes no filter of system calls, if so."""
NEXT_REQUEST = b"next"
MESSAGE_BYTES = 1 << 16
ANSWER = struct.Struct("<II")
"""A worker's answer: 0 and the number of samples that are in the shared memory now, or a complaint's place among all,
from 1, and its number."""
REJECTIONS = tuple(AudioRejection)
SHARED_SAMPLES = 1 << 20
"""Room for samples in the memory that both sides see: 65 s of audio at a time. Only the last may be fewer."""
SHARED_BYTES = SHARED_SAMPLES * 4
MIN_SPEED = 20.0
"""A decoder that gives audio may take longer: a second for each so many seconds of audio. MP3 takes one for 1,000."""
NICENESS = 10
"""Added to the service's own: whatever many workers compute, the model and the event loop come first."""
CHARSETS = ("ISO6937", *(f"ISO-8859-{part}" for part in range(1, 16)), "UCS-2BE", "KSC_5601", "GB2312", "UTF-8", "")
"""Those of FFmpeg's demuxer of MPEG transport streams (mpegts.c, `getstr8`): opening one later would open a file."""
MAX_OOM_SCORE = "1000"
"""The most that proc(5) has for `oom_score_adj`: a machine without memory ends decoding, never the service."""


@dataclass(frozen=True, slots=True)
class DecodeTask:
    """What a worker is told beside its file."""

    max_seconds: float
    """Longest audio."""
    timeout_s: float
    """CPU time until the first audio; see `allowed_cpu_s`."""
    memory_bytes: int
    """What it may take beyond what it begins with."""

    def encoded(self) -> bytes:
        """Return the task as a message."""
        return json.dumps(asdict(self)).encode()


def allowed_cpu_s(timeout_s: float, given_s: float) -> float:
    """Return how much CPU time decoding may have taken, in seconds, once it has given so many seconds of audio."""
    return timeout_s + given_s / MIN_SPEED


def main(descriptor: int) -> None:
    """Serve the socket until its other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the service's to handle
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(MAX_OOM_SCORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")  # a warning's text is looked up in a file, which a worker dies of
    load_decoders()
    _load_charsets()
    gc.collect()
    gc.freeze()
    refusal = _refusal_of_filter()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so no worker remains as a zombie
    with socket.socket(fileno=descriptor) as orders:
        orders.send(READY_MESSAGE + refusal.encode())
        while True:
            message, descriptors, _, _ = socket.recv_fds(orders, MESSAGE_BYTES, 3)
            if not message:
                return
            if os.fork() == 0:
                _run_and_exit(DecodeTask(**json.loads(message)), *descriptors, is_filtered=not refusal)
            for each in descriptors:
                os.close(each)


def _load_charsets() -> None:
    """Have the C library load, and keep, what FFmpeg asks it for to read the names of broadcast programmes."""
    iconv_open = ctypes.CDLL(None).iconv_open
    iconv_open.restype = ctypes.c_void_p
    for charset in CHARSETS:
        iconv_open(b"UTF-8", charset.encode())


def _refusal_of_filter() -> str:
    """Say why workers cannot be held to their system calls here, found out by one that decodes; "" where they can."""
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
    with open(reader, "rb") as told:
        refusal = told.read(MESSAGE_BYTES // 2).decode()
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if ended == -signal.SIGSYS:
        return "decoding needs calls that it does not allow"
    if ended:  # by somebody: that says nothing of the filter, and nothing may be decoded without one for that
        raise SystemExit("The trial of the filter of system calls was ended.")
    return refusal


def _run_and_exit(task: DecodeTask, connection: int, upload: int, shared: int, *, is_filtered: bool) -> NoReturn:
    """Decode one file in this process, and end it whatever happens: nothing of the parent's may run here."""
    try:
        with open(upload, "rb") as file:
            file.seek(0)  # where it stands is the service's too
            data = file.read()
        memory = mmap.mmap(shared, SHARED_BYTES)
        pid = str(os.getpid()).encode()
        _confine(task, connection, is_filtered=is_filtered)
        os.write(connection, pid)
        _serve(task, data, np.frombuffer(memory, np.float32), connection)
    finally:
        os._exit(0)  # an error is told by silence: nothing is left to write it to


def _confine(task: DecodeTask, connection: int, *, is_filtered: bool) -> None:
    """Give up everything that decoding does not need, also the logs; of what is open, the connection stays."""
    os.nice(NICENESS)
    for each in os.listdir("/proc/self/fd"):
        if int(each) != connection:
            with suppress(OSError):
                os.close(int(each))
    with open("/proc/self/statm") as file:
        taken = int(file.read().split()[0]) * resource.getpagesize()
    _limit(resource.RLIMIT_AS, taken + task.memory_bytes)
    _limit(resource.RLIMIT_CPU, math.ceil(allowed_cpu_s(task.timeout_s, task.max_seconds)))
    for none in (resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC, resource.RLIMIT_NOFILE):
        _limit(none, 0)
    if is_filtered:
        seccomp.install()


def _limit(what: int, value: int) -> None:
    """Set a limit for good: where the filter is missing, nobody without privileges can raise it again."""
    _, hard = resource.getrlimit(what)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(what, (value, value))


def _serve(task: DecodeTask, data: bytes, shared: NDArray[np.float32], connection: int) -> None:
    """Answer each request for audio."""
    pieces = _Pieces(task, data)
    while os.read(connection, MESSAGE_BYTES):
        os.write(connection, ANSWER.pack(*_answer(pieces, shared)))


def _answer(pieces: "_Pieces", shared: NDArray[np.float32]) -> tuple[int, int]:
    try:
        return 0, pieces.fill(shared)
    except UnusableAudio as error:
        rejection, number = error.rejection
        return 1 + REJECTIONS.index(AudioRejection[rejection]), int(min(max(number, 0), 2**32 - 1))


class _Pieces:
    """A file's audio, in portions of any size."""

    def __init__(self, task: DecodeTask, data: bytes) -> None:
        self._blocks = decode_blocks(data, max_seconds=task.max_seconds)
        self._rest = np.empty(0, np.float32)

    def fill(self, shared: NDArray[np.float32]) -> int:
        """Put the next samples into `shared`, and return how many they are: fewer than fit only at the end."""
        end = 0
        while end < len(shared) and self._more():
            part = self._rest[: len(shared) - end]
            shared[end : end + len(part)] = part
            self._rest = self._rest[len(part) :]
            end += len(part)
        return end

    def _more(self) -> bool:
        """Whether there are samples left, after decoding some where need be."""
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
