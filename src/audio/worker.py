"""The process in which strangers' media files are decoded, one for each file: `python -m src.audio.worker FD`.

What runs under this name is the parent of the workers. It has every library loaded, waits at the socket FD for files,
and forks a worker for each, which takes 2 ms where a new Python takes 300. A worker gets its file as memory, can open
nothing else, neither file nor connection, and is ended by the kernel when it takes too much time or memory. So what a
hostile file can reach is the worker's own memory, and no worker sees two files. `src.audio.sandbox` is the other side.
"""

import ctypes
import gc
import json
import math
import mmap
import os
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from src.audio.decode import decode_blocks, load_decoders
from src.audio.resample import SAMPLE_RATE
from src.errors import InvalidAudio, InvalidRequest

READY = b"ready"
NEXT = b"next"
MESSAGE_BYTES = 1 << 16
SHARED_SAMPLES = 1 << 20
"""Room for samples in the memory that both sides see: 65 s of audio at a time."""
SHARED_BYTES = SHARED_SAMPLES * 4
LEAST_SPEED = 20.0
"""A decoder that gives audio may take longer: a second for each so many seconds of audio. MP3 takes one for 1,000."""
NICENESS = 10
"""Added to the service's own: whatever many workers compute, the model and the event loop come first."""
NO_NEW_PRIVILEGES = 38
"""`PR_SET_NO_NEW_PRIVS` (prctl(2))."""


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker is told beside its file."""

    max_seconds: float
    """Longest audio."""
    timeout_s: float
    """CPU time until the first audio; see `allowed_s`."""
    memory_bytes: int
    """What it may take beyond what it begins with."""

    def encoded(self) -> bytes:
        """Return the task as a message."""
        return json.dumps(asdict(self)).encode()


def allowed_s(timeout_s: float, given_s: float) -> float:
    """Return how long decoding may have taken, in seconds, once it has given so many seconds of audio."""
    return timeout_s + given_s / LEAST_SPEED


def main(descriptor: int) -> None:
    """Serve the socket until its other end is closed."""
    for ignored in (signal.SIGINT, signal.SIGCHLD):  # the service's to handle; and so no worker remains as a zombie
        signal.signal(ignored, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    load_decoders()
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=descriptor) as orders:
        orders.send(READY)
        while True:
            message, descriptors, _, _ = socket.recv_fds(orders, MESSAGE_BYTES, 3)
            if not message:
                return
            if os.fork() == 0:
                orders.close()
                _run_and_exit(Task(**json.loads(message)), *descriptors)
            for each in descriptors:
                os.close(each)


def _run_and_exit(task: Task, connection: int, upload: int, shared: int) -> NoReturn:
    """Decode one file in this process, and end it whatever happens: nothing of the parent's may run here."""
    try:
        with open(upload, "rb") as file:
            file.seek(0)  # where it stands is the service's too
            data = file.read()
        memory = mmap.mmap(shared, SHARED_BYTES)
        channel = socket.socket(fileno=connection)
        _confine(task)
        channel.send(str(os.getpid()).encode())
        _serve(task, data, np.frombuffer(memory, np.float32), channel)
    except (BrokenPipeError, ConnectionResetError):
        pass  # nobody wants the audio any more
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)


def _confine(task: Task) -> None:
    """Give up everything that decoding does not need. What is open stays open."""
    os.nice(NICENESS)
    ctypes.CDLL(None).prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    with open("/proc/self/statm") as file:
        taken = int(file.read().split()[0]) * resource.getpagesize()
    limit = taken + task.memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))


def _serve(task: Task, data: bytes, shared: NDArray[np.float32], channel: socket.socket) -> None:
    """Answer each request for audio with the lengths of the blocks that are in the shared memory now."""
    pieces = _pieces(task, data)
    held = _Held(pieces)
    given_s = 0.0
    while channel.recv(MESSAGE_BYTES):
        _allow_cpu(allowed_s(task.timeout_s, given_s))
        try:
            lengths = held.fill(shared)
            answer: dict[str, Any] = {"lengths": lengths}
        except InvalidRequest as error:
            answer = {"error": type(error).__name__, "message": error.message}
        channel.send(json.dumps(answer).encode())
        given_s += sum(answer.get("lengths", ())) / SAMPLE_RATE


def _allow_cpu(seconds: float) -> None:
    """Have the kernel end this process when it has used so many seconds of CPU time since it began."""
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(seconds), resource.RLIM_INFINITY))


def _pieces(task: Task, data: bytes) -> Iterator[NDArray[np.float32]]:
    """Yield the file's audio in blocks that fit the shared memory."""
    try:
        for block in decode_blocks(data, max_seconds=task.max_seconds):
            for start in range(0, len(block), SHARED_SAMPLES):
                yield block[start : start + SHARED_SAMPLES]
    except MemoryError:
        raise InvalidAudio("The file takes more memory than decoding may.", param="file") from None


class _Held:
    """A stream of pieces, of which one that did not fit is kept for the next time."""

    def __init__(self, pieces: Iterator[NDArray[np.float32]]) -> None:
        self._pieces = pieces
        self._kept: NDArray[np.float32] | None = None

    def fill(self, shared: NDArray[np.float32]) -> list[int]:
        """Put pieces into `shared`, as many as fit, and return their lengths; none at the end of the stream."""
        lengths: list[int] = []
        end = 0
        while (piece := self._next()) is not None:
            if end + len(piece) > len(shared):
                self._kept = piece
                break
            shared[end : end + len(piece)] = piece
            end += len(piece)
            lengths.append(len(piece))
        return lengths

    def _next(self) -> NDArray[np.float32] | None:
        piece, self._kept = self._kept, None
        return next(self._pieces, None) if piece is None else piece


if __name__ == "__main__":
    main(int(sys.argv[1]))
