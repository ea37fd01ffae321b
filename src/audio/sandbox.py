"""Decode strangers' media files in processes of their own, so that a crash, a hang or a bomb costs one request.

Each file gets a worker, forked by a parent that has all libraries loaded; `src.audio.worker` says what it may do. The
file goes there, and its audio comes back, in memory that both sides see; only lengths go over their socket.
"""

import fcntl
import json
import logging
import mmap
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src.audio.resample import SAMPLE_RATE
from src.audio.worker import MESSAGE_BYTES, NEXT, READY, SHARED_BYTES, SHARED_SAMPLES, Task, allowed_s
from src.errors import AudioTooLong, DecoderUnavailable, EmptyAudio, InvalidAudio

log = logging.getLogger(__name__)

TOP_LEVEL = Path(__file__).parent.parent.parent
START_S = 10.0
"""How long the workers' parent may take to load its libraries, and again to fork a worker."""
RETRY_S = 1.0
TOLD = {kind.__name__: kind for kind in (AudioTooLong, EmptyAudio, InvalidAudio)}
"""What a worker may say of a file."""
CRASHED = "The file could not be decoded: its decoder crashed, or took more than it may. It is damaged, or no audio."


class Sandbox:
    """Decodes files in workers. Safe from any thread.

    Args:
        timeout_s: how long a file may take until its first audio; `allowed_s` says how much more after that.
        memory_mb: memory that a worker may take, in MiB.
    """

    def __init__(self, *, timeout_s: float, memory_mb: float) -> None:
        self._timeout_s = timeout_s
        self._memory_bytes = int(memory_mb * 2**20)
        self._lock = threading.Lock()  # held while the parent is started, told something or replaced
        self._parent: _Parent | None = None
        self._closed = False

    def start(self) -> None:
        """Start the parent of the workers, which otherwise happens with the first file.

        Raises:
            DecoderUnavailable: it cannot be started.
        """
        with self._lock, _unavailable_on_error():
            self._living_parent()

    def close(self) -> None:
        """End the parent. Workers end with their files."""
        with self._lock:
            self._closed = True
            self._drop(self._parent)

    def decode(self, data: bytes, *, max_seconds: float) -> "Decoding":
        """Return the decoding of a media file with at most `max_seconds` of audio; it begins when it is iterated."""
        return Decoding(self, data, Task(max_seconds, self._timeout_s, self._memory_bytes))

    def worker(self, task: Task, data: bytes) -> "Worker":
        """Return a new worker that has a file.

        Raises:
            DecoderUnavailable: there is none to be had.
        """
        with _unavailable_on_error():
            for _ in range(2):  # the parent may have been killed since the last file
                with self._lock:
                    parent = self._living_parent()
                if worker := Worker.forked(parent.orders, task, data):
                    return worker
                with self._lock:
                    self._drop(parent)
        raise _unavailable()

    def _living_parent(self) -> "_Parent":
        if self._closed:
            raise _unavailable()
        if self._parent is None:
            self._parent = _Parent()
        return self._parent

    def _drop(self, parent: "_Parent | None") -> None:
        """End a parent, unless another thread has done so and started a new one."""
        if parent is not None and parent is self._parent:
            self._parent = None
            parent.end()


class _Parent:
    """The process that forks the workers.

    Raises:
        OSError: it does not start.
    """

    def __init__(self) -> None:
        self.orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        path = os.pathsep.join(filter(None, [str(TOP_LEVEL), os.environ.get("PYTHONPATH")]))
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "src.audio.worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=os.environ | {"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"},  # no thread survives a fork
            )
        self.orders.settimeout(START_S)
        try:
            is_ready = self.orders.recv(MESSAGE_BYTES) == READY
        except OSError:
            is_ready = False
        if not is_ready:
            self.end()
            raise OSError("the process that decodes media files does not start")

    def end(self) -> None:
        """End the process."""
        self.orders.close()
        self._process.kill()
        self._process.wait()


class Worker:
    """The process that has one file. One thread asks and closes, any may end it.

    Args:
        channel: the socket to it.
        pid: its process.
        shared: the memory in which its audio comes.
    """

    def __init__(self, channel: socket.socket, pid: int, shared: mmap.mmap) -> None:
        self._channel = channel
        self._pid = pid
        self._shared = np.frombuffer(shared, np.float32)
        self._lock = threading.Lock()  # between the end of the process and of the socket, which says whether it lives

    @classmethod
    def forked(cls, orders: socket.socket, task: Task, data: bytes) -> "Worker | None":
        """Have the parent at `orders` fork a worker for a file; None where it does not.

        Raises:
            OSError: there is no memory or no descriptor left for it.
        """
        with _memory(SHARED_BYTES) as shared, _memory(len(data)) as upload:
            with open(upload, "wb", closefd=False) as file:
                file.write(data)
            channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            channel.settimeout(START_S)
            with theirs, suppress(OSError):
                socket.send_fds(orders, [task.encoded()], [theirs.fileno(), upload, shared])
            # Without a parent, nobody has the other end now.
            with suppress(OSError):
                if pid := int(channel.recv(MESSAGE_BYTES) or 0):
                    return cls(channel, pid, mmap.mmap(shared, SHARED_BYTES))
        channel.close()
        return None

    def next_blocks(self, patience_s: float) -> Iterator[NDArray[np.float32]]:
        """Return the next blocks of 16 kHz mono samples; none at the end of the file.

        Raises:
            EmptyAudio, InvalidAudio, AudioTooLong: what is wrong with the file.
            OSError, ValueError: the worker has ended, or it takes longer than `patience_s`.
        """
        self._channel.settimeout(max(0.001, patience_s))
        self._channel.send(NEXT)
        answer: dict[str, Any] = json.loads(self._channel.recv(MESSAGE_BYTES))
        if kind := TOLD.get(answer.get("error", "")):
            raise kind(str(answer["message"]), param="file")
        return self._copied(answer["lengths"])

    def end(self) -> None:
        """Kill the process, and wake the thread that asks."""
        with self._lock:
            if self._channel.fileno() < 0:
                return
            with suppress(OSError):  # it may end at this moment by itself
                if self._lives():
                    os.kill(self._pid, signal.SIGKILL)
                self._channel.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End the process if it has not ended, and let go of the socket and the memory."""
        self.end()
        with self._lock:
            self._channel.close()
        self._shared = np.empty(0, np.float32)

    def _lives(self) -> bool:
        """Whether the process still has its end of the socket; its number may be another's as soon as it has not."""
        poll = select.poll()
        poll.register(self._channel, 0)
        return not poll.poll(0)

    def _copied(self, lengths: list[int]) -> Iterator[NDArray[np.float32]]:
        if sum(lengths) > SHARED_SAMPLES or min(lengths, default=1) < 1:
            raise ValueError("lengths that cannot be")
        end = 0
        for length in lengths:
            yield self._shared[end : end + length].copy()
            end += length


class Decoding:
    """One file on its way through a worker. One thread iterates, any may cancel."""

    def __init__(self, sandbox: Sandbox, data: bytes, task: Task) -> None:
        self._sandbox = sandbox
        self._data = data
        self._task = task
        self._lock = threading.Lock()
        self._cancelled = False
        self._worker: Worker | None = None

    def blocks(self) -> Generator[NDArray[np.float32], None, None]:
        """Yield the file's audio as 16 kHz mono blocks (samples,), as `decode_blocks` does.

        Raises, while iterating:
            EmptyAudio, InvalidAudio, AudioTooLong: as `decode_blocks`. A worker that crashes, hangs or takes too much
                makes its file `InvalidAudio`.
            DecoderUnavailable: there is no worker.
        """
        worker = self._sandbox.worker(self._task, self._data)
        try:
            with self._lock:
                self._worker = worker
            yield from self._asked_of(worker)
        finally:
            worker.close()

    def cancel(self) -> None:
        """End the worker. Blocks that have been given stay valid."""
        with self._lock:
            self._cancelled = True
            if self._worker:
                self._worker.end()

    def _asked_of(self, worker: Worker) -> Iterator[NDArray[np.float32]]:
        given_s = waited_s = 0.0
        while not self._cancelled:
            started = time.monotonic()
            try:
                blocks = list(worker.next_blocks(allowed_s(self._task.timeout_s, given_s) - waited_s))
            except (OSError, ValueError) as error:
                if not self._cancelled:
                    log.warning("The decoder of a file of %d bytes has ended: %s", len(self._data), error)
                raise InvalidAudio(CRASHED, param="file") from None
            waited_s += time.monotonic() - started
            if not blocks:
                return
            yield from blocks
            given_s += sum(map(len, blocks)) / SAMPLE_RATE


@contextmanager
def _memory(size: int) -> Iterator[int]:
    """Give a descriptor of memory that other processes can be given too, and none can shrink under the others."""
    descriptor = os.memfd_create("decoding", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.truncate(descriptor, size)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _unavailable_on_error() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        log.error("Media files cannot be decoded: %s", error)
        raise _unavailable() from None


def _unavailable() -> DecoderUnavailable:
    return DecoderUnavailable("Media files cannot be decoded at the moment. Try again later.", retry_after_s=RETRY_S)
