"""Decode strangers' media files in processes of their own, so that a crash, a hang or a bomb costs one request.

Each file gets a worker, forked by a parent that has all libraries loaded; `src.audio.worker` says what it may do. The
file goes there, and its audio comes back, in memory that both sides see; only numbers go over their socket. A
worker may be anybody's once it has read a hostile file: what it says is believed of that file alone, and only what can
be.
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

from src.audio.channels import LOUDEST
from src.audio.decode import BLOCK_SAMPLES
from src.audio.rejections import AudioRejection
from src.audio.samples import SAMPLE_RATE, Samples
from src.audio.worker import (
    ANSWER,
    MESSAGE_BYTES,
    NEXT_REQUEST,
    READY_MESSAGE,
    REJECTIONS,
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
"""How long the workers' parent may take to load its libraries, and again to fork a worker."""
RETRY_S = 1.0
CPUCLOCK_SCHED = 2
"""Of the kernel's posix-timers.h: the clock that counts the CPU time of a process."""
MAX_WALL_PER_CPU = 3.0
"""So many times its CPU time a worker may take by the clock: on a busy machine it gets a share of a core."""
MIN_WAIT_S = 0.01
"""Between two looks at how much CPU time a worker has used."""
MIN_WORKERS = 4
"""So many find room at a time on any machine: on a small one each may take less than the setting says."""
PASSED_VARIABLES = (
    *("PATH", "HOME", "LANG", "LANGUAGE", "TZ"),
    *("LC_ALL", "LC_CTYPE", "LC_MESSAGES", "LC_NUMERIC", "LC_TIME", "LC_COLLATE"),
    *("PYTHONPATH", "PYTHONHOME", "PYTHONPLATLIBDIR", "PYTHONUSERBASE", "PYTHONNOUSERSITE", "PYTHONSAFEPATH"),
    *("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", "PYTHONUTF8", "PYTHONIOENCODING", "VIRTUAL_ENV"),
    *("LD_LIBRARY_PATH", "LD_PRELOAD", "GLIBC_TUNABLES", "MALLOC_ARENA_MAX"),
    *("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "OMP_NUM_THREADS", "MKL_NUM_THREADS"),
)
"""The variables of the service's environment that its workers may see: where programs and libraries are, the language,
and what libraries are told of the machine. Others may hold secrets: keys, tokens, the addresses of proxies."""


class Sandbox:
    """Decodes files in workers. Safe from any thread, but for `room`, which belongs to one event loop.

    Args:
        timeout_s: CPU time that a file may take until its first audio; `allowed_cpu_s` says how much more after that.
        memory_mb: memory that a worker may take, in MiB.
        total_mb: memory that all workers may take together, in MiB; who finds no room waits for `timeout_s`.
        max_workers: how many may be at work at a time.
    """

    def __init__(self, *, timeout_s: float, memory_mb: float, total_mb: float, max_workers: int) -> None:
        self._timeout_s = timeout_s
        self._memory_bytes = int(min(memory_mb, total_mb / (MIN_WORKERS + 1)) * 2**20)  # 1 for their files
        self._room = BudgetQueue(Budget(int(total_mb * 2**20)), timeout_s, _unavailable)
        self._least_bytes = int(total_mb * 2**20) // max_workers  # of the room, for each: so no more fit
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

    def room(self, data: bytes) -> AbstractAsyncContextManager[Reservation]:
        """Wait for room for the worker of a file, and hold it in the block.

        Raises:
            DecoderUnavailable: there was none within the time that the worker may take.
        """
        # Beside what it may take, a worker has a copy of the file, and memory that it shares with the service.
        return self._room.reserved(max(self._memory_bytes + len(data) + SHARED_BYTES, self._least_bytes))

    def decode(self, data: bytes, *, max_seconds: float) -> "Decoding":
        """Return the decoding of a media file with at most `max_seconds` of audio; it begins when it is iterated."""
        return Decoding(self, data, DecodeTask(max_seconds, self._timeout_s, self._memory_bytes))

    def worker(self, task: DecodeTask, data: bytes) -> "Worker":
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
            try:
                self._parent = _Parent()
            except OSError as error:  # it may have been killed before it was ready
                log.warning("Once more: %s", error)
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
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "src.audio.worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=_environment(),
            )
        self.orders.settimeout(START_S)
        try:
            told = self.orders.recv(MESSAGE_BYTES)
        except OSError:
            told = b""
        if not told.startswith(READY_MESSAGE):
            self.end()
            raise OSError("the process that decodes media files does not start")
        if refusal := told.removeprefix(READY_MESSAGE).decode():
            log.warning(
                "The kernel does not filter the system calls of media decoders (%s): files are decoded all the same, "
                "but one that breaks its decoder could signal and read processes of this user.",
                refusal,
            )

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
    def forked(cls, orders: socket.socket, task: DecodeTask, data: bytes) -> "Worker | None":
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

    def next_audio(self, allowed_cpu_s: float, patience_s: float) -> Samples:
        """Return the next 16 kHz mono samples (samples,), `SHARED_SAMPLES` or, at the end of the file, fewer.

        Args:
            allowed_s: how much CPU time the worker may have used by then.
            patience_s: how long to wait.

        Raises:
            EmptyAudio, InvalidAudio, AudioTooLong: what is wrong with the file.
            DecoderUnavailable: the worker gets too little of the machine to say so.
            OSError, ValueError: it has ended, used its time or given an answer that cannot be.
        """
        self._channel.send(NEXT_REQUEST)
        kind, number = _parsed(self._received(allowed_cpu_s, time.monotonic() + patience_s))
        if kind:
            raise kind.error(number)
        samples = self._shared[:number].copy()
        if not np.abs(samples).max(initial=0) <= LOUDEST:  # also true of nan
            raise ValueError("samples that cannot be")
        return samples

    def _received(self, allowed_cpu_s: float, deadline: float) -> bytes:
        """Return the worker's next message."""
        while (left_s := allowed_cpu_s - self._cpu_s()) > 0:
            patience_s = deadline - time.monotonic()
            if patience_s <= 0:
                raise _unavailable()
            self._channel.settimeout(max(MIN_WAIT_S, min(left_s, patience_s)))
            with suppress(TimeoutError):
                return self._channel.recv(MESSAGE_BYTES)
        raise TimeoutError("it takes more time than it may")

    def _cpu_s(self) -> float:
        """Return how much CPU time the process has used; its number is the kernel's for its clock (clock_getres(2))."""
        return time.clock_gettime((~self._pid << 3) | CPUCLOCK_SCHED)

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


def _parsed(answer: bytes) -> tuple[AudioRejection | None, int]:
    """Return what a worker, which may be anybody by now, complains of, or None, and its number: by default of samples.

    Raises:
        ValueError: that is no answer.
    """
    try:
        index, number = ANSWER.unpack(answer)
        kind = REJECTIONS[index - 1] if index else None
    except (struct.error, IndexError):
        raise ValueError("no answer" if answer else "it has died") from None
    if kind is None and number > SHARED_SAMPLES:
        raise ValueError("more samples than there is room for")
    return kind, number


class Decoding:
    """One file on its way through a worker. One thread iterates, any may cancel."""

    def __init__(self, sandbox: Sandbox, data: bytes, task: DecodeTask) -> None:
        self._sandbox = sandbox
        self._data = data
        self._task = task
        self._lock = threading.Lock()
        self._cancelled = False
        self._worker: Worker | None = None

    def blocks(self) -> Generator[Samples, None, None]:
        """Yield the file's audio as 16 kHz mono blocks (samples,) of `BLOCK_SAMPLES`, the last one of fewer.

        Raises, while iterating:
            EmptyAudio, InvalidAudio, AudioTooLong: as `decode_blocks`. A worker that crashes, lies or takes too much
                makes its file `InvalidAudio`.
            DecoderUnavailable: there is no worker, or too little of the machine for it.
        """
        if self._cancelled:
            return
        worker = self._sandbox.worker(self._task, self._data)
        try:
            with self._lock:
                self._worker = worker
            given = 0
            waited_s = 0.0
            while not self._cancelled:
                started = time.monotonic()
                samples = self._next(worker, given, waited_s)
                waited_s += time.monotonic() - started
                given += len(samples)
                yield from (samples[at : at + BLOCK_SAMPLES] for at in range(0, len(samples), BLOCK_SAMPLES))
                if len(samples) < SHARED_SAMPLES:
                    return
        finally:
            worker.close()

    def cancel(self) -> None:
        """End the worker. Blocks that have been given stay valid."""
        with self._lock:
            self._cancelled = True
            if self._worker:
                self._worker.end()

    def _next(self, worker: Worker, given: int, waited_s: float) -> Samples:
        """Return the next samples; what the worker may not be trusted with is held here, such as the longest audio."""
        allowed = allowed_cpu_s(self._task.timeout_s, given / SAMPLE_RATE)
        too_long = AudioRejection.TOO_LONG.error(self._task.max_seconds)
        try:
            samples = worker.next_audio(allowed, MAX_WALL_PER_CPU * allowed - waited_s)
        except AudioTooLong:
            raise too_long from None
        except (OSError, ValueError) as error:
            if not self._cancelled:
                log.warning("The decoder of a file of %d bytes has ended: %s", len(self._data), error)
            raise AudioRejection.CRASHED.error() from None
        if given + len(samples) > self._task.max_seconds * SAMPLE_RATE:
            raise too_long
        if not given + len(samples):
            raise AudioRejection.NO_SAMPLES.error()
        return samples


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


def _environment() -> dict[str, str]:
    """Return what the parent of the workers may know of the service's environment, and what it must."""
    path = os.pathsep.join(filter(None, [str(TOP_LEVEL), os.environ.get("PYTHONPATH")]))
    kept = {name: os.environ[name] for name in PASSED_VARIABLES if name in os.environ}
    return kept | {"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"}  # no thread survives a fork
