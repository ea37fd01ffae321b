"""The metrics log: JSON lines in `metrics/metrics.log`, a new file at each midnight UTC, seven old ones kept.

`write` only puts the record on a bounded queue; one thread of its own turns it into a line and meets the disk, with all
that came in a fifth of a second at once, as to wake it for each line costs a busy service more than the lines. Whatever
the disk does (full, read-only, stuck, its folder removed) costs lines, which are counted, and never a request. The
ordinary log hears of it once when it begins and once when it is over.
"""

import itertools
import logging
import os
import threading
import time
from contextlib import suppress
from io import TextIOWrapper
from logging.handlers import TimedRotatingFileHandler
from pathlib import Path
from queue import SimpleQueue

from src.metrics.record import Record

BACKLOG = 10_000
"""Records that may wait for a slow disk: some megabytes, and minutes of a busy service."""
GATHER_S = 0.2
"""How long a record waits for others, at most; a process that is killed loses those of so long."""
DAYS_KEPT = 7
CLOSE_TIMEOUT_S = 5.0

logger = logging.getLogger(__name__)


def metrics_path(log_dir: Path) -> Path:
    """Return where the metrics log lies under the folder of logs."""
    return log_dir / "metrics" / "metrics.log"


class MetricsLog:
    """Writes records to `log_dir/metrics/metrics.log` from a thread of its own, which `close` ends.

    Several logs, of one process or of several, may share a file.
    """

    def __init__(self, log_dir: Path) -> None:
        self.path = metrics_path(log_dir.absolute())
        self._queue: SimpleQueue[Record | threading.Event | None] = SimpleQueue()
        self._lot: list[Record | threading.Event | None] = []  # what the thread has taken off the queue
        self._asked = threading.Event()  # that it gathers no more
        self._closed = False
        self._lock = threading.Lock()  # guards the two below, which both sides of the queue change
        self._failures = 0
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="metrics-log", daemon=True)
        self._thread.start()

    @property
    def failures(self) -> int:
        """Records that were lost: the disk refused them, too many waited, or the log was closed."""
        return self._failures

    def write(self, record: Record) -> None:
        """Have `record` written soon. Never waits for the disk and never raises; safe from any thread."""
        if self._closed:
            self._lose(1, "the log is closed")
        elif self._queue.qsize() + len(self._lot) >= BACKLOG:
            self._lose(1, f"{BACKLOG} lines are waiting for the disk")
        else:
            self._queue.put(record)

    def flush(self) -> None:
        """Wait until what was written so far has met the disk, at most five seconds."""
        if self._thread.is_alive():
            reached = threading.Event()
            self._queue.put(reached)
            self._asked.set()
            reached.wait(CLOSE_TIMEOUT_S)

    def close(self) -> None:
        """Write what is queued and close the file; waits at most five seconds for a stuck disk."""
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        self._asked.set()
        self._thread.join(CLOSE_TIMEOUT_S)
        if self._thread.is_alive():
            waiting = self._queue.qsize() + len(self._lot) - 1  # what ends the thread is no line
            self._lose(waiting, f"{waiting} lines were still waiting when the log was closed")

    def _run(self) -> None:
        file = _DailyFile(self.path)
        while None not in self._lot:
            self._lot = []
            self._gather()
            self._append([item for item in self._lot if isinstance(item, Record)], file)
            for item in self._lot:
                if isinstance(item, threading.Event):
                    item.set()
        file.abandon()

    def _gather(self) -> None:
        """Wait for a lot: what came until some time after its first record, or until somebody asked for it."""
        self._lot.append(self._queue.get())
        self._asked.wait(GATHER_S)
        self._asked.clear()
        while not self._queue.empty():
            self._lot.append(self._queue.get())

    def _append(self, records: list[Record], file: "_DailyFile") -> None:
        lines = b"".join(map(self._line, records))
        written = 0
        try:
            while written < len(lines):
                written += file.append(lines[written:])
        except Exception as error:  # nothing that a line can do may end the thread that writes the others
            file.abandon()
            self._lose(lines.count(b"\n", written), str(error))
        else:
            if lines:
                self._note_success()

    def _line(self, record: Record) -> bytes:
        try:
            return record.to_line().encode() + b"\n"
        except Exception as error:
            self._lose(1, str(error))
            return b""

    def _lose(self, count: int, reason: str) -> None:
        with self._lock:
            self._failures += count
            first, self._failing = not self._failing, True
        if first:
            logger.error("cannot write metrics to %s: %s", self.path, reason)

    def _note_success(self) -> None:
        if not self._failing or self._queue.qsize() > BACKLOG // 2:  # a slow disk has recovered when it catches up
            return
        with self._lock:
            self._failing = False
        logger.warning("metrics are written to %s again; %d lines were lost so far", self.path, self._failures)


class _DailyFile(TimedRotatingFileHandler):
    """The standard library's rotating file, which also minds being renamed, removed or left torn, and raises errors.

    `logging` flushes and closes every handler there is, at exit and when somebody configures it. This one belongs to
    its thread alone, so those calls do nothing, and a stuck disk holds up no exit.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, when="midnight", utc=True, backupCount=DAYS_KEPT, encoding="utf-8", delay=True)

    def flush(self) -> None:
        """Do nothing: what is written is never kept back."""

    def close(self) -> None:
        """Do nothing: `abandon` closes."""

    def abandon(self) -> None:
        """Close the file; the next line opens it anew."""
        with suppress(OSError):  # closing writes what is left, and on a full disk that fails once more
            super().close()

    def append(self, lines: bytes) -> int:
        """Append lines, to a new file where the day or the file at the path has changed; return how many bytes went.

        Raises:
            OSError: none did.
        """
        self._follow_path()
        if self.shouldRollover(logging.makeLogRecord({})):
            self.doRollover()
        if not self.stream:
            self.stream = self._open()
        return os.write(self.stream.fileno(), lines)

    def rotation_filename(self, default_name: str) -> str:
        """Return a name that is free: after a clock was set back, the standard library would overwrite a day."""
        names = itertools.chain([default_name], (f"{default_name}.{part}" for part in itertools.count(1)))
        return next(name for name in names if not os.path.exists(name))

    def _follow_path(self) -> None:
        """Leave a file that is no longer the one at the path: removed, or rotated by someone else."""
        try:
            found = os.stat(self.baseFilename)
        except FileNotFoundError:
            found = None
        if found and self.stream and os.path.samestat(found, os.fstat(self.stream.fileno())):
            return
        if not found:
            if self.stream:
                logger.warning("%s was removed; a new one is begun", self.baseFilename)
            os.makedirs(os.path.dirname(self.baseFilename), exist_ok=True)
        self.abandon()
        # The file's own age says when it is due: a process that shares it may have rotated it already.
        self.rolloverAt = self.computeRollover(int(found.st_mtime if found else time.time()))

    def _open(self) -> TextIOWrapper:
        _end_torn_line(self.baseFilename)
        return open(self.baseFilename, "a", encoding="utf-8")


def _end_torn_line(path: str) -> None:
    """End a last line that a crash or a full disk has cut, or it would swallow the next one."""
    if not os.path.isfile(path) or not os.path.getsize(path):
        return
    with open(path, "ab+") as file:  # what another process appends meanwhile stays
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":
            file.write(b"\n")
