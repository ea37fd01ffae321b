"""Decode untrusted media files in worker processes, so that a crash, a hang or a bomb costs one request only.

Each file gets a worker, forked by a parent that has all libraries loaded; `src.audio.worker` describes what a worker
may do. File and audio are passed in shared memory; only numbers go over the socket. A hostile file may take over its
worker, so the service checks every reply, and no reply affects any other file.
"""

import fcntl
import logging
import mmap
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, suppress

import numpy as np

from src.audio.blocks import split_blocks
from src.audio.channels import MAX_SAMPLE
from src.audio.rejections import AudioRejection
from src.audio.samples import SAMPLE_RATE, Samples
from src.audio.worker import (
    MESSAGE_BYTES,
    NEXT_REQUEST,
    READY_MESSAGE,
    REJECTIONS,
    REPLY,
    SHARED_BYTES,
    SHARED_SAMPLES,
    DecodeTask,
    allowed_cpu_s,
)
from src.errors import AudioTooLong, DecoderUnavailable
from src.memory.budget import Budget, Reservation
from src.memory.budget_queue import BudgetQueue
from src.settings import TOP_LEVEL

log = logging.getLogger(__name__)

START_S = 10.0
"""The longest time for the parent to load its libraries, and for it to fork a worker."""
RETRY_S = 1.0
"""The `Retry-After` of `DecoderUnavailable`."""
CPUCLOCK_SCHED = 2
"""The kernel's number for a process's CPU time clock (posix-timers.h)."""
MAX_WALL_PER_CPU = 3.0
"""The ratio of wall time to CPU time that a worker may take: on a busy machine it gets only a share of a core."""
MIN_WAIT_S = 0.01
"""The shortest time between two checks of a worker's CPU time."""
MIN_WORKERS = 4
"""The number of workers that have room on any machine: on a small one, each gets less memory than the setting says."""
PASSED_VARIABLES = (
    *("PATH", "HOME", "LANG", "LANGUAGE", "TZ"),
    *("LC_ALL", "LC_CTYPE", "LC_MESSAGES", "LC_NUMERIC", "LC_TIME", "LC_COLLATE"),
    *("PYTHONPATH", "PYTHONHOME", "PYTHONPLATLIBDIR", "PYTHONUSERBASE", "PYTHONNOUSERSITE", "PYTHONSAFEPATH"),
    *("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", "PYTHONUTF8", "PYTHONIOENCODING", "VIRTUAL_ENV"),
    *("LD_LIBRARY_PATH", "LD_PRELOAD", "GLIBC_TUNABLES", "MALLOC_ARENA_MAX"),
    *("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "OMP_NUM_THREADS", "MKL_NUM_THREADS"),
)
"""The environment variables that are passed on to the workers: paths of programs and libraries, the language, and
machine options of libraries. Others may hold secrets: keys, tokens, the addresses of proxies."""


class Sandbox:
    """Decodes files in workers. Any thread may use it, except `room`, which belongs to one event loop.

    Args:
        timeout_s: CPU time for a file up to its first audio; see `allowed_cpu_s` for the time after that.
        memory_mb: memory for one worker, in MiB.
        total_mb: memory for all workers together, in MiB. A file waits for it for at most `timeout_s`.
        max_workers: the number of workers at a time.
    """

    def __init__(self, *, timeout_s: float, memory_mb: float, total_mb: float, max_workers: int) -> None:
        self._timeout_s = timeout_s
        self._memory_bytes = int(min(memory_mb, total_mb / (MIN_WORKERS + 1)) * 2**20)  # + 1: room for their files
        self._room = BudgetQueue(Budget(int(total_mb * 2**20)), timeout_s, _unavailable_error)
        self._min_bytes = int(total_mb * 2**20) // max_workers  # room per worker: no more than `max_workers` fit
        self._lock = threading.Lock()  # held while the parent is started or replaced
        self._parent: _Parent | None = None
        self._closed = False

    def start(self) -> None:
        """Start the parent of the workers. Otherwise it starts with the first file.

        Raises:
            DecoderUnavailable: it does not start.
        """
        with self._lock, _unavailable_on_error():
            self._running_parent()

    def close(self) -> None:
        """Stop the parent. Workers end with their files."""
        with self._lock:
            self._closed = True
            self._drop(self._parent)

    def room(self, data: bytes) -> AbstractAsyncContextManager[Reservation]:
        """Wait for room for the worker of a file, and hold it in the block.

        Raises:
            DecoderUnavailable: there was no room within `timeout_s`.
        """
        # In addition to its own memory, a worker has a copy of the file and the memory that it shares with the service.
        return self._room.reserved(max(self._memory_bytes + len(data) + SHARED_BYTES, self._min_bytes))

    def decode(self, data: bytes, *, max_seconds: float) -> "Decoding":
        """Return the decoding of a media file with at most `max_seconds` of audio. It starts when it is iterated."""
        return Decoding(self, data, DecodeTask(max_seconds, self._timeout_s, self._memory_bytes))

    def worker(self, task: DecodeTask, data: bytes) -> "Worker":
        """Return a new worker for a file.

        Raises:
            DecoderUnavailable: no worker can be started.
        """
        with _unavailable_on_error():
            for _ in range(2):  # the parent may have been killed since the last file
                with self._lock:
                    parent = self._running_parent()
                if worker := Worker.fork(parent.channel, task, data):
                    return worker
                with self._lock:
                    self._drop(parent)
        raise _unavailable_error()

    def _running_parent(self) -> "_Parent":
        if self._closed:
            raise _unavailable_error()
        if self._parent is None:
            try:
                self._parent = _Parent()
            except OSError as error:  # it may have been killed before it was ready
                log.warning("Trying again: %s", error)
                self._parent = _Parent()
        return self._parent

    def _drop(self, parent: "_Parent | None") -> None:
        """Stop a parent, unless another thread has already replaced it."""
        if parent is not None and parent is self._parent:
            self._parent = None
            parent.stop()


class _Parent:
    """The process that forks the workers.

    Raises:
        OSError: it does not start.
    """

    def __init__(self) -> None:
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "src.audio.worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=_worker_environment(),
            )
        self.channel.settimeout(START_S)
        try:
            message = self.channel.recv(MESSAGE_BYTES)
        except OSError:
            message = b""
        if not message.startswith(READY_MESSAGE):
            self.stop()
            raise OSError("the process that decodes media files does not start")
        if filter_error := message.removeprefix(READY_MESSAGE).decode():
            log.warning(
                "The kernel does not filter the system calls of media decoders (%s). Files are decoded all the same, "
                "but a file that breaks its decoder could signal and read processes of this user.",
                filter_error,
            )

    def stop(self) -> None:
        """Kill the process."""
        self.channel.close()
        self._process.kill()
        self._process.wait()


class Worker:
    """The process that decodes one file. One thread uses and closes it; any thread may kill it.

    Args:
        channel: the socket to it.
        pid: its process ID.
        shared: the memory into which it writes audio.
    """

    def __init__(self, channel: socket.socket, pid: int, shared: mmap.mmap) -> None:
        self._channel = channel
        self._pid = pid
        self._shared = np.frombuffer(shared, np.float32)
        self._lock = threading.Lock()  # the socket tells whether the process is alive, so they end under one lock

    @classmethod
    def fork(cls, parent: socket.socket, task: DecodeTask, data: bytes) -> "Worker | None":
        """Ask the parent to fork a worker for a file, and return it; None if the parent does not answer.

        Raises:
            OSError: there is no memory or no file descriptor left for it.
        """
        with _shared_memory(SHARED_BYTES) as shared, _shared_memory(len(data)) as upload:
            with open(upload, "wb", closefd=False) as file:
                file.write(data)
            channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            channel.settimeout(START_S)
            with theirs, suppress(OSError):
                socket.send_fds(parent, [task.encode()], [theirs.fileno(), upload, shared])
            # If the parent is gone, the other end of the channel is closed now, and there is no reply.
            with suppress(OSError):
                if pid := int(channel.recv(MESSAGE_BYTES) or 0):
                    return cls(channel, pid, mmap.mmap(shared, SHARED_BYTES))
        channel.close()
        return None

    def next_audio(self, allowed_cpu_s: float, timeout_s: float) -> Samples:
        """Return the next 16 kHz mono samples (samples,): `SHARED_SAMPLES`, or fewer at the end of the file.

        Args:
            allowed_cpu_s: the CPU time that the worker may have used by then.
            timeout_s: the longest time to wait.

        Raises:
            EmptyAudio, InvalidAudio, AudioTooLong: the worker rejects the file.
            DecoderUnavailable: the worker did not get enough CPU time to reply within `timeout_s`.
            OSError, ValueError: the worker ended, used up its CPU time, or sent an impossible reply.
        """
        self._channel.send(NEXT_REQUEST)
        rejection, number = _parse_reply(self._receive(allowed_cpu_s, time.monotonic() + timeout_s))
        if rejection:
            raise rejection.error(number)
        samples = self._shared[:number].copy()
        if not np.abs(samples).max(initial=0) <= MAX_SAMPLE:  # also true of nan
            raise ValueError("impossible samples")
        return samples

    def _receive(self, allowed_cpu_s: float, deadline: float) -> bytes:
        """Return the worker's next message."""
        while (cpu_left_s := allowed_cpu_s - self._cpu_s()) > 0:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise _unavailable_error()
            self._channel.settimeout(max(MIN_WAIT_S, min(cpu_left_s, left_s)))
            with suppress(TimeoutError):
                return self._channel.recv(MESSAGE_BYTES)
        raise TimeoutError("it used up its CPU time")

    def _cpu_s(self) -> float:
        """Return the CPU time used by the process, from the kernel's clock for its process ID (clock_getres(2))."""
        return time.clock_gettime((~self._pid << 3) | CPUCLOCK_SCHED)

    def kill(self) -> None:
        """Kill the process, and wake the thread that waits for it."""
        with self._lock:
            if self._channel.fileno() < 0:
                return
            with suppress(OSError):  # it may exit at this moment
                if self._is_alive():
                    os.kill(self._pid, signal.SIGKILL)
                self._channel.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Kill the process if it is alive, and release the socket and the memory."""
        self.kill()
        with self._lock:
            self._channel.close()
        self._shared = np.empty(0, np.float32)

    def _is_alive(self) -> bool:
        """Return whether the process has its end of the socket open. Once it has not, its ID may be another's."""
        poll = select.poll()
        poll.register(self._channel, 0)
        return not poll.poll(0)


def _parse_reply(reply: bytes) -> tuple[AudioRejection | None, int]:
    """Return a worker's rejection and its number; or None and the number of samples.

    Raises:
        ValueError: the reply is invalid. A hostile file may have sent it.
    """
    try:
        index, number = REPLY.unpack(reply)
        rejection = REJECTIONS[index - 1] if index else None
    except (struct.error, IndexError):
        raise ValueError("an invalid reply" if reply else "it died") from None
    if rejection is None and number > SHARED_SAMPLES:
        raise ValueError("more samples than there is room for")
    return rejection, number


class Decoding:
    """The decoding of one file in a worker. One thread iterates over its blocks; any thread may cancel it."""

    def __init__(self, sandbox: Sandbox, data: bytes, task: DecodeTask) -> None:
        self._sandbox = sandbox
        self._data = data
        self._task = task
        self._lock = threading.Lock()
        self._cancelled = False
        self._worker: Worker | None = None
        self.has_ended = False
        """Whether the worker has been started and has ended, so that it takes no memory any more."""

    def blocks(self) -> Generator[Samples, None, None]:
        """Yield the file's audio as 16 kHz mono blocks (samples,) of `BLOCK_SAMPLES`; the last one may be shorter.

        Raises, while iterating:
            EmptyAudio, InvalidAudio, AudioTooLong: as `decode_blocks`. If a worker crashes, lies or exceeds its
                limits, its file is `InvalidAudio`.
            DecoderUnavailable: no worker can be started, or the machine is too busy for it.
        """
        if self._cancelled:
            return
        worker = self._sandbox.worker(self._task, self._data)
        try:
            with self._lock:
                self._worker = worker
            count = 0
            waited_s = 0.0
            while not self._cancelled:
                started = time.monotonic()
                samples = self._next(worker, count, waited_s)
                waited_s += time.monotonic() - started
                count += len(samples)
                yield from split_blocks(samples)
                if len(samples) < SHARED_SAMPLES:
                    return
        finally:
            worker.close()
            self.has_ended = True

    def cancel(self) -> None:
        """Kill the worker. Blocks that were yielded stay valid."""
        with self._lock:
            self._cancelled = True
            if self._worker:
                self._worker.kill()

    def _next(self, worker: Worker, count: int, waited_s: float) -> Samples:
        """Return the next samples. The worker is not trusted, so limits such as the longest audio are checked here.

        Args:
            worker: the worker.
            count: the number of samples so far.
            waited_s: the time spent waiting so far.
        """
        allowed = allowed_cpu_s(self._task.timeout_s, count / SAMPLE_RATE)
        too_long = AudioRejection.TOO_LONG.error(self._task.max_seconds)
        try:
            samples = worker.next_audio(allowed, MAX_WALL_PER_CPU * allowed - waited_s)
        except AudioTooLong:
            raise too_long from None
        except (OSError, ValueError) as error:
            if not self._cancelled:
                log.warning("The decoder of a file of %d bytes failed: %s", len(self._data), error)
            raise AudioRejection.CRASHED.error() from None
        if count + len(samples) > self._task.max_seconds * SAMPLE_RATE:
            raise too_long
        if not count + len(samples):
            raise AudioRejection.NO_SAMPLES.error()
        return samples


@contextmanager
def _shared_memory(size: int) -> Iterator[int]:
    """Provide the file descriptor of memory that other processes can share, and that none of them can shrink."""
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
        raise _unavailable_error() from None


def _unavailable_error() -> DecoderUnavailable:
    return DecoderUnavailable("Media files cannot be decoded at the moment. Try again later.", retry_after_s=RETRY_S)


def _worker_environment() -> dict[str, str]:
    """Return the environment of the parent: the passed variables of the service, and what the parent needs."""
    path = os.pathsep.join(filter(None, [str(TOP_LEVEL), os.environ.get("PYTHONPATH")]))
    passed = {name: os.environ[name] for name in PASSED_VARIABLES if name in os.environ}
    return passed | {"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"}  # no thread survives a fork
