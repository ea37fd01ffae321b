"""The service's own log as a file of bounded size."""

import errno
import fcntl
import logging
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import IO

MAX_BYTES = 32 << 20
"""Size of the log from which on it is put aside; one old part is kept. To copy so much takes 20 ms."""
LINES_BETWEEN_LOOKS = 100

logger = logging.getLogger(__name__)


def server_log_path(log_dir: Path) -> Path:
    """Return the path to which `scripts/start_bg.sh` redirects the service's output, in the folder of logs."""
    return log_dir / "server.log"


class ServerLogHandler(logging.StreamHandler[IO[str]]):
    """Writes log lines to a stream; if that is the service's own log file, keeps the file from growing for ever.

    The file is copied to `server.log.1` and emptied. It is not renamed, as other processes append to it too: the
    supervisor, and what it starts after this one. A disk that is too full for the copy costs the old lines; if the copy
    fails for another reason, the file grows. A file that others have renamed is theirs, and is left as it is.

    Args:
        stream: the stream, such as `sys.stderr`.
        max_bytes: size of the file from which on it is put aside.
    """

    def __init__(self, stream: IO[str], max_bytes: int = MAX_BYTES) -> None:
        super().__init__(stream)
        self._max_bytes = max_bytes
        self._path: Path | None = None
        self._lines = 0

    def bound(self, path: Path) -> None:
        """Bound the size of the file at `path` from now on, if that is where the stream appends to."""
        if _appends_to(self.stream, path):
            self._path = path
            self._lines = LINES_BETWEEN_LOOKS

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line. `logging` holds this handler's lock meanwhile."""
        if self._path is not None:
            self._lines += 1
            if self._lines > LINES_BETWEEN_LOOKS:
                self._lines = 0
                self._put_aside_if_large(self._path)
        super().emit(record)

    def _put_aside_if_large(self, path: Path) -> None:
        descriptor = self.stream.fileno()
        with suppress(OSError):
            status = os.fstat(descriptor)
            if status.st_size < self._max_bytes:
                return
            if status.st_nlink:  # else it was removed, and nobody can read what is in it
                if not os.path.samestat(status, path.stat()):
                    return
                _copy(descriptor, path.with_name(f"{path.name}.1"))
            os.ftruncate(descriptor, 0)


def _appends_to(stream: IO[str], path: Path) -> bool:
    """Return whether a stream appends to the file at `path`, so that the next line after a cut begins the file."""
    try:
        descriptor = stream.fileno()
        status = os.fstat(descriptor)
        is_appending = bool(fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND)
        return stat.S_ISREG(status.st_mode) and is_appending and os.path.samestat(status, path.stat())
    except OSError:
        return False


def _copy(descriptor: int, to: Path) -> None:
    """Replace the file at `to` by a copy of an open file, unless the disk is too full for it.

    Raises:
        OSError: there is no copy for another reason.
    """
    partial = to.with_name(f"{to.name}.part")
    try:
        shutil.copyfile(f"/proc/self/fd/{descriptor}", partial)  # the descriptor itself is only for writing
        partial.replace(to)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
