"""The logs that one report reads: those of replicas, each in a file or folder of its own, count as one."""

import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from src.metrics.log import LOG_NAME
from src.metrics.rotated_file import is_part_of

MOST_NAMED = 3


class LogSet:
    """The metrics logs at paths: of files, and of folders, which stand for all logs below them.

    Args:
        paths: at least one path. What is at it may come later.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths

    def __str__(self) -> str:
        """Return the paths for people; of many, the first."""
        named = ", ".join(map(str, self.paths[:MOST_NAMED]))
        more = len(self.paths) - MOST_NAMED
        return f"{named} and {more} more" if more > 0 else named

    def find(self) -> list[Path]:
        """Return the paths of the logs that there are now, each once. What is no folder counts as a log.

        Raises:
            FileNotFoundError: the paths are folders, and no log is in any of them; it names the first.
        """
        found = list(dict.fromkeys(log for path in self.paths for log in _logs_at(path)))
        if not found:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.paths[0].absolute()))
        return found


def _logs_at(path: Path) -> Iterator[Path]:
    """Yield the logs at a path, in the order of their names. Folders that cannot be read have none."""
    if not path.is_dir():
        yield path
        return
    for folder, folders, names in os.walk(path):
        folders.sort()
        if any(name == LOG_NAME or is_part_of(LOG_NAME, name) for name in names):
            yield Path(folder) / LOG_NAME
