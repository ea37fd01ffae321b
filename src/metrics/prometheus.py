"""The file of counters for node_exporter's textfile collector, brought up to date with the logs.

Rotation deletes old lines, and counters must not fall when it does. So the file's last line, a comment for Prometheus,
holds the counters as JSON and how far each file of the log was read; the next run goes on from there. Both are in one
file because then they change together. Files of the log are known by a hash of their first line, whatever they are
called meanwhile.
"""

import errno
import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from src.metrics.counters import Counters
from src.metrics.exposition import expose
from src.metrics.load import ProcessLoad, read_loads
from src.metrics.log_set import LogSet
from src.metrics.parser import Parser
from src.metrics.parts import PartReader, find_parts
from src.metrics.whole_file import write_whole

STATE = "# parakeet_state "
"""Begins the comment. Prometheus skips comments that are neither HELP nor TYPE."""
STATE_VERSION = 2
READ_VERSIONS = (1, STATE_VERSION)
"""Of files that are read. The first has the start of one process only; other versions cannot be read."""
HEAD_BYTES = 64 * 1024
"""The part of a first line that tells files apart."""
GONE_FILES = 200
"""Files of the log that are no longer there and still remembered, in case they are put back."""


@dataclass(slots=True)
class CountedLog:
    """Counters, and the bytes that were counted of each file of the logs, by the hash of its first line."""

    counters: Counters = field(default_factory=Counters)
    offsets: dict[str, int] = field(default_factory=dict)

    def count(self, logs: LogSet) -> None:
        """Count what was appended to the logs.

        Raises:
            FileNotFoundError: one of the logs does not exist yet.
            OSError: a part cannot be read.
        """
        parser = Parser()
        present: dict[str, int] = {}
        with ExitStack() as stack:
            for part in chain.from_iterable(find_parts(logs.find(), stack)):
                with part.opened() as file:
                    self._count_file(file, parser, present)
        gone = [(identity, offset) for identity, offset in self.offsets.items() if identity not in present]
        self.offsets = dict(gone[-GONE_FILES:]) | present

    def _count_file(self, file: BinaryIO, parser: Parser, present: dict[str, int]) -> None:
        """Count what was appended to a file, and note in `present` how far it is counted."""
        identity = _identity(file)
        if identity is None:
            return  # it has no complete line yet
        reader = PartReader(file, max(self.offsets.get(identity, 0), present.get(identity, 0)), parser)
        self.counters.add(reader, parser)
        self.counters.skipped_lines += reader.skipped
        present[identity] = reader.offset

    def to_text(self, service: str, loads: Sequence[ProcessLoad] = ()) -> str:
        """Return the content of the file. `service` is a label of every series, `loads` is what its gauges tell."""
        state = [STATE_VERSION, self.counters.to_json(), self.offsets]
        return f"{expose(self.counters, service, loads)}{STATE}{json.dumps(state, separators=(',', ':'))}\n"

    @classmethod
    def from_text(cls, text: str) -> "CountedLog":
        """Return what `to_text` was made from.

        Raises:
            ValueError, TypeError: the text is not of this version's `to_text`.
        """
        before, found, state = text.rpartition(STATE)
        if not found or (before and not before.endswith("\n")):
            raise ValueError("no state")
        version, counters, offsets = json.loads(state)
        if version not in READ_VERSIONS:
            raise ValueError("another version")
        return cls(Counters.from_json(counters), {identity: int(offset) for identity, offset in offsets.items()})


def update_file(path: Path, logs: LogSet, now: float) -> bool:
    """Bring the file at `path` up to date with the logs, whole or not at all.

    The file's name without `.prom` is the label `service` of every series: the collector refuses equal series in two
    files of its folder. Its gauges tell the load at `now` (Unix seconds) of the processes that run then.

    Returns:
        Whether counting went on. It begins anew, with all lines that the logs still have, where there is no file, and
        where the file was not written by this function; only the latter returns False.

    Raises:
        FileNotFoundError: one of the logs does not exist yet.
        OSError: a log cannot be read, or the file cannot be written.
    """
    with _alone(path.parent):
        content = path.read_bytes() if path.is_file() else b""
        try:
            counted, goes_on = CountedLog.from_text(content.decode()) if content else CountedLog(), True
        except (ValueError, TypeError, AttributeError):
            counted, goes_on = CountedLog(), False
        counted.count(logs)
        text = counted.to_text(path.name.removesuffix(".prom"), _loads(logs, now))
        write_whole(path, text.encode("utf-8", "replace"))
    return goes_on


def _loads(logs: LogSet, now: float) -> list[ProcessLoad]:
    """Return the load of each process that runs and writes one of the logs."""
    folders = {log.parent: log for log in logs.find()}
    return [each for log in folders.values() for each in read_loads(log) if each.is_fresh(now)]


def _identity(part: BinaryIO) -> str | None:
    """Return a hash of the file's first line; None if it is not complete yet.

    Raises:
        OSError: the file is a pipe.
    """
    if not part.seekable():
        raise OSError(errno.ESPIPE, "A pipe cannot be read on from where the last run ended", part.name)
    head = part.read(HEAD_BYTES)
    first, end, _ = head.partition(b"\n")
    return sha256(first).hexdigest()[:32] if end or len(head) == HEAD_BYTES else None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other runs for files in `folder` waiting: of two at once, the later to write might know less."""
    with ExitStack() as stack:
        descriptor = os.open(folder, os.O_RDONLY)
        stack.callback(os.close, descriptor)
        with suppress(OSError):  # some network file systems cannot lock folders
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
