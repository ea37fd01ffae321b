"""The metrics log: JSON lines in `metrics/metrics.log`, with a new file at each midnight UTC; see `rotated_file.py`.

`write` only puts a record on a bounded queue. A thread turns records into lines and writes them, all records of a fifth
of a second at once: in a busy service, waking the thread for each line would cost more than the lines themselves. If
the disk fails (full, read-only, stuck, folder removed), lines are lost and counted, but no request fails. The service's
log has one message when that begins and one when it is over.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue

from src.metrics.process_ends import note_end
from src.metrics.record import Record
from src.metrics.refusals import RefusalCounter
from src.metrics.rotated_file import RotatedFile

LOG_NAME = "metrics.log"
MAX_BACKLOG = 10_000
"""Most records that wait for a slow disk: some megabytes, or minutes of a busy service."""
BATCH_S = 0.2
"""Longest time that a record waits for others to be written with. A process that is killed loses those records."""
CLOSE_TIMEOUT_S = 5.0
MAX_BYTES = 2 << 30
"""What the log and its old parts may take together."""

logger = logging.getLogger(__name__)


def metrics_path(log_dir: Path) -> Path:
    """Return the path of the metrics log in the folder of logs."""
    return log_dir / "metrics" / LOG_NAME


class MetricsLog:
    """Writes records to `log_dir/metrics/metrics.log` in a thread, which `close` stops.

    Several logs may share a file, also from different processes.

    Args:
        log_dir: the folder of logs.
        max_bytes: what the log and its old parts may take together; the oldest parts are removed.
        live_sessions: returns the number of realtime sessions that are open; None where nobody counts them.
        notes_end: whether `close` notes beside the log that this process ran until then; see `process_ends.py`.
        replica: name of this replica of the service, for its lines; None where there are no others.
    """

    def __init__(
        self,
        log_dir: Path,
        max_bytes: int = MAX_BYTES,
        live_sessions: Callable[[], int | None] = lambda: None,
        notes_end: bool = False,
        replica: str | None = None,
    ) -> None:
        self.path = metrics_path(log_dir.absolute())
        self.refusals = RefusalCounter()
        """Decides which refused requests have lines of their own."""
        self.live_sessions = live_sessions
        self.process_started = time.time()
        self.replica = replica
        self._max_bytes = max_bytes
        self._notes_end = notes_end
        self._queue: SimpleQueue[Record | threading.Event | None] = SimpleQueue()
        self._batch: list[Record | threading.Event | None] = []  # taken off the queue by the thread
        self._flush_now = threading.Event()  # tells the thread not to wait for more records
        self._closed = False
        self._lock = threading.Lock()  # guards the two below, which both sides of the queue write
        self._failures = 0
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="metrics-log", daemon=True)
        self._thread.start()

    @property
    def failures(self) -> int:
        """Number of lost records: the disk failed, too many were waiting, or the log was closed."""
        return self._failures

    def write(self, record: Record) -> None:
        """Queue a record to be written soon. Never waits for the disk and never raises. Any thread may call it."""
        if self._closed:
            self._count_lost(1, "the log is closed")
        elif self._queue.qsize() + len(self._batch) >= MAX_BACKLOG:
            self._count_lost(1, f"{MAX_BACKLOG} lines are waiting for the disk")
        else:
            self._queue.put(record)

    def flush(self) -> None:
        """Wait until all records so far are on disk, at most five seconds."""
        if self._thread.is_alive():
            reached = threading.Event()
            self._queue.put(reached)
            self._flush_now.set()
            reached.wait(CLOSE_TIMEOUT_S)

    def close(self) -> None:
        """Write the queued records and close the file. Waits at most five seconds for a stuck disk."""
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        self._flush_now.set()
        self._thread.join(CLOSE_TIMEOUT_S)
        if self._thread.is_alive():
            waiting = self._queue.qsize() + len(self._batch) - 1  # the None that stops the thread is not a record
            if waiting:
                self._count_lost(waiting, f"{waiting} lines were still waiting when the log was closed")

    def _run(self) -> None:
        file = RotatedFile(self.path, self._max_bytes)
        while None not in self._batch:
            self._batch = []
            self._collect()
            self._append([item for item in self._batch if isinstance(item, Record)], file)
            for item in self._batch:
                if isinstance(item, threading.Event):
                    item.set()
        file.abandon()
        self._batch = [None]  # what was in it is written
        if self._notes_end:
            with suppress(OSError):  # a full disk costs a reader only this
                note_end(self.path, self.process_started, time.time(), self.replica)

    def _collect(self) -> None:
        """Wait for a record, then collect all that come within `BATCH_S` or until `flush` or `close` is called."""
        self._batch.append(self._queue.get())
        self._flush_now.wait(BATCH_S)
        self._flush_now.clear()
        while not self._queue.empty():
            self._batch.append(self._queue.get())

    def _append(self, records: list[Record], file: RotatedFile) -> None:
        lines = b"".join(map(self._line, records))
        written = 0
        try:
            if lines:
                written = file.append(lines)
            while written < len(lines):
                written += file.append_rest(lines[written:])
        except Exception as error:  # no line may stop the thread that writes the others
            file.abandon()
            self._count_lost(lines.count(b"\n", written), str(error))
        else:
            if lines:
                self._note_success()

    def _line(self, record: Record) -> bytes:
        try:
            return record.to_line().encode() + b"\n"
        except Exception as error:
            self._count_lost(1, str(error))
            return b""

    def _count_lost(self, count: int, reason: str) -> None:
        with self._lock:
            self._failures += count
            first, self._failing = not self._failing, True
        if first:
            logger.error("cannot write metrics to %s: %s", self.path, reason)

    def _note_success(self) -> None:
        if not self._failing or self._queue.qsize() > MAX_BACKLOG // 2:  # a slow disk must catch up first
            return
        with self._lock:
            self._failing = False
        logger.warning("metrics are written to %s again; %d lines were lost so far", self.path, self._failures)
