"""Compares the service's metrics log with the answers of the soak test: one line for each, with its status."""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from attempt import Attempt


@dataclass(frozen=True)
class Audit:
    """The result; `excused` answers have no line because the disk was full or the service was killed."""

    found: int
    excused: int
    missing: list[str]
    twice: list[str]
    other_status: list[str]

    @property
    def findings(self) -> int:
        """Number of answers without their correct line in the log."""
        return len(self.missing) + len(self.twice) + len(self.other_status)


def logged(folder: Path) -> dict[str, list[int]]:
    """Return the statuses in the logs below `folder`, by id, without lines that a full disk has cut."""
    result: dict[str, list[int]] = defaultdict(list)
    for path in folder.rglob("metrics.log*"):
        for line in path.read_text().splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue
            result[record["request_id"]].append(record["code"])
    return result


def audit(attempts: Sequence[Attempt], lines: Mapping[str, Sequence[int]], excused: Callable[[Attempt], bool]) -> Audit:
    """Compare the answers with the lines of the log."""
    answered = [each for each in attempts if each.logged_as and each.status]
    absent = [each for each in answered if not lines.get(each.logged_as)]
    present = [each for each in answered if lines.get(each.logged_as)]
    missing = [each.logged_as for each in absent if not excused(each)]
    return Audit(
        found=len(present),
        excused=len(absent) - len(missing),
        missing=missing,
        twice=[each.logged_as for each in present if len(lines[each.logged_as]) > 1],
        other_status=[each.logged_as for each in present if set(lines[each.logged_as]) != {each.status}],
    )
